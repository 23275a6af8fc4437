"""A study is identified by an id: two studies of the same name share nothing, whatever is in their stores."""

import json
import shutil

import optuna
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from emargin_train.errors import UserError
from study import identity, plan
from study.search import claim
from study.search.plan_search import PlanSearch
from study.search.storage import study_name
from study.settings import SAMPLERS, StudySettings
from study.space import contains
from study.tracking.mlflow_runs import StudyRuns
from study.tracking.sync_state import NAME, SyncState
from study.tracking.uri import local
from tests.study.tracking.views import record, replicate_runs
from tests.tiny import tiny


def asked(out, name="one", *, database=True, **changed):
    url = f"sqlite:///{out}/search.db" if database else None
    given = {"dataset": str(tiny()), "out": str(out), "name": name, "optuna_storage": url, "trials": 3}
    made = plan.resolved(
        StudySettings(**(given | {"seeds": (0,), "references": ("raw",), "baseline": "none"} | changed))
    )
    made.folder.mkdir(parents=True, exist_ok=True)
    return made


def opened(settings):
    arms = plan.arms(settings)
    storage = claim.claimed_storage(settings, arms, identity.open_study(settings.folder))
    return PlanSearch(settings, arms, storage, {})


def test_two_studies_of_one_name_on_one_database_never_share_a_trial(tmp_path):
    here = asked(tmp_path, hyperparameters={"threshold": "0.2:0.5"})
    search = opened(here)
    for number in range(4):  # the reference first
        search.next(str(number))
    there = asked(
        tmp_path / "elsewhere", hyperparameters={"threshold": "0.6:0.9"}, optuna_storage=here.optuna_storage
    )
    for check in (lambda: claim.check_free(there, plan.arms(there)), lambda: opened(there)):
        with pytest.raises(
            UserError, match=r"'one/emargin' of another study \(3 trials, .*/one\): choose another"
        ):
            check()


def test_a_study_begun_anew_hears_what_the_database_still_holds(tmp_path):
    settings = asked(tmp_path)
    search = opened(settings)
    assert search.next("raw") and search.next("a")
    claim.check_free(settings, plan.arms(settings))  # its own: nothing to say
    shutil.rmtree(settings.folder)
    with pytest.raises(UserError, match=r"\(1 trials.*optuna delete-study"):
        claim.check_free(settings, plan.arms(settings))


def test_a_copied_folder_becomes_a_study_of_its_own_and_a_moved_one_stays(tmp_path, capsys):
    settings = asked(tmp_path)
    first = identity.open_study(settings.folder)
    shutil.copytree(settings.folder, tmp_path / "copy")
    assert identity.stored(tmp_path / "copy") is None
    second = identity.open_study(tmp_path / "copy")
    assert second != first and "is a copy of" in capsys.readouterr().err
    assert identity.open_study(tmp_path / "copy") == second
    settings.folder.rename(tmp_path / "moved")
    assert identity.open_study(tmp_path / "moved") == first
    assert capsys.readouterr().err == ""


def test_an_id_that_is_damaged_is_read_from_the_sync_state(tmp_path, capsys):
    folder = asked(tmp_path).folder
    first = identity.open_study(folder)
    SyncState(folder)
    (folder / identity.NAME).write_bytes(b'{"study_id": "\xff')
    assert identity.open_study(folder) == first
    assert (folder / "identity.json.damaged").exists() and "renamed to" in capsys.readouterr().err


def test_a_journal_of_another_study_is_put_aside(tmp_path, capsys):
    one, other = asked(tmp_path, database=False), asked(tmp_path / "b", database=False)
    opened(one).next("a")
    shutil.copy(one.folder / "optuna.log", other.folder / "optuna.log")
    storage = opened(other)._storage
    assert optuna.load_study(study_name="one/emargin", storage=storage).trials == []
    assert (other.folder / "optuna.log.damaged").exists() and "another study" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["deleted", "cut", "of another study", "a bad byte", "a list"])
def test_without_its_sync_state_a_study_makes_no_second_run(folder, how):
    def exported():
        runs = StudyRuns(
            local(folder.parent), SyncState(folder), out=folder.parent, dataset="tiny", study="small"
        )
        runs.start({})
        for seed in range(2):
            runs.export(record(seed=seed), [])
        return replicate_runs(folder).keys(), len(runs._client.search_runs([runs._experiment_id]))

    before = exported()
    file = folder / NAME
    if how == "deleted":
        file.unlink()
    elif how == "cut":
        file.write_text("".join(line + "\n" for line in file.read_text().splitlines()[:2]))
    elif how == "a bad byte":
        file.write_bytes(file.read_bytes().replace(b'"key"', b'"k\xffy"'))
    elif how == "a list":
        file.write_text("[]\n[]\n")
    else:
        said = json.loads(file.read_text().splitlines()[0])
        file.write_text(json.dumps(said | {"study_id": "a" * 32}) + "\n")
    assert exported() == before and before[1] == 4


SPACE = {"threshold": "0.6:0.9", "margin": "1,2,3"}
VALUE = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.2, 0.61, 0.9, 2.0, 1.0])
)


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            VALUE,
            st.sampled_from([1.0, 2.0, 7.0, None]),
            st.sampled_from([TrialState.COMPLETE, TrialState.RUNNING, TrialState.FAIL]),
            st.sampled_from(["emargin-0000", "emargin-0001", "emargin-0002", None]),
        ),
        max_size=6,
    ),
    st.sampled_from(SAMPLERS),
)
@example([(0.2, 1.0, TrialState.COMPLETE, "emargin-0000"), (0.31, None, TrialState.RUNNING, None)], "tpe")
@example([(0.2, 7.0, TrialState.COMPLETE, None)], "qmc")
def test_whatever_the_store_holds_every_setting_lies_in_the_studys_own_space(held, sampler):
    settings = plan.resolved(
        StudySettings(
            dataset=str(tiny()), name="one", trials=4, seeds=(0,), references=("raw",), baseline="none",
            sampler=sampler, hyperparameters=SPACE,
        )
    )  # fmt: skip
    arms = plan.arms(settings)
    arm = arms[-1]
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(
        study_name=study_name(settings, arm.method), storage=storage, directions=["maximize", "maximize"]
    )
    for threshold, margin, state, key in held:
        params = {"threshold": threshold} | ({} if margin is None else {"margin": margin})
        kinds = {
            "threshold": FloatDistribution(min(threshold, 0.6), max(threshold, 0.9)),
            "margin": CategoricalDistribution((1.0, 2.0, 3.0, 7.0)),
        }
        study.add_trial(
            create_trial(
                state=state,
                params=params,
                distributions={name: kinds[name] for name in params},
                values=[0.5, 0.5] if state == TrialState.COMPLETE else None,
                user_attrs={} if key is None else {"trial": key},
            )
        )
    search = PlanSearch(settings, arms, storage, {})
    ran = []
    while (spec := search.next(f"j{len(ran)}")) is not None:
        ran.append(spec)
        if spec.method == "raw":
            search.end(f"j{len(ran) - 1}", [])
            continue
        assert all(contains(arm.space[name], spec.settings[name]) for name in arm.space), spec.settings
        row = {"status": "ok", "silhouette": 0.3, "probe_balanced_accuracy": 0.4}
        search.end(f"j{len(ran) - 1}", [row])
    assert [spec.key for spec in ran] == ["raw"] + [f"emargin-{number:04d}" for number in range(4)]
