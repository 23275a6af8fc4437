"""A plan contains every trial once: references first, then one trial of each arm in turn."""

import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from emargin_train.data.catalogue import find
from emargin_train.errors import UserError
from study import plan
from study.settings import StudySettings
from study.space import Choice, Range
from tests.study.conftest import change_range, small_settings
from tests.tiny import tiny


def replicates(split_seeds, seeds):
    return tuple(plan.Replicate(split, seed) for split in split_seeds for seed in seeds)


def of_method(arms, name):
    return next(arm for arm in arms if arm.method == name)


def some(space, *names):
    return {name: space[name] for name in names}


def test_arms_of_a_plain_study():
    arms = {arm.method: arm for arm in plan.arms(small_settings())}
    assert list(arms) == ["supervised", "raw", "log-raw", "pca", "random", "emargin", "infonce"]
    assert arms["emargin"].space["threshold"] == Range(0.2, 0.99)
    assert arms["emargin"].n_trials == 3 and arms["infonce"].n_trials == 2
    assert list(arms["emargin"].varied) == ["temperature", "threshold", "margin"]
    assert list(arms["infonce"].varied) == ["temperature"]
    assert arms["raw"].replicates == (plan.Replicate(0, 0),)
    assert arms["random"].replicates == arms["emargin"].replicates == replicates((0,), (0, 1))
    assert arms["infonce"].role == "baseline" and arms["random"].role == "reference"


def test_order_holds_every_trial_once_and_keeps_arms_in_step():
    arms = plan.arms(small_settings(trials=8, baseline_trials=4))
    names = [arm.trial_name(number) for arm, number in plan.order(arms)]
    assert len(names) == len(set(names)) == 8 + 4 + 5
    assert names[:5] == ["supervised", "raw", "log-raw", "pca", "random"]
    half = names[5 : 5 + 6]
    assert sum(name.startswith("infonce") for name in half) == 2


def test_share_replaces_threshold():
    arms = {a.method: a for a in plan.arms(small_settings(hyperparameters={"dissimilar_share": "0:1"}))}
    assert arms["emargin"].space["dissimilar_share"] == Range(0, 1)
    assert "threshold" not in arms["emargin"].space
    with pytest.raises(UserError, match="give one"):
        plan.arms(small_settings(hyperparameters={"dissimilar_share": "0:1", "threshold": "0.4"}))


def test_adjacent_margin_is_a_cosine():
    arms = {a.method: a for a in plan.arms(small_settings(methods=("emargin-adjacent",)))}
    assert arms["emargin-adjacent"].space["margin"] == Range(0, 1)
    wide = small_settings(methods=("emargin-adjacent",), hyperparameters={"margin": "0.5:10"})
    with pytest.raises(UserError, match="margin is 10"):
        next(arm for arm in plan.arms(wide) if arm.role == "searched").check(wide)


def test_a_hyperparameter_of_no_method_is_refused():
    with pytest.raises(UserError, match="--margin is given, but infonce has no such hyper-parameter"):
        plan.arms(small_settings(methods=("infonce",), hyperparameters={"margin": "1:2"}))


def test_an_unknown_method_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'emargin'"):
        small_settings(methods=("emargn",))


def test_nothing_to_search_is_one_trial():
    fixed = {"threshold": "0.4", "margin": "5", "temperature": "0.1"}
    arms = {a.method: a for a in plan.arms(small_settings(hyperparameters=fixed))}
    assert arms["emargin"].n_trials == 1


def test_every_trial_of_an_arm_differs_only_in_its_hyperparameters():
    settings = small_settings()
    arm = of_method(plan.arms(settings), "emargin")
    values = {"threshold": 0.5, "margin": 2.0, "temperature": 0.2, "iterations": 4}
    spec = plan.spec(settings, plan.Job(arm, 1, arm.replicates), values)
    config = spec.config(plan.Replicate(3, 1))
    assert spec.trial == "emargin-0001" and spec.method == config.method == "emargin"
    assert (config.data.split_seed, config.seed, config.iterations) == (3, 1, 4)
    assert some(config.to_dict(), *values) == values


