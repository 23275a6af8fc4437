"""Work that a KeyboardInterrupt must not break off in the middle runs in a separate thread."""

import atexit
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from importlib import import_module
from typing import TypeVar

LOOK_EVERY_S = 1.0
LOAD_S = 20.0  # for an import, which takes seconds, and more on a busy machine
T = TypeVar("T")


def begin(do: Callable[[], T]) -> Future[T]:
    """Call `do` in a separate thread, which does not keep the process alive."""
    ended: Future[T] = Future()
    _start(do, ended, threading.Lock())
    return ended


def load(module: str) -> None:
    """Import a module in a separate thread, so that it is there when it is needed.

    At its end, the process waits for the import: a process that ends in the middle of one may crash.
    """
    if module in sys.modules:
        return
    ended: Future[object] = Future()
    atexit.register(wait, [ended], timeout=LOAD_S)
    try:
        _start(partial(import_module, module), ended, threading.Lock())
    except RuntimeError as error:  # there can be no more threads: it is imported when it is needed
        ended.set_exception(error)


def _start(do: Callable[[], T], ended: Future[T], begun: threading.Lock) -> None:
    """Start the thread. If an interrupt breaks this off, it can be called again: `do` runs once."""

    def run() -> None:
        if not begun.acquire(blocking=False):
            return
        try:
            ended.set_result(do())
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=run, name=getattr(do, "__name__", "work"), daemon=True).start()


def finish(
    do: Callable[[], object],
    *,
    interrupted: Callable[[], None] = lambda: None,
    is_lost: Callable[[], bool] = lambda: False,
    patience_s: float,
    at_most_s: float = float("inf"),
    look_every_s: float = LOOK_EVERY_S,
) -> bool:
    """Call `do` and wait for it; returns whether it has ended. Raises what `do` raises.

    interrupted: called at the first KeyboardInterrupt; a second one is raised
    is_lost: called every `look_every_s`; true means that `do` waits for something that is gone
    patience_s: how long we still wait for `do` after the first KeyboardInterrupt, or after `is_lost` was true
    at_most_s: how long we wait for `do` in any case
    """
    ended, begun = Future[object](), threading.Lock()
    deadline, n_interrupts, is_given_up, is_started = time.monotonic() + at_most_s, 0, False, False
    while not ended.done() and time.monotonic() < deadline:
        try:
            if not is_started:
                _start(do, ended, begun)
                is_started = True
            wait([ended], timeout=min(look_every_s, max(0.0, deadline - time.monotonic())))
            if not is_given_up and is_lost():
                is_given_up, deadline = True, min(deadline, time.monotonic() + patience_s)
        except KeyboardInterrupt:
            n_interrupts += 1
            if n_interrupts > 1:
                raise
            interrupted()
            deadline = min(deadline, time.monotonic() + patience_s)
    if ended.done():
        ended.result()
    return ended.done()
