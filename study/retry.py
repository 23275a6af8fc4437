"""Wait for a service that does not answer: try again, after growing pauses, for a limited time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class StorageAway(Exception):
    """A database or a store has not answered within the time that we wait for it."""


def patiently(do: Callable[[], T], *, away: tuple[type[Exception], ...], patience_s: float) -> T:
    """Call `do` again and again until it raises none of `away`; returns its result.

    `do` may be interrupted half-way, and must give the same result when it is called again. Raises
    StorageAway after `patience_s` seconds.
    """
    deadline = time.monotonic() + patience_s
    pause_s = 0.1
    while True:
        try:
            return do()
        except away as error:
            if time.monotonic() + pause_s > deadline:
                raise StorageAway(f"no answer for {patience_s:.0f} s, {type(error).__name__}") from error
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 5.0)