def test_a_grid_holds_every_combination_once():
    settings = small_settings(
        design="grid",
        hyperparameters={
            "threshold": "0.2,0.4,0.6",
            "snr_db": "20,0",
            "gate": "intended,oracle",
            "temperature": "0.1",
        },
    )
    arms = {arm.method: arm for arm in plan.arms(settings)}
    grid = arms["emargin"].listed()
    assert arms["emargin"].n_trials == len(grid) == 12 and not arms["emargin"].searches
    assert len({tuple(point.items()) for point in grid}) == 12
    assert [some(point, "temperature", "snr_db") for point in arms["infonce"].listed()] == [
        {"temperature": 0.1, "snr_db": 20.0},
        {"temperature": 0.1, "snr_db": 0.0},
    ]
    assert arms["random"].n_trials == 2 and arms["raw"].trial_name(1) == "raw-0001"
    job = plan.Job(arms["emargin"], 0, arms["emargin"].replicates)
    config = plan.spec(settings, job, grid[0]).config(job.replicates[0])
    assert config.to_dict()["margin"] == 5.0  # not searched: the default of one training


@pytest.mark.parametrize("design", ["grid", "ablation"])
def test_listed_designs_refuse_ranges(design):
    with pytest.raises(UserError, match="give a list a,b,c"):
        plan.arms(small_settings(design=design, hyperparameters={"threshold": "0:1"}))


def test_an_ablation_leaves_its_centre_one_hyperparameter_at_a_time():
    varied = {"threshold": "0.4,0.2,0.6", "margin": "5,1", "temperature": "0.1", "gate": "intended,random"}
    arms = {arm.method: arm for arm in plan.arms(small_settings(design="ablation", hyperparameters=varied))}
    arm = arms["emargin"]
    centre, *others = arm.listed()
    assert some(centre, *varied) == {"threshold": 0.4, "margin": 5.0, "temperature": 0.1, "gate": "intended"}
    assert arm.n_trials == 1 + 2 + 1 + 1 and not arm.searches
    left = [{name for name in centre if point[name] != centre[name]} for point in others]
    assert left == [{"threshold"}, {"threshold"}, {"gate"}, {"margin"}]
    assert [point["temperature"] for point in arms["infonce"].listed()] == [0.1]


def test_seeds_as_trials_are_the_same_trainings_one_by_one():
    settings = small_settings(split_seeds=(0, 1))
    apart = small_settings(split_seeds=(0, 1), seeds_as_trials=True)
    whole = plan.jobs(settings, plan.arms(settings))
    single = plan.jobs(apart, plan.arms(apart))
    assert [(job.trial, job.replicates) for job in single] == [
        (job.trial, (one,)) for job in whole for one in job.replicates
    ]
    assert len({job.key for job in single}) == len(single) == sum(len(job.replicates) for job in whole)
    values = {"threshold": 0.5, "margin": 2.0, "temperature": 0.2}
    job = next(job for job in whole if job.trial == "emargin-0001")
    together = plan.spec(settings, job, values)
    for alone in (job for job in single if job.trial == "emargin-0001"):
        spec, (one,) = plan.spec(apart, alone, values), alone.replicates
        assert spec.key == f"emargin-0001-{one.split_seed}-{one.seed}" and spec.trial == together.trial
        assert spec.config(one) == together.config(one)


def test_a_worker_finds_relative_files_from_its_own_folder(tmp_path, monkeypatch):
    """And moving the folder changes neither the hash of a setting nor the name in the results."""
    hashes = set()
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        shutil.copytree(tiny().parent, tmp_path / place / "data")
        monkeypatch.chdir(tmp_path / place)
        settings = small_settings(dataset="data/tiny.toml", data_dir="data")
        config = plan.first_config(settings, plan.arms(settings))
        assert config.data.dataset == str(tmp_path / place / "data" / "tiny.toml")
        assert config.data.data_dir == str(tmp_path / place / "data")
        assert config.data.dataset_name == "tiny"
        hashes.add(config.digest())
    assert len(hashes) == 1


# -- replicates


