"""When a study begins no more trials: time is up, too many failed, a disk or database is lost, or Ctrl-C."""

import time

FULL = ("No space left on device", "Disk quota exceeded")


def is_full(error: object) -> bool:
    """Whether an error, raised here or reported by a worker, says that a disk is full."""
    return any(words in str(error) for words in FULL)


class Stopper:
    """Says whether a trial may still begin. Running trials finish, unless the user interrupts the study.

    deadline: seconds since the epoch, the clock that workers on other machines share; None = no deadline
    interrupted: whether the user has interrupted the study, so that running trials are stopped too
    abandoned: whether we no longer wait for the cluster; what it still reports is not recorded
    """

    def __init__(self, time_budget_s: float | None = None, max_failures: int | None = None) -> None:
        self.deadline = None if time_budget_s is None else time.time() + time_budget_s
        self.interrupted = self.abandoned = False
        self._max_failures = max_failures
        self._failures = 0
        self._reason: str | None = None

    def count_failure(self) -> None:
        """Count a trial of this run that has failed."""
        self._failures += 1
        if self._failures == self._max_failures:
            n = f"{self._failures} trial{'s' if self._failures > 1 else ''}"
            self.close(f"{n} failed (--max-failures {self._max_failures}); see log/*.traceback.txt")

    def interrupt(self) -> None:
        """Begin no more trials, and stop those that run."""
        self.interrupted = True
        self.close("interrupted")

    def close(self, reason: str) -> None:
        """Begin no more trials; the first reason is the one that the user reads."""
        self._reason = self._reason or reason

    @property
    def reached(self) -> str | None:
        """Why no trial begins any more, in words for the user; None while trials may begin."""
        if self._reason is None and self.deadline is not None and time.time() >= self.deadline:
            self.close("the time budget is used up (--time-budget)")
        return self._reason

    @property
    def is_final(self) -> bool:
        """Whether the study stops for another reason than its time: nothing more is measured either."""
        return self.reached is not None and "time budget" not in self.reached
