"""MLflow: one run per trial and seed, written once, in the background, whatever the server does."""

import contextlib
import json
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import time

import mlflow
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import Metric

from emargin_train.errors import UserError
from emargin_train.evaluation.metrics import METRICS
from study import records
from study.ledger import Ledger, delivered
from study.mlflow_runs import StudyRuns, batches, client
from study.tracking import Tracker
from study.tracking_uri import check_answers, local, resolve

AWAY = "http://127.0.0.1:9"


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


@pytest.fixture(scope="session")
def new_database(tmp_path_factory):
    """Made once, since making one takes MLflow seconds."""
    out = tmp_path_factory.mktemp("database")
    client(local(out))
    return out / "mlflow.db"


@pytest.fixture
def folder(tmp_path, new_database):
    made = tmp_path / "small"
    for name in ("records", "checkpoints", "log"):
        (made / name).mkdir(parents=True)
    shutil.copy(new_database, tmp_path / "mlflow.db")
    return made


def opened(folder, uri=None):
    """What a driver has at its start, on the ledger that is there."""
    out = folder.parent
    runs = StudyRuns(uri or local(out), Ledger(folder), out=out, dataset="sleepeeg-sim", study=folder.name)
    runs.start({"trials": "3"})
    return runs


def tracked(folder, uri=None):
    tracker = Tracker(uri or local(folder.parent), folder, dataset="sleepeeg-sim")
    tracker.start({"trials": "3"})
    return tracker


def all_runs(folder, uri=None):
    there = mlflow.MlflowClient(uri or local(folder.parent))
    return there.search_runs([e.experiment_id for e in there.search_experiments()])


def trial_runs(folder, uri=None):
    """By key; each must be there once."""
    runs = [run for run in all_runs(folder, uri) if run.data.tags["kind"] == "trial"]
    by_key = {run.data.tags["key"]: run for run in runs}
    assert len(by_key) == len(runs)
    return by_key


def test_a_trial_is_one_finished_child_run(folder):
    artifact = folder / "checkpoints" / "emargin-0000-0.pt"
    artifact.write_bytes(b"weights")
    runs = opened(folder)
    runs.deliver(record(silhouette=0.5, davies_bouldin=None), [artifact])
    (run,) = trial_runs(folder).values()
    there = mlflow.MlflowClient(local(folder.parent))
    assert run.info.status == "FINISHED" and delivered(folder) == {"emargin-0000-0": run.info.run_id}
    assert run.data.tags["study"] == "small" and run.data.tags["trial"] == "emargin-0000"
    assert run.data.params["threshold"] == "0.4"
    assert run.data.metrics["silhouette"] == 0.5 and "davies_bouldin" not in run.data.metrics
    history = there.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(1, 3.0), (2, 2.0)]
    assert [file.path for file in there.list_artifacts(run.info.run_id)] == ["emargin-0000-0.pt"]
    parent = there.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.data.tags["kind"] == "study" and parent.info.status == "RUNNING"
    assert parent.data.params["trials"] == "3"
    runs.finish("FINISHED")
    assert {r.info.status for r in all_runs(folder)} == {"FINISHED"}


def test_writing_again_adds_nothing(folder):
    opened(folder).deliver(record(), [])
    before = trial_runs(folder)
    opened(folder).deliver(record(), [])
    assert trial_runs(folder).keys() == before.keys() and len(all_runs(folder)) == 2


@pytest.mark.parametrize("lost", ["nothing", "the ledger's line", "half of the ledger's line"])
def test_a_run_half_written_by_a_killed_driver_is_completed(folder, lost):
    opened(folder).deliver(record(silhouette=0.5), [])
    (run,) = trial_runs(folder).values()
    mlflow.MlflowClient(local(folder.parent)).update_run(run.info.run_id, status="RUNNING")
    ledger = folder / "mlflow.jsonl"
    if lost != "nothing":
        head, line, _ = ledger.read_text().split("\n")
        ledger.write_text(head + "\n" + (line[:20] if lost.startswith("half") else ""))
    opened(folder).deliver(record(silhouette=0.5), [])
    (again,) = trial_runs(folder).values()
    assert again.info.run_id == run.info.run_id and again.info.status == "FINISHED"
    assert delivered(folder) == {"emargin-0000-0": run.info.run_id}
    there = mlflow.MlflowClient(local(folder.parent))
    assert len(there.get_metric_history(run.info.run_id, "loss")) == 2


