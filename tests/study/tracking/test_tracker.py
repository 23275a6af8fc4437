"""Export to MLflow in the background: it slows, loses and forgets nothing, whatever the server does."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from emargin_train.errors import UserError
from study import records
from study import sync as study_sync
from study.tracking.tracker import Tracker
from study.tracking.uri import check_answers, local, resolve
from tests.study.conftest import small, small_settings
from tests.study.tracking.views import all_runs, opened, record, replicate_runs, tracked

AWAY = "http://127.0.0.1:9"


def test_the_tracker_exports_in_the_background(folder):
    tracker = tracked(folder)
    for seed in range(3):
        records.save(folder, record(seed=seed))
        tracker.add(f"emargin-0000-0-{seed}")
    tracker.note(1, {"trials_ok": 1.0, "emargin/hypervolume": 0.9})
    assert tracker.finish("FINISHED", patience_s=60) == 0
    assert replicate_runs(folder).keys() == {f"emargin-0000-0-{seed}" for seed in range(3)}
    (study,) = (run for run in all_runs(folder) if run.data.tags["kind"] == "study")
    assert study.info.status == "FINISHED" and study.data.tags["outcome"] == "FINISHED"
    assert study.data.metrics == {"trials_ok": 1.0, "emargin/hypervolume": 0.9}


def test_a_tracker_begins_with_what_an_earlier_one_left(folder):
    records.save(folder, record(seed=0))
    records.save(folder, record(seed=1))
    assert tracked(folder).finish("KILLED", patience_s=60) == 0
    assert replicate_runs(folder).keys() == {"emargin-0000-0-0", "emargin-0000-0-1"}
    assert tracked(folder).finish("FINISHED", patience_s=60) == 0
    assert len(all_runs(folder)) == 4 and {r.info.status for r in all_runs(folder)} == {"FINISHED"}


def test_a_server_that_is_away_slows_nothing_and_loses_nothing(folder):
    tracker = tracked(folder, AWAY)
    begun = time.monotonic()
    for seed in range(5):
        records.save(folder, record(seed=seed))
        tracker.add(f"emargin-0000-0-{seed}")
        tracker.note(seed, {"trials_ok": float(seed)})
    assert time.monotonic() - begun < 0.5
    assert tracker.finish("FINISHED", patience_s=1) == 6  # five trainings, and the study's own run
    assert time.monotonic() - begun < 5
    assert tracked(folder).finish("FINISHED", patience_s=60) == 0  # another place, later
    assert len(replicate_runs(folder)) == 5


def test_a_quiet_study_does_not_say_that_it_waits(folder, monkeypatch, capsys):
    monkeypatch.setattr("study.tracking.tracker.TELL_EVERY_S", 0.0)
    said = []
    for how in ({"say": said.append}, {}):
        tracker = Tracker(local(folder.parent), folder, dataset="sleepeeg-sim", **how)
        for left in (3, 0):
            tracker._heard.put({"left": left})
        assert tracker._wait(9, 9, lambda: None) == 0
        tracker.close()
    assert said == ["mlflow: 3 runs are still to be exported"] == capsys.readouterr().err.splitlines()


def test_a_record_that_is_refused_does_not_hold_up_the_others(folder):
    records.save(folder, record(seed=0, **{"100%": "a name that MLflow refuses"}))
    for seed in (1, 2):
        records.save(folder, record(seed=seed))
    tracker = tracked(folder)
    assert tracker.finish("FINISHED", patience_s=5) == 2
    assert "runs wait for it" in (folder / "log" / "mlflow.log").read_text()
    finished = {key for key, run in replicate_runs(folder).items() if run.info.status == "FINISHED"}
    assert finished == {"emargin-0000-0-1", "emargin-0000-0-2"}


def test_an_exporter_that_is_killed_as_it_begins_is_started_again(folder):
    with contextlib.closing(Tracker(local(folder.parent), folder, dataset="tiny")) as tracker:
        tracker._process.kill()
        tracker._process.wait()
        tracker.start({"trials": "2"})
        assert tracker.finish("FINISHED", patience_s=60) == 0
    assert [run.info.status for run in all_runs(folder)] == ["FINISHED"]


def test_when_the_exporter_is_killed_another_exports_the_rest(folder):
    tracker = tracked(folder)
    (writer,) = (p for p in psutil.Process().children() if "study.tracking.exporter" in p.cmdline())
    writer.kill()
    writer.wait()
    for seed in range(2):
        records.save(folder, record(seed=seed))
        tracker.add(f"emargin-0000-0-{seed}")
    tracker.note(1, {"trials_ok": 1.0})
    assert tracker.finish("FINISHED", patience_s=60) == 0
    assert replicate_runs(folder).keys() == {"emargin-0000-0-0", "emargin-0000-0-1"}


def test_temporary_files_of_an_exporter_that_was_killed_are_removed(folder, tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with contextlib.closing(Tracker(local(folder.parent), folder, dataset="tiny")) as tracker:
        own = Path(psutil.Process(tracker._process.pid).environ()["TMPDIR"])
        assert own.parent == place
        (own / "model").write_bytes(b"half of it")
        tracker._process.kill()
    assert list(place.iterdir()) == []


def test_the_studys_files_are_uploaded_once_its_runs_are(folder):
    (folder / "results.parquet").write_bytes(b"rows")
    (folder / "report").mkdir()
    (folder / "report" / "index.html").write_text("a report")
    with contextlib.closing(tracked(folder)) as tracker:
        assert tracker.finish("FINISHED", patience_s=60, stays=True) == 0
        assert tracker.publish() == ["results.parquet", "report"]
    (study,) = (run for run in all_runs(folder) if run.data.tags["kind"] == "study")
    page = folder.parent / "mlartifacts" / study.info.run_id / "artifacts" / "report" / "index.html"
    assert page.read_text() == "a report"


def test_files_that_cannot_be_uploaded_are_told(folder):
    (folder / "results.parquet").write_bytes(b"rows")
    with contextlib.closing(tracked(folder)) as tracker:
        assert tracker.finish("FINISHED", patience_s=60, stays=True) == 0
        shutil.rmtree(folder.parent / "mlartifacts", ignore_errors=True)
        (folder.parent / "mlartifacts").write_text("a file, where a folder is needed")
        with pytest.raises(UserError, match="its store takes no files"):
            tracker.publish()
    with contextlib.closing(tracked(folder)) as tracker:
        assert tracker.finish("FINISHED", patience_s=60, stays=True) == 0
        tracker._process.kill()
        with pytest.raises(UserError, match="the process that writes to MLflow ended"):
            tracker.publish()


def test_the_exporter_does_not_outlive_its_driver(folder):
    program = (
        "import pathlib, sys, time; from study.tracking.tracker import Tracker;"
        "from study.tracking.uri import local;"
        "folder = pathlib.Path(sys.argv[1]);"
        "tracker = Tracker(local(folder.parent), folder, dataset='sleepeeg-sim');"
        "tracker.start({}); tracker.is_open(wait=True);"
        "print(flush=True); time.sleep(600)"
    )
    command = (sys.executable, "-c", program, str(folder))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        driver.stdout.readline()
        (writer,) = psutil.Process(driver.pid).children()
        driver.kill()
    deadline = time.monotonic() + 30
    while not has_ended(writer):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    tracked(folder).finish("FINISHED", patience_s=60)


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone; on a busy machine, nobody may have asked for its exit code yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_study_that_fails_leaves_no_process(folder):
    with pytest.raises(ZeroDivisionError), contextlib.closing(tracked(folder)):
        raise ZeroDivisionError
    assert not any("study.tracking.exporter" in p.cmdline() for p in psutil.Process().children())
    tracked(folder).finish("FINISHED", patience_s=60)


def test_ctrl_c_is_the_drivers(folder):
    """A terminal sends it to its foreground group."""
    with contextlib.closing(tracked(folder)):
        (writer,) = (p for p in psutil.Process().children() if "study.tracking.exporter" in p.cmdline())
        assert os.getpgid(writer.pid) != os.getpgid(0)


@pytest.mark.slow
def test_a_driver_never_loads_mlflow(tmp_path):
    """Seconds of its start, and its interpreter's time. Ray would, to count a study's callbacks."""
    words = ("--trials", "1", "--seeds", "0", "--references", "raw", "--address", "local", "--out", tmp_path)
    program = (sys.executable, "-X", "importtime", "-m", "study.run", *small(), *words)
    ran = subprocess.run(program, capture_output=True, text=True)
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert ran.returncode == 0 and "ray.tune.tune" in loaded and "mlflow" not in loaded


def test_the_exporter_loads_pytorch_for_models_only():
    """Two seconds of a processor that the first trials need."""
    program = "import sys, study.tracking.exporter; sys.exit('torch' in sys.modules)"
    assert subprocess.run((sys.executable, "-c", program)).returncode == 0


def test_a_copy_of_the_folder_can_be_exported_elsewhere(folder, tmp_path):
    records.save(folder, record())
    tracked(folder).finish("FINISHED", patience_s=60)
    copied = tmp_path / "copy" / "small"
    shutil.copytree(folder, copied)
    for _ in range(2):
        assert tracked(copied).finish("FINISHED", patience_s=60) == 0
        assert len(all_runs(copied)) == 3
    assert len(all_runs(folder)) == 3


def test_a_file_that_is_no_database_is_told(folder):
    (folder.parent / "mlflow.db").write_text("a letter, not a database " * 50)
    tracker = Tracker(local(folder.parent), folder, dataset="sleepeeg-sim")
    tracker.start({})
    with pytest.raises(UserError, match="cannot be used"):
        tracker.is_open(wait=True)
    writer = tracker._process
    assert tracker.finish("KILLED", patience_s=60) == 1 and tracker._process is writer  # no second attempt


def test_a_study_that_is_stopped_before_it_starts_again_closes_its_run(folder):
    assert tracked(folder).finish("KILLED", patience_s=60) == 0
    with contextlib.closing(Tracker(local(folder.parent), folder, dataset="sleepeeg-sim")) as tracker:
        tracker.describe({"trials": "2"})
        tracker.note(1, {"trials_ok": 1.0})
        assert tracker.finish("KILLED", patience_s=60) == 0
    (study,) = (run for run in all_runs(folder) if run.data.tags["kind"] == "study")
    assert study.data.metrics == {"trials_ok": 1.0}
    assert "Error" not in (folder / "log" / "mlflow.log").read_text()


def test_a_database_of_another_version_is_told(folder):
    opened(folder)
    with sqlite3.connect(folder.parent / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    program = (
        "import pathlib, sys; from study.tracking.uri import local;"
        "from study.tracking.tracker import Tracker;"
        "folder = pathlib.Path(sys.argv[1]);"
        "tracker = Tracker(local(folder.parent), folder, dataset='sleepeeg-sim');"
        "tracker.start({}); tracker.is_open(wait=True)"
    )
    ran = subprocess.run((sys.executable, "-c", program, str(folder)), capture_output=True, text=True)
    assert "UserError: --tracking-uri" in ran.stderr and "mlflow db upgrade" in ran.stderr


def test_sync_says_why_mlflow_refuses_a_database(folder, monkeypatch):
    monkeypatch.setattr(
        study_sync.results, "stored_settings", lambda _: small_settings(out=str(folder.parent))
    )
    opened(folder)
    with sqlite3.connect(folder.parent / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(UserError, match="--tracking-uri .* cannot be used .*mlflow db upgrade"):
        study_sync.sync(folder)


def test_what_does_not_answer_is_told_within_seconds(tmp_path):
    started = time.monotonic()
    with pytest.raises(UserError, match="no MLflow server answers"):
        check_answers(AWAY)
    with pytest.raises(UserError, match="neither a tracking server nor a database"):
        resolve("file:///tmp/mlruns", tmp_path)
    assert time.monotonic() - started < 10


def test_the_tracking_uri_may_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve(None, tmp_path) == local(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ada:pw@db/mlflow")
    assert resolve(None, tmp_path) == "postgresql://ada:pw@db/mlflow"
    assert resolve("postgresql://ada@db/mlflow", tmp_path) == "postgresql://ada:pw@db/mlflow"
    assert resolve("http://127.0.0.1:5000", tmp_path) == "http://127.0.0.1:5000"