def test_a_trial_has_a_replicate_for_each_split_and_seed():
    settings = small_settings(split_seeds=(0, 1), seeds=(0, 5), methods=("emargin",))
    arms = plan.arms(settings)
    assert of_method(arms, "emargin").replicates == replicates((0, 1), (0, 5))
    assert of_method(arms, "raw").replicates == replicates((0, 1), (0,))  # its seed changes nothing
    job = next(job for job in plan.jobs(settings, arms) if job.trial == "emargin-0002")
    spec = plan.spec(settings, job, {"threshold": 0.5, "margin": 2.0, "temperature": 0.2})
    configs = [spec.config(one) for one in spec.replicates]
    assert {(c.data.split_seed, c.seed) for c in configs} == {(0, 0), (0, 5), (1, 0), (1, 5)}
    assert len({config.digest() for config in configs}) == 1  # the config_hash of one setting
    assert [str(one) for one in spec.replicates] == ["0-0", "0-5", "1-0", "1-5"]


def test_splits_that_are_not_named_are_decided_once():
    assert plan.resolved(small_settings()).split_seeds == (0,)
    assert plan.resolved(small_settings(), (0, 1, 2)).split_seeds == (0, 1, 2)
    assert plan.resolved(small_settings(split_seeds=(4,)), (0, 1, 2)).split_seeds == (4,)


# -- the space that defaults decide


def test_settings_are_resolved_to_the_space_of_every_method(monkeypatch):
    settings = plan.resolved(small_settings(hyperparameters={"margin": "5"}))
    assert list(settings.space) == ["supervised", "raw", "log-raw", "pca", "random", "emargin", "infonce"]
    assert settings.space["emargin"] | {"threshold": "0.2:0.99", "margin": "5"} == settings.space["emargin"]
    assert settings.space["emargin"]["temperature"] == settings.space["infonce"]["temperature"] == "0.05:1"
    assert settings.space["emargin"]["iterations"] == settings.space["supervised"]["iterations"] == "4"
    assert settings.space["emargin"]["learning_rate"] == "0.001"
    assert "dissimilar_share" not in settings.space["emargin"] and "margin" not in settings.space["infonce"]
    assert "iterations" not in settings.space["raw"]  # it takes no steps
    change_range(monkeypatch, "threshold", 0.5, 0.6)
    assert plan.resolved(settings) == settings  # what is stored stands
    assert plan.resolved(small_settings()).space["emargin"]["threshold"] == "0.5:0.6"


def test_iterations_are_the_datasets_where_none_are_given():
    assert plan.resolved(StudySettings(dataset="sleepeeg-sim", name="a")).space["emargin"][
        "iterations"
    ] == str(find("sleepeeg-sim").iterations)


def test_a_baseline_of_a_search_keeps_its_own_ranges_and_of_a_grid_has_the_given_values():
    given = {"temperature": "0.2,0.4", "snr_db": "20,0"}
    searched = of_method(plan.arms(small_settings(hyperparameters=given)), "infonce")
    assert searched.space["temperature"] == Range(0.05, 1, log=True)
    assert searched.space["snr_db"] == Choice((20.0, 0.0))
    listed = of_method(plan.arms(small_settings(hyperparameters=given, design="grid")), "infonce")
    assert listed.space["temperature"] == Choice((0.2, 0.4))


@pytest.mark.parametrize("baseline", ["emargin-adjacent", "none"])
def test_the_baseline_is_any_method_or_none(baseline):
    arms = plan.arms(small_settings(baseline=baseline))
    assert [arm.method for arm in arms if arm.role == "baseline"] == [baseline] * (baseline != "none")


def test_a_searched_range_of_noise_is_measured_by_references_at_its_ends_and_middle():
    settings = small_settings(hyperparameters={"snr_db": "0:20"})
    arms = plan.arms(settings)
    for arm in arms:
        arm.check(settings)
    assert of_method(arms, "emargin").space["snr_db"] == Range(0, 20) and of_method(arms, "emargin").searches
    for name in settings.references:
        arm = of_method(arms, name)
        assert [point["snr_db"] for point in arm.listed()] == [0, 10, 20] and not arm.searches
        assert arm.n_trials == 3 and [arm.trial_name(n) for n in range(3)] == [
            f"{name}-000{n}" for n in range(3)
        ]


