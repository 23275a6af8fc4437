"""A study's settings are a value: they survive study.toml, and tell what differs."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emargin_train.errors import UserError
from study.settings import SAMPLERS, StudySettings, stored_part
from tests.study.conftest import small_settings


@given(
    st.integers(1, 10_000),
    st.none() | st.integers(0, 100),
    st.lists(st.integers(0, 2**31), min_size=1, max_size=5, unique=True),
    st.sampled_from(SAMPLERS),
    st.dictionaries(st.sampled_from(["threshold", "margin"]), st.sampled_from(["0.1:0.9", "0.5", "0.1,0.2"])),
)
def test_settings_survive_study_toml(trials, baseline_trials, seeds, sampler, dimensions):
    settings = small_settings(
        trials=trials,
        baseline_trials=baseline_trials,
        seeds=tuple(seeds),
        sampler=sampler,
        dimensions=dimensions,
    )
    assert StudySettings.from_toml(settings.to_toml()) == settings


def test_differences_leave_out_where_and_how():
    settings = small_settings()
    assert settings.differences(dataclasses.replace(settings, out="elsewhere", max_concurrent=7)) == []
    assert settings.differences(dataclasses.replace(settings, trials=4)) == ["trials"]


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"trials": 0}, "--trials is 0"),
        ({"seeds": (1, 1)}, "distinct"),
        ({"seeds": ()}, "distinct"),
        ({"sampler": "tpee"}, "did you mean 'tpe'"),
        ({"goals": ("silhouete",)}, "did you mean 'silhouette'"),
        ({"goals": ("effective_rank",)}, "no metric with a best end"),
        ({"references": ("rand",)}, "did you mean 'random'"),
        ({"name": "../up"}, "it names a folder"),
        ({"gpus_per_trial": -1.0}, "--gpus-per-trial is -1"),
        ({"keep_embeddings": "some"}, "--keep-embeddings"),
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
    file.write_text('dataset = "ecg"\nseeds = [1, 2]\ndesign = "grid"\n[dimensions]\nthreshold = "0.1,0.2"\n')
    assert stored_part(file) == {
        "dataset": "ecg",
        "seeds": (1, 2),
        "design": "grid",
        "dimensions": {"threshold": "0.1,0.2"},
    }
    file.write_text("trails = 3\n")
    with pytest.raises(UserError, match="did you mean 'trials'"):
        stored_part(file)
    with pytest.raises(UserError, match="cannot be read"):
        stored_part(tmp_path / "missing.toml")


def test_a_whole_study_toml_is_a_config(tmp_path):
    settings = small_settings(design="ablation", dimensions={"threshold": "0.1,0.2"}, seeds_as_trials=True)
    file = tmp_path / "study.toml"
    file.write_text(settings.to_toml())
    assert StudySettings(**stored_part(file)) == settings


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
    "line, told", [('trials = "three"', "trials"), ("seeds = 3", "seeds"), ("trials = 0", "--trials is 0")]
)
def test_values_of_another_kind_are_refused(line, told):
    with pytest.raises(UserError, match=told) as error:
        StudySettings.from_toml(f'dataset = "ecg"\nname = "x"\n{line}\n')
    assert "\n" not in str(error.value)


def test_tf32_is_for_gpus():
    with pytest.raises(UserError, match="--gpus-per-trial"):
        small_settings(tf32=True)
    assert small_settings(tf32=True, gpus_per_trial=0.25).tf32
