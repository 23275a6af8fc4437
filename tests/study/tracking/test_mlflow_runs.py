"""MLflow's runs: one for each trial and seed, written once, from records alone."""

import json
import multiprocessing
import os

import mlflow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import Metric

from emargin_train.config import TrainConfig
from emargin_train.evaluation.metrics import METRICS
from emargin_train.methods import METHODS
from emargin_train.pretrain import settings_row
from study.tracking.mlflow_runs import StudyRuns, batches, client
from study.tracking.sync_state import SyncState, exported
from study.tracking.trial_run import params
from study.tracking.uri import local
from tests.study.tracking.views import all_runs, opened, own_runs, record, replicate_runs


def test_a_trial_is_one_finished_child_run(folder):
    artifact = folder / "checkpoints" / "emargin-0000-0-0.pt"
    artifact.write_bytes(b"weights")
    runs = opened(folder)
    runs.export(record(silhouette=0.5, davies_bouldin=None), [artifact])
    (run,) = replicate_runs(folder).values()
    there = mlflow.MlflowClient(local(folder.parent))
    assert run.info.status == "FINISHED" and exported(folder)[1] == {"emargin-0000-0-0": run.info.run_id}
    assert run.data.tags["study"] == "small" and run.data.tags["trial"] == "emargin-0000"
    assert run.data.params["threshold"] == "0.4"
    assert run.data.metrics["silhouette"] == 0.5 and "davies_bouldin" not in run.data.metrics
    history = there.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(1, 3.0), (2, 2.0)]
    assert [file.path for file in there.list_artifacts(run.info.run_id)] == ["emargin-0000-0-0.pt"]
    trial = there.get_run(run.data.tags["mlflow.parentRunId"])
    assert trial.data.tags["kind"] == "trial" and trial.info.status == "RUNNING"
    parent = there.get_run(trial.data.tags["mlflow.parentRunId"])
    assert parent.data.tags["kind"] == "study" and parent.info.status == "RUNNING"
    assert parent.data.tags["trials"] == "3"
    assert runs.stale() == {"emargin-0000": ["emargin-0000-0-0"]}
    runs.export_trial("emargin-0000", [record(silhouette=0.5)])
    runs.finish("FINISHED")
    assert {r.info.status for r in all_runs(folder)} == {"FINISHED"}


def test_writing_again_adds_nothing(folder):
    for _ in range(2):
        runs = opened(folder)
        runs.export(record(), [])
        runs.export_trial("emargin-0000", [record()])
    assert len(replicate_runs(folder)) == len(own_runs(folder)) == 1 and len(all_runs(folder)) == 3
    assert opened(folder).stale() == {}


def test_a_trials_own_run_has_the_means_over_its_replicates(folder):
    """So that sorting finds the best trial, and not the best seed."""
    found = [record(seed=seed, silhouette=value) for seed, value in enumerate((0.2, 0.9))]
    found[1]["row"]["nmi"] = 0.5  # which the other has not
    for n in (1, 2):  # the second replicate comes later, after the exporter was started again
        runs = opened(folder)
        for one in found[:n]:
            runs.export(one, [])
        runs.export_trial("emargin-0000", found[:n])
    (run,) = own_runs(folder).values()
    there = mlflow.MlflowClient(local(folder.parent))
    assert run.data.metrics["silhouette"] == pytest.approx(0.55) and "nmi" not in run.data.metrics
    means = there.get_metric_history(run.info.run_id, "silhouette")
    assert [(m.step, m.value) for m in means] == [(1, 0.2), (2, pytest.approx(0.55))]
    assert run.data.params["threshold"] == "0.4" and "seed" not in run.data.params
    assert run.data.tags["replicates"] == "2" and run.info.status == "FINISHED"
    assert "threshold = 0.4" in run.data.tags["mlflow.note.content"]
    assert {r.data.tags["mlflow.parentRunId"] for r in replicate_runs(folder).values()} == {run.info.run_id}


@pytest.mark.parametrize("name", METHODS)
def test_the_parameters_of_every_method_say_which_variant_it_is(name):
    found = params(settings_row(TrainConfig(method=name)))
    variant = METHODS[name].encoder_variant
    assert found["method"] == name and found.get("encoder_variant") == variant and len(found) <= 100


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_trial_with_a_bad_replicate_is_a_failed_run(folder, status):
    found = [record(), record(seed=1, status=status)]
    runs = opened(folder)
    for one in found:
        runs.export(one, [])
    runs.export_trial("emargin-0000", found)
    (run,) = own_runs(folder).values()
    assert run.info.status == "FAILED" and run.data.tags["status"] == status


def test_the_trial_run_of_a_killed_driver_is_completed(folder):
    opened(folder).export(record(), [])  # and killed before its trial was written
    runs = opened(folder)
    assert runs.stale() == {"emargin-0000": ["emargin-0000-0-0"]}
    runs.export_trial("emargin-0000", [record()])
    (run,) = own_runs(folder).values()
    assert run.info.status == "FINISHED"
    mlflow.MlflowClient(local(folder.parent)).update_run(run.info.run_id, status="RUNNING")
    assert opened(folder).stale() == {"emargin-0000": ["emargin-0000-0-0"]}


def test_the_dataset_is_an_input_once(folder):
    for _ in range(2):
        runs = StudyRuns(
            local(folder.parent), SyncState(folder), out=folder.parent, dataset="tiny", study="small"
        )
        runs.start({"dataset": "data/tiny.toml", "data_hash": "0123456789ab", "emargin/threshold": "0.2:0.9"})
        runs.export(record(), [])
        runs.export_trial("emargin-0000", [record()])
    assert len(own_runs(folder)) == 1
    for run in all_runs(folder):
        if run.data.tags["kind"] != "replicate":
            (used,) = run.inputs.dataset_inputs
            assert (used.dataset.name, used.dataset.digest) == ("tiny", "0123456789ab")
            assert run.data.tags["mlflow.user"] and run.data.tags["mlflow.source.name"] == "study.run"
    (run,) = own_runs(folder).values()
    assert run.data.tags["mlflow.note.content"].startswith("Varied: threshold = 0.4")


