"""How the command line reacts to signals: one stops the study properly, a second Ctrl-C ends it at once.

Only `python -m study.run` uses this. A study that is run from Python or from a notebook sets no signal
handler and never ends its process: there Ctrl-C raises a KeyboardInterrupt, and `run_study` returns normally.
"""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import psutil

from emargin_train.program import pasted
from study import own_folders

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
SECOND = "Ctrl-C now ends it at once"
AGAIN_S = 0.02


class Received:
    """The signal that stopped the study; None where none did."""

    number: int | None = None

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as in shells: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + (self.number or signal.SIGINT)


@contextlib.contextmanager
def handled(folder: Path) -> Iterator[Received]:
    """Raise KeyboardInterrupt at the first signal of STOPPING; then only Ctrl-C acts, and ends at once.

    It is raised a little later where `logging` would keep its lock for ever, and again where Python has
    dropped it, as in a finalizer or around a fork.

    Where SIGHUP is ignored, as after `nohup`, it stays ignored. SIGINT is handled even where it is ignored,
    as in a command that a shell runs in the background.
    folder: the study's folder, for the message when it ends at once
    """
    received = Received()

    def stop(number: int, frame: FrameType | None) -> None:
        if received.number is None:
            received.number = number
            _say(f"{NAMES[signal.Signals(number)]}: the study stops and completes its table; {SECOND}")
            interrupt(signal.SIGALRM, frame)
        elif number == signal.SIGINT:
            end_at_once(folder)

    def interrupt(_: int, frame: FrameType | None) -> None:
        if not _is_logging(frame):
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)

    def dropped(what: "UnraisableHookArgs") -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        else:
            hook(what)

    hook, sys.unraisablehook = sys.unraisablehook, dropped
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in before.items():
        if not (number == signal.SIGHUP and handler is signal.SIG_IGN):
            signal.signal(number, stop)
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield received
    finally:
        sys.unraisablehook = hook
        signal.setitimer(signal.ITIMER_REAL, 0)  # at its very end, Python has no handler any more
        if received.number is None:  # else the process is ending, which a second SIGTERM must not cut short
            for number, handler in before.items():
                signal.signal(number, handler)


def _is_logging(frame: FrameType | None) -> bool:
    """Whether a call of `logging` is interrupted, which may have its lock."""
    while frame is not None:
        if frame.f_code.co_filename == logging.__file__:
            return True
        frame = frame.f_back
    return False


def _say(text: str) -> None:
    """A line on standard error, past its buffer, in which the program may be writing at this moment."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # the terminal may be gone
        os.write(sys.stderr.fileno(), f"\n{text}\n".encode())


def end_at_once(folder: Path) -> None:
    """End this process and all that it started; without this, some of Ray's would live on for a minute."""
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    resume = f"; to resume: {pasted('study.run', '--resume', folder)}" if folder.exists() else ""
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(f"{show_cursor}ended at once{resume}", file=sys.stderr, flush=True)
    end(130)


def end(code: int) -> NoReturn:
    """End this process and all that it started, even if a thread still works, and remove their folders."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    family = psutil.Process().children(recursive=True)
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=1)
    own_folders.remove_all()
    os._exit(code)
