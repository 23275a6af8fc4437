"""A plan holds every trial once, references first, arms in step."""

import shutil

import pytest

from emargin_train.errors import UserError
from study import plan
from study.space import Range
from tests.study.conftest import small_settings
from tests.tiny import tiny


def test_arms_of_a_plain_study():
    arms = {arm.objective: arm for arm in plan.arms(small_settings())}
    assert list(arms) == ["raw", "log-raw", "pca", "random", "supervised", "emargin", "infonce"]
    assert arms["emargin"].dimensions["threshold"] == Range(0.2, 0.99)
    assert arms["emargin"].n_trials == 3 and arms["infonce"].n_trials == 2
    assert list(arms["infonce"].dimensions) == ["temperature"]
    assert arms["raw"].seeds == (0,) and arms["random"].seeds == (0, 1)
    assert arms["infonce"].role == "baseline" and arms["random"].role == "reference"


def test_order_holds_every_trial_once_and_keeps_arms_in_step():
    arms = plan.arms(small_settings(trials=8, baseline_trials=4))
    names = [arm.trial_name(number) for arm, number in plan.order(arms)]
    assert len(names) == len(set(names)) == 8 + 4 + 5
    assert names[:5] == ["raw", "log-raw", "pca", "random", "supervised"]
    half = names[5 : 5 + 6]
    assert sum(name.startswith("infonce") for name in half) == 2


def test_share_replaces_threshold():
    arms = {a.objective: a for a in plan.arms(small_settings(dimensions={"dissimilar_share": "0:1"}))}
    assert arms["emargin"].dimensions["dissimilar_share"] == Range(0, 1)
    assert "threshold" not in arms["emargin"].dimensions
    with pytest.raises(UserError, match="give one"):
        plan.arms(small_settings(dimensions={"dissimilar_share": "0:1", "threshold": "0.4"}))


def test_adjacent_margin_is_a_cosine():
    arms = {a.objective: a for a in plan.arms(small_settings(objectives=("emargin-adjacent",)))}
    assert arms["emargin-adjacent"].dimensions["margin"] == Range(0, 1)
    wide = small_settings(objectives=("emargin-adjacent",), dimensions={"margin": "0.5:10"})
    with pytest.raises(UserError, match="margin is 10"):
        next(arm for arm in plan.arms(wide) if arm.role == "searched").check(wide)


def test_a_knob_of_no_objective_is_refused():
    with pytest.raises(UserError, match="has no such knob"):
        plan.arms(small_settings(objectives=("infonce",), dimensions={"margin": "1:2"}))


def test_an_unknown_objective_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'emargin'"):
        small_settings(objectives=("emargn",))


def test_nothing_to_search_is_one_trial():
    fixed = {"threshold": "0.4", "margin": "5", "temperature": "0.1"}
    arms = {a.objective: a for a in plan.arms(small_settings(dimensions=fixed))}
    assert arms["emargin"].n_trials == 1


def test_every_trial_of_an_arm_differs_only_in_its_knobs():
    settings = small_settings()
    arm = next(a for a in plan.arms(settings) if a.objective == "emargin")
    values = {"threshold": 0.5, "margin": 2.0, "temperature": 0.2}
    spec = plan.spec(settings, plan.Job(arm, 1, arm.seeds), values)
    config = spec.config(seed=1)
    assert spec.trial == "emargin-0001" and config.seed == 1 and config.iterations == 4
    assert (config.objective.threshold, config.objective.margin, config.objective.temperature) == (
        0.5,
        2.0,
        0.2,
    )
    assert config.digest() == spec.config(seed=0).digest()


def test_a_grid_holds_every_combination_once():
    settings = small_settings(
        design="grid",
        dimensions={
            "threshold": "0.2,0.4,0.6",
            "snr_db": "20,0",
            "gate": "intended,oracle",
            "temperature": "0.1",
        },
    )
    arms = {arm.objective: arm for arm in plan.arms(settings)}
    grid = arms["emargin"].listed()
    assert arms["emargin"].n_trials == len(grid) == 12 and not arms["emargin"].searches
    assert len({tuple(point.items()) for point in grid}) == 12
    assert arms["infonce"].listed() == [
        {"temperature": 0.1, "snr_db": 20.0},
        {"temperature": 0.1, "snr_db": 0.0},
    ]
    assert arms["random"].n_trials == 2 and arms["raw"].trial_name(1) == "raw-0001"
    job = plan.Job(arms["emargin"], 0, settings.seeds)
    config = plan.spec(settings, job, grid[0]).config(0)
    assert config.objective.margin == 5.0  # not searched: the default of one training


@pytest.mark.parametrize("design", ["grid", "ablation"])
def test_listed_designs_refuse_ranges(design):
    with pytest.raises(UserError, match="give a list a,b,c"):
        plan.arms(small_settings(design=design, dimensions={"threshold": "0:1"}))


def test_an_ablation_leaves_its_centre_one_knob_at_a_time():
    knobs = {"threshold": "0.4,0.2,0.6", "margin": "5,1", "temperature": "0.1", "gate": "intended,random"}
    arms = {arm.objective: arm for arm in plan.arms(small_settings(design="ablation", dimensions=knobs))}
    arm = arms["emargin"]
    centre, *others = arm.listed()
    assert centre == {"threshold": 0.4, "margin": 5.0, "temperature": 0.1, "gate": "intended"}
    assert arm.n_trials == 1 + 2 + 1 + 1 and not arm.searches
    left = [{name for name in centre if point[name] != centre[name]} for point in others]
    assert left == [{"threshold"}, {"threshold"}, {"margin"}, {"gate"}]
    assert arms["infonce"].listed() == [{"temperature": 0.1}]


def test_seeds_as_trials_are_the_same_trainings_one_by_one():
    settings = small_settings()
    split = small_settings(seeds_as_trials=True)
    whole = plan.jobs(settings, plan.arms(settings))
    single = plan.jobs(split, plan.arms(split))
    assert [(job.trial, job.seeds) for job in single] == [(t.trial, (s,)) for t in whole for s in t.seeds]
    assert len({job.key for job in single}) == len(single) == sum(len(job.seeds) for job in whole)
    values = {"threshold": 0.5, "margin": 2.0, "temperature": 0.2}
    job = next(job for job in whole if job.trial == "emargin-0001")
    together = plan.spec(settings, job, values)
    for alone in (job for job in single if job.trial == "emargin-0001"):
        spec = plan.spec(split, alone, values)
        assert spec.key == f"emargin-0001-{alone.seeds[0]}" and spec.trial == together.trial
        assert spec.config(alone.seeds[0]) == together.config(alone.seeds[0])


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
