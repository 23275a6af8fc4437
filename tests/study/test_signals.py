"""What the command line does with signals, in this process; test_resume.py stops real studies."""

import argparse
import os
import signal
import subprocess
import sys
import types

import pytest

from study import run, signals
from tests.study.conftest import small_settings


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in (*signals.STOPPING, signal.SIGALRM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_first_signal_interrupts_and_names_the_exit_code(tmp_path, number, code):
    ours = signal.signal(
        number, signal.default_int_handler
    )  # nohup, under which tests may run, ignores SIGHUP
    with signals.handled(tmp_path) as received:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)  # the study is stopping already
        assert received.exit_code == code
    os.kill(os.getpid(), signal.SIGTERM)  # and now it is about to exit
    signal.signal(number, ours)


def test_a_study_that_no_signal_stopped_gives_the_handlers_back(tmp_path):
    before = [signal.getsignal(n) for n in signals.STOPPING]
    with signals.handled(tmp_path):
        assert before != [signal.getsignal(n) for n in signals.STOPPING]
    assert before == [signal.getsignal(n) for n in signals.STOPPING]


def test_nothing_is_delivered_again_once_the_study_is_over(tmp_path):
    """At its very end, Python has no handler any more, and the timer would kill the process."""
    with signals.handled(tmp_path):
        signal.setitimer(signal.ITIMER_REAL, 30)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_the_first_signal_is_acknowledged_at_once(tmp_path, capfd):
    with signals.handled(tmp_path):
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert "Ctrl-C: the study stops" in capfd.readouterr().err


def test_a_second_ctrl_c_ends_at_once(tmp_path, monkeypatch):
    ended = []
    monkeypatch.setattr(signals, "end_at_once", ended.append)
    with signals.handled(tmp_path):
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert ended == [tmp_path]


def test_a_study_survives_its_terminal_after_nohup(tmp_path):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals.handled(tmp_path) as received:
        os.kill(os.getpid(), signal.SIGHUP)
        assert received.number is None


def test_a_study_in_the_background_can_be_interrupted(tmp_path):
    """A script's `python -m study.run ... &` begins with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with signals.handled(tmp_path) as received, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert received.number == signal.SIGINT


WAITING = """
import logging, os, pathlib, signal, sys, threading, time
from study import signals

def fork():
    if not os.fork():
        os._exit(0)
    os.wait()

def at_a_fork():
    os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.SIGTERM))
    fork()

def in_a_finalizer():
    class Dying:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)
    Dying()

def while_logging_has_its_lock():
    def at(frame, event, _):
        if frame.f_code.co_filename == logging.__file__ and logging._lock._is_owned():
            sys.settrace(None)
            signal.raise_signal(signal.SIGTERM)
        return at
    sys.settrace(at)
    fork()

with signals.handled(pathlib.Path(sys.argv[1])) as received:
    try:
        {when}()
        for _ in range(300):
            time.sleep(0.1)
        print("the signal was lost")
    except KeyboardInterrupt:
        other = threading.Thread(target=logging.getLogger("other").setLevel, args=[logging.INFO], daemon=True)
        other.start()
        other.join(10)
        print(received.exit_code, "locked" if other.is_alive() else "free")
"""


@pytest.mark.parametrize("when", ["at_a_fork", "in_a_finalizer", "while_logging_has_its_lock"])
def test_a_signal_that_python_would_drop_stops_the_study_and_leaves_no_lock(tmp_path, when):
    code = (sys.executable, "-c", WAITING.replace("{when}", when), str(tmp_path))
    ran = subprocess.run(code, capture_output=True, text=True, timeout=60)
    assert ran.stdout.split() == ["143", "free"], (ran.stdout, ran.stderr)


@pytest.mark.parametrize("how", ["interrupted", "complete", "is_abandoned"])
def test_a_study_that_was_stopped_ends_the_process_itself(monkeypatch, how):
    """As Python ends, Ray's C++ crashed it (exit code -11) where Ctrl-C had come while Ray started."""
    received, settings = signals.Received(), small_settings()
    received.number = signal.SIGTERM
    outcome = types.SimpleNamespace(interrupted=how == "interrupted", is_abandoned=False, exit_code=0)
    if how == "is_abandoned":
        received.number, outcome.is_abandoned = None, True
    monkeypatch.setattr("study.run_study.run_study", lambda *_, **__: outcome)
    monkeypatch.setattr("study.run.show", lambda *_: None)
    ended = []
    monkeypatch.setattr(signals, "end", ended.append)
    args = argparse.Namespace(extend=None, retry=None, quiet=True)
    with pytest.raises(SystemExit):  # which `signals.end` does not come back for
        run.run(settings, args, received)
    assert ended == [143 if how == "interrupted" else 0]