REFUSED = """
import itertools, sys
from emargin_train.declarations import declarations
from emargin_train.errors import UserError
from emargin_train.hyperparameters import table
from study.trial_spec import Replicate, TrialSpec

def all_settings():
    odd = {int: (-1, 0, 2, 3), float: (-1.0, 0.0, 0.5, 1e9), str: ("?",), bool: (True,)}
    for method, encoder in itertools.product(declarations().methods, declarations().encoders):
        base = {"dataset": "sleepeeg-sim", "method": method, "encoder": encoder}
        yield base
        for column, one in table(method, encoder).items():
            for value in (*odd.get(one.kind, ()), None, *(one.choices or ())):
                yield base | {column: value}
        if "dissimilar_share" in table(method, encoder):
            yield base | {"threshold": None}
            yield base | {"threshold": 0.3, "dissimilar_share": 0.3}

def refusal(check):
    try:
        check(Replicate(0, 0))
    except UserError as error:
        return str(error)

specs = [
    TrialSpec("t", "t", "searched", settings["method"], settings, (Replicate(0, 0),))
    for settings in all_settings()
]
early = [refusal(one.check) for one in specs]
assert "torch" not in sys.modules
late = [refusal(one.config) for one in specs]
assert early == late, [pair for pair in zip(early, late) if pair[0] != pair[1]][:5]
print(sum(reason is not None for reason in early), len(early))
"""


def test_what_a_training_refuses_is_refused_without_pytorch_in_the_same_words():
    ran = subprocess.run((sys.executable, "-c", REFUSED), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    n_refused, n = map(int, ran.stdout.split())
    assert 50 < n_refused < n


def test_a_check_that_needs_a_library_is_made_with_it(monkeypatch):
    """A method's own check may compute with NumPy, which `declarations` has not loaded."""
    settings = small_settings()
    job = plan.trials(plan.arms(settings))[-1]
    trial = plan.spec(settings, job, {})

    def check(*_):
        raise TypeError("nobody knows whether this is true without the library")

    made = []
    monkeypatch.setattr("study.trial_spec.parts", check)
    monkeypatch.setattr(plan.TrialSpec, "config", lambda self, replicate: made.append(replicate))
    trial.check(job.replicates[0])
    assert made == [job.replicates[0]]


def test_flags_beside_a_stored_space_change_what_they_name():
    stored = plan.resolved(small_settings())
    changed = plan.with_given(stored, {"threshold": "0.3:0.4", "snr_db": "10", "temperature": "0.2"})
    assert changed.space["emargin"] == stored.space["emargin"] | {
        "threshold": "0.3:0.4", "snr_db": "10", "temperature": "0.2",
    }  # fmt: skip
    assert changed.space["infonce"] == stored.space["infonce"] | {"snr_db": "10"}  # competes at its best
    assert changed.space["raw"] == stored.space["raw"] | {"snr_db": "10"}
    share = plan.with_given(stored, {"dissimilar_share": "0:1"}).space["emargin"]
    assert share["dissimilar_share"] == "0:1" and "threshold" not in share
    back = plan.with_given(replace(stored, space=stored.space | {"emargin": share}), {"threshold": "0.4"})
    assert back.space["emargin"]["threshold"] == "0.4" and "dissimilar_share" not in back.space["emargin"]


def test_flags_beside_a_stored_space_change_a_baseline_that_is_studied_or_listed():
    studied = plan.with_given(plan.resolved(small_settings(methods=("infonce",))), {"temperature": "0.2"})
    assert studied.space["infonce"]["temperature"] == "0.2"
    listed = plan.with_given(plan.resolved(small_settings(design="grid")), {"temperature": "0.2"})
    assert listed.space["infonce"]["temperature"] == "0.2"


def test_another_encoder_beside_a_stored_space_brings_its_own_hyperparameters():
    stored = plan.resolved(small_settings())
    assert stored.space["emargin"]["kernel_size"] == "1"
    changed = plan.with_given(replace(stored, encoder="dilated"), {"dilated.depth": "4"})
    assert changed.space["emargin"]["dilated.depth"] == "4"
    assert "kernel_size" not in changed.space["emargin"]
    plan.arms(changed)


def test_a_stored_hyperparameter_that_no_method_knows_is_refused():
    settings = plan.resolved(small_settings())
    space = settings.space | {"emargin": settings.space["emargin"] | {"warmth": "3"}}
    with pytest.raises(UserError, match="'warmth', which it does not read"):
        plan.arms(replace(settings, space=space))
