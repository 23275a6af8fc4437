"""When a study begins no more trials: its time is up, too many failed, or its disk or database is gone."""

import time

FULL = ("No space left on device", "Disk quota exceeded")


def is_full(error: object) -> bool:
    """Whether an error, of ours or told by a worker, says that a disk is full."""
    return any(words in str(error) for words in FULL)


class Limits:
    """Asked before each trial; running ones finish, and the study can be gone on with.

    deadline: seconds since the epoch, the clock that workers on other machines share
    """

    def __init__(self, time_budget_s: float | None = None, max_failures: int | None = None) -> None:
        self.deadline = None if time_budget_s is None else time.time() + time_budget_s
        self._max_failures = max_failures
        self._failures = 0
        self._reason: str | None = None

    def count_failure(self) -> None:
        """A trial of this run has failed."""
        self._failures += 1
        if self._failures == self._max_failures:
            n = f"{self._failures} trial{'s' if self._failures > 1 else ''}"
            self.close(f"{n} failed (--max-failures {self._max_failures}); see log/*.traceback.txt")

    def close(self, reason: str) -> None:
        """Begin no more trials; the first reason is the one told."""
        self._reason = self._reason or reason

    @property
    def reached(self) -> str | None:
        """Why no trial begins, in words for the user; None while they do."""
        if self._reason is None and self.deadline is not None and time.time() >= self.deadline:
            self.close("the time budget is used up (--time-budget)")
        return self._reason
