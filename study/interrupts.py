"""Work that a KeyboardInterrupt must not break off in the middle runs in a separate thread."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

LOOK_EVERY_S = 1.0
T = TypeVar("T")


def begin(do: Callable[[], T]) -> Future[T]:
    """Call `do` in a separate thread, which does not keep the process alive."""
    ended: Future[T] = Future()

    def run() -> None:
        try:
            ended.set_result(do())
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=run, name=getattr(do, "__name__", "work"), daemon=True).start()
    return ended


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
    ended = begin(do)
    deadline, n_interrupts, is_given_up = time.monotonic() + at_most_s, 0, False
    while not ended.done() and time.monotonic() < deadline:
        try:
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
