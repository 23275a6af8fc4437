"""What the command line does with signals, in this process; test_resume.py stops real studies."""

import os
import signal

import pytest

from study import signals


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in signals.STOPPING}
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