@pytest.mark.parametrize("lost", ["nothing", "the sync state's line", "half of the sync state's line"])
def test_a_run_half_written_by_a_killed_driver_is_completed(folder, lost):
    opened(folder).export(record(silhouette=0.5), [])
    (run,) = replicate_runs(folder).values()
    mlflow.MlflowClient(local(folder.parent)).update_run(run.info.run_id, status="RUNNING")
    sync_state = folder / "mlflow.jsonl"
    if lost != "nothing":
        head, line, _ = sync_state.read_text().split("\n")
        sync_state.write_text(head + "\n" + (line[:20] if lost.startswith("half") else ""))
    opened(folder).export(record(silhouette=0.5), [])
    (again,) = replicate_runs(folder).values()
    assert again.info.run_id == run.info.run_id and again.info.status == "FINISHED"
    assert exported(folder)[1] == {"emargin-0000-0-0": run.info.run_id}
    there = mlflow.MlflowClient(local(folder.parent))
    assert len(there.get_metric_history(run.info.run_id, "loss")) == 2


def test_a_record_that_is_run_again_replaces_its_run(folder):
    opened(folder).export(record(status="failed"), [])
    sync_state = SyncState(folder)
    sync_state.forget("emargin-0000-0-0")
    assert exported(folder)[1] == {}
    opened(folder).export(record(status="ok"), [])
    (run,) = replicate_runs(folder).values()
    assert run.info.status == "FINISHED" and exported(folder)[1] == {"emargin-0000-0-0": run.info.run_id}


def test_two_studies_of_the_same_name_stay_apart(folder, tmp_path):
    other = tmp_path / "elsewhere" / "small"
    other.mkdir(parents=True)
    opened(folder).export(record(), [])
    runs = StudyRuns(local(tmp_path), SyncState(other), out=tmp_path, dataset="sleepeeg-sim", study="small")
    runs.start({})
    runs.export(record(), [])
    assert len({run.data.tags["study_id"] for run in all_runs(folder)}) == 2 and len(all_runs(folder)) == 6


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_bad_trial_is_a_failed_run(folder, status):
    opened(folder).export(record(status=status, final_loss=None), [])
    (run,) = replicate_runs(folder).values()
    assert run.info.status == "FAILED" and run.data.tags["status"] == status


def test_parameters_stay_as_they_were_first(folder):
    opened(folder)
    runs = StudyRuns(
        local(folder.parent), SyncState(folder), out=folder.parent, dataset="sleepeeg-sim", study="small"
    )
    runs.start({"trials": "6", "seeds": "0", "margin": "1"})
    runs.start({"trials": "9", "seeds": "1"})
    (study,) = all_runs(folder)
    assert study.data.params == {"seeds": "0", "margin": "1"}
    assert study.data.tags["trials"] == "9"  # as after --extend


@given(n_metrics=st.integers(0, 2500), n_params=st.integers(0, 250))
def test_batches_keep_to_mlflows_limits_and_lose_nothing(n_metrics, n_params):
    metrics = [Metric("loss", 0.0, 0, step) for step in range(n_metrics)]
    params = {f"p{i}": "x" * (7000 if i == 0 else 1) for i in range(n_params)}
    made = list(batches(metrics, params))
    for some_metrics, some_params in made:
        assert len(some_params) <= 100 and len(some_metrics) + len(some_params) <= 1000
        assert all(len(param.value) <= 6000 for param in some_params)
    assert [metric for some, _ in made for metric in some] == metrics
    assert [param.key for _, some in made for param in some] == list(params)
    assert all(some_metrics or some_params for some_metrics, some_params in made)


def test_a_real_run_needs_one_batch():
    assert len(METRICS) + 100 + 60 <= 1000


def test_the_ledger_reads_as_it_was_written(tmp_path):
    sync_state = SyncState(tmp_path)
    sync_state.begin("run-of-study", {"a-0": "1"})
    sync_state.add("b-0", "2")
    sync_state.forget("a-0")
    again = SyncState(tmp_path)
    assert (again.study_id, again.study_run) == (sync_state.study_id, "run-of-study")
    assert again.runs == {"b-0": "2"} and again.void == {"a-0": "1"}
    assert all(json.loads(line) for line in (tmp_path / "mlflow.jsonl").read_text().splitlines())


def race(barrier, folders, failures):
    """One of six processes that open each fresh database at the same moment."""
    for number, out in enumerate(folders):
        barrier.wait(timeout=250)
        try:
            there = client(local(out))
            there.create_run(there.get_experiment_by_name("Default").experiment_id)
        except Exception as error:  # what this test is about: none is expected
            failures.append(f"try {number}: {error}")


@pytest.mark.slow
def test_six_processes_may_open_a_fresh_database_at_once(tmp_path):
    """Three tries; EMARGIN_TRIES=50 for more."""
    folders = [tmp_path / str(number) for number in range(int(os.environ.get("EMARGIN_TRIES", "3")))]
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager:
        barrier, failures = manager.Barrier(6), manager.list()
        racers = [spawn.Process(target=race, args=(barrier, folders, failures)) for _ in range(6)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert list(failures) == [] and [racer.exitcode for racer in racers] == [0] * 6
    for out in folders:
        there = client(local(out))
        assert len(there.search_runs([e.experiment_id for e in there.search_experiments()])) == 6
