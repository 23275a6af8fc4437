"""MLflow: one run per trial and seed, written once however often it is asked for."""

import time

import mlflow
import pytest

from emargin_train.errors import UserError
from study.tracking import Tracker, resolve


def record(trial="emargin-0000", seed=0, status="ok", **row):
    plain = {
        "objective": "emargin",
        "status": status,
        "seed": seed,
        "started_at": "2026-01-01T00:00:00+00:00",
    }
    plain |= {"threshold": 0.4, "train_seconds": 2.0}
    curve = [(1, 3.0), (2, 2.0)]
    return {
        "trial": trial,
        "seed": seed,
        "role": "searched",
        "row": plain | row,
        "curve": curve,
        "reasons": {},
    }


@pytest.fixture
def tracker(tmp_path):
    uri = resolve(None, tmp_path)
    made = Tracker(uri, out=tmp_path, dataset="sleepeeg-sim", study="small")
    made.start({"trials": 3})
    return made


def all_runs(uri):
    client = mlflow.MlflowClient(uri)
    return client.search_runs([e.experiment_id for e in client.search_experiments()])


def test_a_trial_is_one_finished_child_run(tracker, tmp_path):
    artifact = tmp_path / "encoder.pt"
    artifact.write_bytes(b"weights")
    run_id = tracker.log_trial(record(silhouette=0.5, davies_bouldin=None), [artifact])
    client = mlflow.MlflowClient(tracker.uri)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["study"] == "small" and run.data.tags["trial"] == "emargin-0000"
    assert run.data.params["threshold"] == "0.4"
    assert run.data.metrics["silhouette"] == 0.5 and "davies_bouldin" not in run.data.metrics
    assert [(m.step, m.value) for m in client.get_metric_history(run_id, "loss")] == [(1, 3.0), (2, 2.0)]
    assert [file.path for file in client.list_artifacts(run_id)] == ["encoder.pt"]
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.data.tags["kind"] == "study" and parent.info.status == "RUNNING"
    tracker.finish("FINISHED")
    assert {r.info.status for r in all_runs(tracker.uri)} == {"FINISHED"}


def test_writing_again_adds_nothing(tracker, tmp_path):
    first = tracker.log_trial(record(), [])
    again = Tracker(tracker.uri, out=tmp_path, dataset="sleepeeg-sim", study="small")
    again.start({"trials": 3})
    assert again.log_trial(record(), []) == first
    assert len(all_runs(tracker.uri)) == 2


def test_a_run_half_written_by_a_killed_driver_is_written_anew(tracker):
    client = mlflow.MlflowClient(tracker.uri)
    half = tracker.log_trial(record(), [])
    client.update_run(half, status="RUNNING")
    whole = tracker.log_trial(record(), [])
    tracker.finish("FINISHED")
    runs = all_runs(tracker.uri)
    assert whole != half and {run.info.run_id for run in runs} >= {whole} and len(runs) == 2
    assert {run.info.status for run in runs} == {"FINISHED"}


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_bad_trial_is_a_failed_run(tracker, status):
    run_id = tracker.log_trial(record(status=status, final_loss=None), [])
    run = mlflow.MlflowClient(tracker.uri).get_run(run_id)
    assert run.info.status == "FAILED" and run.data.tags["status"] == status


def test_an_unreachable_server_is_told_within_seconds(tmp_path):
    started = time.monotonic()
    with pytest.raises(UserError, match="no MLflow server answers"):
        resolve("http://127.0.0.1:9", tmp_path)
    assert time.monotonic() - started < 10
    with pytest.raises(UserError, match="no tracking server or database"):
        resolve("file:///tmp/mlruns", tmp_path)
