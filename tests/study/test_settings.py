"""The settings of a study: study.toml keeps them unchanged, and their differences can be listed."""

import contextlib
import dataclasses
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from emargin_train import precision
from emargin_train.errors import UserError
from study import plan, results
from study.settings import SAMPLERS, StudySettings, declared_settings, stored_part
from tests.study.conftest import small_settings


@hypothesis_settings(deadline=None)
@given(
    st.integers(1, 10_000),
    st.none() | st.integers(0, 100),
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5, unique=True),
    st.none() | st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5, unique=True),
    st.sampled_from(SAMPLERS),
    st.dictionaries(st.sampled_from(["threshold", "margin"]), st.sampled_from(["0.1:0.9", "0.5", "0.1,0.2"])),
)
def test_settings_survive_study_toml(trials, baseline_trials, seeds, split_seeds, sampler, hyperparameters):
    settings = small_settings(
        trials=trials,
        baseline_trials=baseline_trials,
        seeds=tuple(seeds),
        split_seeds=None if split_seeds is None else tuple(split_seeds),
        sampler=sampler,
        hyperparameters=hyperparameters,
    )
    assert StudySettings.from_toml(settings.to_toml()) == settings
    resolved = plan.resolved(settings)
    assert resolved.space["emargin"] and StudySettings.from_toml(resolved.to_toml()) == resolved


def test_differences_leave_out_where_and_how():
    settings = small_settings()
    assert settings.differences(dataclasses.replace(settings, out="elsewhere", max_concurrent=7)) == {}
    assert settings.differences(dataclasses.replace(settings, trials=4)) == {"--trials": ("3", "4")}
    assert settings.differences(dataclasses.replace(settings, methods=("infonce", "emargin"))) == {
        "--method": ("emargin", "infonce,emargin")
    }


def test_what_a_hyperparameter_was_resolved_to_differs_and_not_how_it_was_given():
    plain = plan.resolved(small_settings())
    same = plan.resolved(small_settings(hyperparameters={"threshold": "0.2:0.99"}))
    other = plan.resolved(small_settings(hyperparameters={"dissimilar_share": "0:1"}))
    assert plain.differences(same) == {}
    assert plain.differences(other) == {
        "--threshold": ("0.2:0.99", "no value"),
        "--dissimilar-share": ("no value", "0:1"),
    }


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"trials": 0}, "trials is 0"),
        ({"seeds": (1, 1)}, "distinct"),
        ({"seeds": ()}, "distinct"),
        ({"sampler": "tpee"}, "did you mean 'tpe'"),
        ({"goals": ("silhouete",)}, "did you mean 'silhouette'"),
        ({"goals": ("effective_rank",)}, "goals is 'effective_rank': "),
        ({"references": ("rand",)}, "did you mean 'random'"),
        ({"name": "../up"}, "it names a folder"),
        ({"gpus_per_trial": -1.0}, "gpus_per_trial is -1"),
        ({"keep_embeddings": "some"}, "keep_embeddings is 'some'"),
        ({"methods": ("raw",)}, "methods is 'raw': "),
        ({"baseline": "pca"}, "baseline is 'pca': "),
        ({"split_seeds": ()}, "distinct"),
        ({"methods": ()}, "distinct"),
        ({"split_seeds": (0, -1)}, "split_seeds is -1"),
        ({"encoder": "dilatd"}, "did you mean 'dilated'"),
        ({"hyperparameters": {"treshold": "0.4"}}, "did you mean 'threshold'"),
    ],
)
def test_bad_settings_are_told_in_one_line(changed, told):
    with pytest.raises(UserError) as error:
        small_settings(**changed)
    assert told in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text, seconds", [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5d", 129600)])
def test_a_time_budget_is_a_number_and_a_unit(text, seconds):
    assert small_settings(time_budget=text).time_budget_s == seconds


@pytest.mark.parametrize("text", ["2", "h", "-1h", "0s", "infh", "nanh", "2 weeks", ""])
def test_other_time_budgets_are_refused(text):
    with pytest.raises(UserError, match="as 2h"):
        small_settings(time_budget=text)


def test_a_file_names_what_it_names(tmp_path):
    file = tmp_path / "study.toml"
    text = 'dataset = "ecg"\nseeds = [1, 2]\ndesign = "grid"\n[hyperparameters]\nthreshold = "0.1,0.2"\n'
    file.write_text(text)
    assert stored_part(file) == {
        "dataset": "ecg",
        "seeds": (1, 2),
        "design": "grid",
        "hyperparameters": {"threshold": "0.1,0.2"},
    }
    file.write_text("trails = 3\n")
    with pytest.raises(UserError, match="did you mean 'trials'"):
        stored_part(file)
    with pytest.raises(UserError, match="cannot be read"):
        stored_part(tmp_path / "missing.toml")


