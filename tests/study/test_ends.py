"""However a study ends, its books are closed: the table is complete, and no temporary files remain."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray

from emargin_train.errors import UserError
from study import closing, interrupts, own_folders, plan, results
from study.closing import Books, StudyEnded, closed_in_the_end
from study.cluster import ray_private
from study.run_study import _trainings, run_study
from study.stopper import Stopper
from study.summary import Summary
from tests.study.books import NAME, begin, descendants, n_records, stable, wait_until
from tests.study.books import Books as AllBooks
from tests.study.conftest import command, small_settings


class FakeTracker:
    """Takes its time, and remembers how it was closed."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.ends = seconds, []
        self.before = lambda: None
        self.patience_s = 0.0

    def note(self, *_):
        pass

    def finish(self, outcome, *, patience_s, **_):
        self.before()
        self.patience_s = patience_s
        time.sleep(self.seconds)
        self.ends.append(outcome)
        return 0


@pytest.fixture
def books(tmp_path):
    settings = plan.resolved(small_settings(out=str(tmp_path)))
    results.make_folder(settings)
    results.store(settings)
    return Books(settings, plan.arms(settings), FakeTracker(), Stopper(), Summary(settings.goals))


def table(books):
    return pq.read_table(books.settings.folder / "results.parquet")


def test_a_signal_while_the_books_are_closed_breaks_nothing(books, monkeypatch):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    books.tracker.seconds = 0.5
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with closed_in_the_end(books):
        pass
    assert books.tracker.ends == ["KILLED"] and table(books).num_rows == 0 and books.stopper.interrupted


@pytest.mark.parametrize("is_complete", [True, False])
def test_a_stopped_study_has_its_table_before_mlflow_is_waited_for(books, monkeypatch, is_complete):
    """A scheduler kills the process soon after its SIGTERM, and MLflow may not answer."""
    monkeypatch.setattr(closing.plan, "trials", lambda _: [] if is_complete else [1])
    monkeypatch.setattr(closing.records, "finished", lambda *_: {})
    there = []
    books.tracker.before = lambda: there.append(table(books).num_rows)
    with closed_in_the_end(books), closing.closed(books):
        raise KeyboardInterrupt
    assert books.tracker.ends == ["FINISHED" if is_complete else "KILLED"] and there == [0]
    assert books.tracker.patience_s == closing.STOPPED_PATIENCE_S and books.stopper.interrupted


def test_the_books_are_closed_once(books):
    with closed_in_the_end(books):
        books.close()
        books.close()
    assert books.tracker.ends == ["KILLED"]


def test_an_exception_of_the_driver_ends_in_one_line_with_closed_books(books):
    with pytest.raises(StudyEnded) as ended, closed_in_the_end(books):
        raise ZeroDivisionError("a fault\nof two lines")
    line = str(ended.value)
    assert "ZeroDivisionError: a fault of two lines" in line and f"--resume {books.settings.folder}" in line
    assert "\n" not in line and isinstance(ended.value.__cause__, ZeroDivisionError)
    assert "ZeroDivisionError" in (books.settings.folder / "log" / "driver.traceback.txt").read_text()
    assert books.tracker.ends == ["KILLED"] and table(books).num_rows == 0


def test_an_export_that_fails_does_not_leave_mlflow_open(books, monkeypatch):
    monkeypatch.setattr(closing.results, "export", lambda *_: 1 / 0)
    with pytest.raises(StudyEnded), closed_in_the_end(books):
        pass
    assert books.tracker.ends == ["KILLED"]


def test_an_interrupt_while_libraries_are_loaded_leaves_no_half_of_a_module(monkeypatch):
    """The end of the study needs them, too: half of pandas ended it with an AttributeError."""
    whole = []

    def slow(name):
        if not whole:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
            whole.append(name)
        return name

    monkeypatch.setattr("study.run_study.import_module", slow)
    stopper = Stopper()
    assert _trainings(stopper) == "study.cluster.trainings" and whole and stopper.interrupted


LOADS = """
import sys
sys.path.insert(0, sys.argv[1])
from study import interrupts
interrupts.load("takes_long")
"""


def test_a_process_ends_after_what_a_thread_loads(tmp_path):
    """An extension module that initialises itself while Python ends crashed one study in seven."""
    (tmp_path / "takes_long.py").write_text("import time\ntime.sleep(1)\nprint('whole', flush=True)\n")
    ran = subprocess.run((sys.executable, "-c", LOADS, str(tmp_path)), capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "whole\n")


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_while_a_thread_is_started_is_one_interrupt(monkeypatch, when):
    """What the thread does is done once, and whole."""
    start, interrupts_left, done, interrupted = threading.Thread.start, [when], [], []

    def interrupting(thread):
        if interrupts_left == ["before"]:
            raise KeyboardInterrupt(interrupts_left.pop())
        start(thread)
        if interrupts_left:
            raise KeyboardInterrupt(interrupts_left.pop())

    monkeypatch.setattr(threading.Thread, "start", interrupting)
    assert interrupts.finish(
        lambda: done.append(time.sleep(0.2)), interrupted=lambda: interrupted.append(when), patience_s=5
    )
    assert (len(done), interrupted) == (1, [when])