def test_a_record_that_is_run_again_replaces_its_run(folder):
    opened(folder).deliver(record(status="failed"), [])
    ledger = Ledger(folder)
    ledger.forget("emargin-0000-0")
    assert delivered(folder) == {}
    opened(folder).deliver(record(status="ok"), [])
    (run,) = trial_runs(folder).values()
    assert run.info.status == "FINISHED" and delivered(folder) == {"emargin-0000-0": run.info.run_id}


def test_two_studies_of_the_same_name_stay_apart(folder, tmp_path):
    other = tmp_path / "elsewhere" / "small"
    other.mkdir(parents=True)
    opened(folder).deliver(record(), [])
    runs = StudyRuns(local(tmp_path), Ledger(other), out=tmp_path, dataset="sleepeeg-sim", study="small")
    runs.start({})
    runs.deliver(record(), [])
    assert len({run.data.tags["study_id"] for run in all_runs(folder)}) == 2 and len(all_runs(folder)) == 4


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_bad_trial_is_a_failed_run(folder, status):
    opened(folder).deliver(record(status=status, final_loss=None), [])
    (run,) = trial_runs(folder).values()
    assert run.info.status == "FAILED" and run.data.tags["status"] == status


def test_parameters_stay_as_they_were_first(folder):
    opened(folder)
    runs = StudyRuns(
        local(folder.parent), Ledger(folder), out=folder.parent, dataset="sleepeeg-sim", study="small"
    )
    runs.start({"trials": "6", "seeds": "0"})
    (study,) = all_runs(folder)
    assert study.data.params == {"trials": "3", "seeds": "0"}


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


def test_the_tracker_delivers_in_the_background(folder):
    tracker = tracked(folder)
    for seed in range(3):
        records.save(folder, record(seed=seed))
        tracker.add(f"emargin-0000-{seed}")
    tracker.note(1, {"trials_ok": 1.0, "emargin/hypervolume": 0.9})
    assert tracker.finish("FINISHED", patience_s=60) == 0
    assert trial_runs(folder).keys() == {f"emargin-0000-{seed}" for seed in range(3)}
    (study,) = (run for run in all_runs(folder) if run.data.tags["kind"] == "study")
    assert study.info.status == "FINISHED" and study.data.tags["outcome"] == "FINISHED"
    assert study.data.metrics == {"trials_ok": 1.0, "emargin/hypervolume": 0.9}


def test_a_tracker_begins_with_what_an_earlier_one_left(folder):
    records.save(folder, record(seed=0))
    records.save(folder, record(seed=1))
    assert tracked(folder).finish("KILLED", patience_s=60) == 0
    assert trial_runs(folder).keys() == {"emargin-0000-0", "emargin-0000-1"}
    assert tracked(folder).finish("FINISHED", patience_s=60) == 0
    assert len(all_runs(folder)) == 3 and {r.info.status for r in all_runs(folder)} == {"FINISHED"}


def test_a_server_that_is_away_slows_nothing_and_loses_nothing(folder):
    tracker = tracked(folder, AWAY)
    begun = time.monotonic()
    for seed in range(5):
        records.save(folder, record(seed=seed))
        tracker.add(f"emargin-0000-{seed}")
        tracker.note(seed, {"trials_ok": float(seed)})
    assert time.monotonic() - begun < 0.5
    assert tracker.finish("FINISHED", patience_s=1) == 6  # five trainings, and the study's own run
    assert time.monotonic() - begun < 5
    assert tracked(folder).finish("FINISHED", patience_s=60) == 0  # another place, later
    assert len(trial_runs(folder)) == 5


def test_a_record_that_is_refused_does_not_hold_up_the_others(folder):
    records.save(folder, record(seed=0) | {"curve": "nonsense"})
    for seed in (1, 2):
        records.save(folder, record(seed=seed))
    tracker = tracked(folder)
    assert tracker.finish("FINISHED", patience_s=5) == 2
    assert "runs wait for it" in (folder / "log" / "mlflow.log").read_text()
    finished = {key for key, run in trial_runs(folder).items() if run.info.status == "FINISHED"}
    assert finished == {"emargin-0000-1", "emargin-0000-2"}


def test_a_study_has_one_driver(folder):
    tracker = tracked(folder)
    with pytest.raises(UserError, match="in use by another process"):
        Tracker(local(folder.parent), folder, dataset="sleepeeg-sim")
    tracker.finish("FINISHED", patience_s=60)
    tracked(folder).finish("FINISHED", patience_s=60)


