"""Wait for a service that is away: try again with growing pauses until it answers or patience ends."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class StorageAway(Exception):
    """A database or a store has not answered for as long as we wait for it."""


def patiently(do: Callable[[], T], *, away: tuple[type[Exception], ...], patience_s: float) -> T:
    """Call `do` until it raises none of `away`; returns its result.

    `do` must give the same result when it is called again after it was half done. Raises StorageAway after
    `patience_s` seconds.
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
