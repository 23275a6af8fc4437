"""Write the runs of a study's folder to an MLflow database, and read them back."""

import mlflow

from study.tracking.mlflow_runs import StudyRuns
from study.tracking.sync_state import SyncState
from study.tracking.tracker import Tracker
from study.tracking.uri import local


def record(trial="emargin-0000", seed=0, status="ok", **row):
    """Of the replicate of split 0 and this seed."""
    plain = {
        "trial": trial,
        "method": "emargin",
        "status": status,
        "seed": seed,
        "split_seed": 0,
        "started_at": "2026-01-01T00:00:00+00:00",
    }
    plain |= {"threshold": 0.4, "train_seconds": 2.0}
    curve = [(1, 3.0), (2, 2.0)]
    return {
        "trial": trial,
        "replicate": f"0-{seed}",
        "role": "searched",
        "row": plain | row,
        "curve": curve,
        "reasons": {},
    }


def opened(folder, uri=None):
    """What a driver has at its start, on the sync state that is there."""
    out = folder.parent
    runs = StudyRuns(uri or local(out), SyncState(folder), out=out, dataset="sleepeeg-sim", study=folder.name)
    runs.start({"trials": "3"})
    return runs


def tracked(folder, uri=None):
    tracker = Tracker(uri or local(folder.parent), folder, dataset="sleepeeg-sim")
    tracker.start({"trials": "3"})
    tracker.is_open(wait=True)
    return tracker


def all_runs(folder, uri=None):
    there = mlflow.MlflowClient(uri or local(folder.parent))
    return there.search_runs([e.experiment_id for e in there.search_experiments()])


def own_runs(folder, uri=None):
    """Of the trials, by trial; each must be there once."""
    runs = [run for run in all_runs(folder, uri) if run.data.tags["kind"] == "trial"]
    by_trial = {run.data.tags["trial"]: run for run in runs}
    assert len(by_trial) == len(runs)
    return by_trial


def replicate_runs(folder, uri=None):
    """By key; each must be there once."""
    runs = [run for run in all_runs(folder, uri) if run.data.tags["kind"] == "replicate"]
    by_key = {run.data.tags["key"]: run for run in runs}
    assert len(by_key) == len(runs)
    return by_key