def test_when_the_delivering_process_is_killed_another_delivers_the_rest(folder):
    tracker = tracked(folder)
    (writer,) = (p for p in psutil.Process().children() if "study.delivery" in p.cmdline())
    writer.kill()
    writer.wait()
    for seed in range(2):
        records.save(folder, record(seed=seed))
        tracker.add(f"emargin-0000-{seed}")
    tracker.note(1, {"trials_ok": 1.0})
    assert tracker.finish("FINISHED", patience_s=60) == 0
    assert trial_runs(folder).keys() == {"emargin-0000-0", "emargin-0000-1"}


def test_the_delivering_process_does_not_outlive_its_driver(folder):
    program = (
        "import pathlib, sys, time; from study.tracking import Tracker; from study.tracking_uri import local;"
        "folder = pathlib.Path(sys.argv[1]);"
        "Tracker(local(folder.parent), folder, dataset='sleepeeg-sim').start({});"
        "print(flush=True); time.sleep(600)"
    )
    command = (sys.executable, "-c", program, str(folder))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        driver.stdout.readline()
        (writer,) = psutil.Process(driver.pid).children()
        driver.kill()
    psutil.wait_procs([writer], timeout=30)
    assert not writer.is_running()
    tracked(folder).finish("FINISHED", patience_s=60)


def test_a_study_that_fails_leaves_no_process(folder):
    with pytest.raises(ZeroDivisionError), contextlib.closing(tracked(folder)):
        raise ZeroDivisionError
    assert not any("study.delivery" in p.cmdline() for p in psutil.Process().children())
    tracked(folder).finish("FINISHED", patience_s=60)


def test_ctrl_c_is_the_drivers(folder):
    """A terminal sends it to its foreground group."""
    with contextlib.closing(tracked(folder)):
        (writer,) = (p for p in psutil.Process().children() if "study.delivery" in p.cmdline())
        assert os.getpgid(writer.pid) != os.getpgid(0)


def test_a_copy_of_the_folder_can_be_delivered_elsewhere(folder, tmp_path):
    records.save(folder, record())
    tracked(folder).finish("FINISHED", patience_s=60)
    copied = tmp_path / "copy" / "small"
    shutil.copytree(folder, copied)
    for _ in range(2):
        assert tracked(copied).finish("FINISHED", patience_s=60) == 0
        assert len(all_runs(copied)) == 2
    assert len(all_runs(folder)) == 2


def test_a_file_that_is_no_database_is_told(folder):
    (folder.parent / "mlflow.db").write_text("a letter, not a database " * 50)
    tracker = Tracker(local(folder.parent), folder, dataset="sleepeeg-sim")
    with pytest.raises(UserError, match="cannot be used"):
        tracker.start({})


def test_a_database_of_another_version_is_told(folder):
    opened(folder)
    with sqlite3.connect(folder.parent / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    program = (
        "import pathlib, sys; from study.tracking_uri import local; from study.tracking import Tracker;"
        "folder = pathlib.Path(sys.argv[1]);"
        "Tracker(local(folder.parent), folder, dataset='sleepeeg-sim').start({})"
    )
    ran = subprocess.run((sys.executable, "-c", program, str(folder)), capture_output=True, text=True)
    assert "UserError: --tracking-uri" in ran.stderr and "mlflow db upgrade" in ran.stderr


def test_what_does_not_answer_is_told_within_seconds(tmp_path):
    started = time.monotonic()
    with pytest.raises(UserError, match="no MLflow server answers"):
        check_answers(AWAY)
    with pytest.raises(UserError, match="no tracking server or database"):
        resolve("file:///tmp/mlruns", tmp_path)
    assert time.monotonic() - started < 10


def test_the_tracking_uri_may_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve(None, tmp_path) == local(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ada:pw@db/mlflow")
    assert resolve(None, tmp_path) == "postgresql://ada:pw@db/mlflow"
    assert resolve("postgresql://ada@db/mlflow", tmp_path) == "postgresql://ada:pw@db/mlflow"
    assert resolve("http://127.0.0.1:5000", tmp_path) == "http://127.0.0.1:5000"


def test_the_ledger_reads_as_it_was_written(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.begin("run-of-study", {"a-0": "1"})
    ledger.add("b-0", "2")
    ledger.forget("a-0")
    again = Ledger(tmp_path)
    assert (again.study_id, again.study_run) == (ledger.study_id, "run-of-study")
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