def test_a_whole_study_toml_is_a_config(tmp_path):
    settings = small_settings(
        design="ablation", hyperparameters={"threshold": "0.1,0.2"}, seeds_as_trials=True
    )
    file = tmp_path / "study.toml"
    file.write_text(settings.to_toml())
    assert StudySettings(**stored_part(file)) == settings


VERSION_1 = """
dataset = "ecg"
name = "old"
objectives = ["emargin", "emargin-semi"]
split_seed = 3
iterations = 50
batch_size = 4
seeds = [0, 1]
design = "grid"

[dimensions]
threshold = "0.4"
framing = "log"
"""


def test_the_settings_of_version_1_are_read(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(VERSION_1)
    settings = StudySettings(**stored_part(file))
    assert settings.methods == ("emargin", "emargin-semi") and settings.split_seeds == (3,)
    assert settings.hyperparameters == {
        "iterations": "50",
        "batch_size": "4",
        "threshold": "0.4",
        "spectrum_scale": "log",
    }
    (arm,) = (arm for arm in plan.arms(settings) if arm.method == "emargin")
    assert (arm.space["iterations"], arm.space["batch_size"], arm.space["threshold"]) == (50, 4, 0.4)
    assert arm.space["spectrum_scale"] == "log" and {one.split_seed for one in arm.replicates} == {3}


ROOT = Path(__file__).resolve().parents[2]
COMMITTED = sorted([*ROOT.glob("docs/findings/*/study.toml"), *ROOT.glob("tests/version_1/*/study.toml")])


@pytest.mark.parametrize("file", COMMITTED, ids=lambda path: path.parent.name)
def test_every_committed_study_can_be_a_config(file):
    settings = StudySettings(**stored_part(file))
    given = tomllib.loads(file.read_text())
    assert settings.hyperparameters.items() >= given.get("dimensions", {}).items()
    arms = plan.arms(settings)
    assert {arm.method for arm in arms if arm.role == "searched"} == set(
        given.get("objectives", settings.methods)
    )


def test_a_study_of_version_1_is_not_resumed(tmp_path):
    (tmp_path / "study.toml").write_text(VERSION_1)
    with pytest.raises(UserError) as error:
        results.stored_settings(tmp_path)
    assert "version 1" in str(error.value) and "\n" not in str(error.value)
    assert "analysis.report" in str(error.value) and "--config" in str(error.value)


@pytest.mark.parametrize("name", ["optuna_storage", "tracking_uri"])
def test_settings_never_hold_a_password(name):
    with pytest.raises(UserError, match="in the environment"):
        small_settings(**{name: "postgresql://me:planted-secret@host/db"})


def test_unknown_names_and_broken_toml_are_refused():
    with pytest.raises(UserError, match="did you mean 'trials'"):
        StudySettings.from_toml('dataset = "ecg"\nname = "x"\ntrails = 3\n')
    with pytest.raises(UserError, match="not TOML"):
        StudySettings.from_toml("dataset = ")


@pytest.mark.parametrize(
    "line, told",
    [
        ('trials = "three"', "trials"),
        ("seeds = 3", "seeds is 3, .*distinct"),
        ('references = "raw"', "references is 'raw': give distinct"),
        ("trials = 0", "trials is 0"),
        ("space = 3", "space is 3"),
    ],
)
def test_values_of_another_kind_are_refused(line, told):
    with pytest.raises(UserError, match=told) as error:
        StudySettings.from_toml(f'dataset = "ecg"\nname = "x"\n{line}\n')
    assert "\n" not in str(error.value)


def test_a_study_may_have_no_references():
    settings = small_settings(references=())
    assert StudySettings.from_toml(settings.to_toml()).references == ()
    assert declared_settings()["references"].read("") == ()
    assert {arm.role for arm in plan.arms(settings)} == {"searched", "baseline"}


@pytest.mark.parametrize("kind, device, told", [("tf32", "cpu", "on a GPU"), ("bf16", "cuda", "for CPUs")])
def test_a_precision_that_the_device_lacks_is_refused(kind, device, told):
    with pytest.raises(UserError, match=told):
        precision.check(kind, device)
    plans = plan.arms(small_settings(hyperparameters={"precision": f"float32,{kind}"}, design="grid"))
    assert plan.values_of(plans, "precision") >= {"float32", kind}


def test_a_processor_on_which_bfloat16_would_be_float32_is_refused(monkeypatch):
    """Whatever its flags say; a matrix product tells."""

    @contextlib.contextmanager
    def unable(how):
        yield

    monkeypatch.setattr(precision, "_products", unable)
    precision.has_bf16.cache_clear()
    with pytest.raises(UserError, match="would multiply in float32"):
        precision.check("bf16", "cpu")
    precision.has_bf16.cache_clear()


def test_the_former_setting_tf32_is_a_precision():
    text = 'dataset = "ecg"\nname = "x"\ntf32 = true\n'
    assert StudySettings.from_toml(text).hyperparameters == {"precision": "tf32"}
    assert StudySettings.from_toml(text.replace("true", "false")).hyperparameters == {}