def test_what_waits_for_something_that_is_gone_is_given_up():
    begun = time.monotonic()
    never = threading.Event()
    assert not interrupts.finish(never.wait, is_lost=lambda: True, patience_s=0.2)
    assert not interrupts.finish(never.wait, patience_s=9, at_most_s=0.2)
    assert time.monotonic() - begun < 4
    with pytest.raises(ZeroDivisionError):
        interrupts.finish(lambda: 1 / 0, patience_s=1)


def test_folders_of_dead_processes_are_swept_and_those_of_living_ones_stay(tmp_path):
    code = (
        "import os, sys; from study import own_folders\n"
        "with own_folders.temporary('trial', run='dead', parent=sys.argv[1]): os._exit(9)"
    )
    subprocess.run((sys.executable, "-c", code, str(tmp_path)), check=False)
    (left,) = tmp_path.iterdir()
    with own_folders.temporary("trial", run="living", parent=str(tmp_path)) as mine:
        assert not left.exists()
        own_folders.sweep(tmp_path)
        assert mine.exists()
    assert list(tmp_path.iterdir()) == []


def statuses(out):
    with sqlite3.connect(out / "mlflow.db") as connection:
        return {status for (status,) in connection.execute("SELECT status FROM runs")}


def test_a_ray_that_does_not_start_is_told_in_one_line_and_nothing_stays_open(tmp_path, monkeypatch):
    def no_ray(*_, **__):
        raise RuntimeError("Failed to start the GCS\nbecause there is no memory")

    monkeypatch.setattr(ray_private, "init", no_ray)
    settings = small_settings(out=str(tmp_path), address="local")
    with pytest.raises(UserError, match="start Ray here.*no memory.*to resume: .*python -m") as refused:
        run_study(settings)
    assert "\n" not in str(refused.value) and not ray.is_initialized()
    assert pq.read_table(settings.folder / "results.parquet").num_rows == 0
    assert not list(own_folders_here())


def test_a_long_tmpdir_is_not_rays(tmp_path, monkeypatch):
    from study.cluster.connection import MAX_PARENT, _short_parent

    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    assert len(_short_parent()) <= MAX_PARENT and os.access(_short_parent(), os.W_OK)


def own_folders_here():
    for parent in {tempfile.gettempdir(), os.environ.get("RAY_TMPDIR", "/tmp")}:
        for kind in own_folders.KINDS:
            yield from Path(parent).glob(f"emargin-{kind}-{own_folders.RUN}-*")


@pytest.fixture
def sandbox():
    """A TMPDIR of the study's own, with a path that is short enough for Ray."""
    with tempfile.TemporaryDirectory(prefix="s-", dir="/tmp") as folder:
        yield Path(folder)


def killed(words):
    """Kill one of the driver's processes by its title."""

    def strike(driver):
        (pid,) = [pid for pid, title in descendants(driver.pid).items() if words in title]
        os.kill(pid, signal.SIGKILL)

    return strike


def shared_memory():
    """The files in /dev/shm, but for those of a database server beside the study."""
    return {name for name in os.listdir("/dev/shm") if not name.startswith("PostgreSQL")}


ENDS = {
    "SIGTERM": (lambda driver: os.kill(driver.pid, signal.SIGTERM), 143),
    "SIGHUP": (lambda driver: os.kill(driver.pid, signal.SIGHUP), 129),
    "Ctrl-C and SIGTERM": (
        lambda driver: (os.killpg(driver.pid, signal.SIGINT), os.kill(driver.pid, signal.SIGTERM)),
        130,
    ),
    "GCS killed": (killed("gcs_server"), 1),
}


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", ENDS)
def test_a_study_that_is_stopped_closes_its_books_and_leaves_nothing(tmp_path, sandbox, fault):
    strike, code = ENDS[fault]
    before = shared_memory()
    driver = begin(tmp_path, TMPDIR=str(sandbox), RAY_TMPDIR=str(sandbox))
    wait_until(lambda: n_records(tmp_path) >= 3, driver)
    family = descendants(driver.pid)
    strike(driver)
    struck = time.monotonic()
    said, _ = driver.communicate(timeout=120)
    seconds = time.monotonic() - struck
    assert driver.returncode == code, said
    assert f"python -m study.run --resume {tmp_path / NAME}" in said and "Traceback" not in said
    assert pq.read_table(tmp_path / NAME / "results.parquet").num_rows == n_records(tmp_path)
    assert "RUNNING" not in statuses(tmp_path) and "KILLED" in statuses(tmp_path)
    deadline = time.monotonic() + 10
    while left := [title for pid, title in family.items() if Path(f"/proc/{pid}").exists()] + sorted(
        shared_memory() - before
    ):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    assert not list(sandbox.glob("*emargin-*"))
    print(
        f"ended after {fault}: {seconds:.1f} s, exit code {code}; left: 0 processes, 0 folders, 0 in /dev/shm"
    )
    if code > 128:
        assert seconds < 30
    ran = command("--resume", str(tmp_path / NAME), timeout=600)
    assert ran.returncode == 0, ran.stderr
    AllBooks.of(tmp_path).check(fault, stable(tmp_path))


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_study_whose_reader_has_gone_runs_to_its_end(tmp_path):
    """As `python -m study.run ... 2>&1 | head -1` does."""
    driver = begin(tmp_path)
    driver.stdout.close()
    assert driver.wait(timeout=600) == 0
    AllBooks.of(tmp_path).check("a closed pipe", stable(tmp_path))
