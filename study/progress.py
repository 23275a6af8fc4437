"""One calm display: how many are done, what is best so far, how long it will take."""

import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from emargin_train.evaluation import METRICS
from study.trial import goal_values


class Progress:
    """Counts trials by status; a live table on a terminal, a line per trial elsewhere."""

    def __init__(self, goals: tuple[str, ...], n_trials: int, *, console: Console | None = None) -> None:
        self._goals, self._n = goals, n_trials
        self._console = console or Console(stderr=True)
        self._started = time.monotonic()
        self._best: dict[str, list[float]] = {}
        self.running = 0
        self.counts = {"ok": 0, "diverged": 0, "failed": 0}
        self._live = Live(
            console=self._console, get_renderable=self._table, refresh_per_second=1, transient=True
        )

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._live.stop()

    @property
    def done(self) -> int:
        return sum(self.counts.values())

    def add(self, objective: str, trial: str, rows: list[dict[str, Any]], *, earlier: bool = False) -> None:
        """A trial has ended with these rows; its status is its worst seed's. earlier: before this run."""
        statuses = {row["status"] for row in rows}
        status = next(s for s in ("failed", "diverged", "ok") if s in statuses)
        self.counts[status] += 1
        values = goal_values(rows, self._goals)
        if values is not None:
            best = self._best.setdefault(objective, list(values))
            for i, goal in enumerate(self._goals):
                best[i] = (max if METRICS[goal].best == "max" else min)(best[i], values[i])
        if not self._console.is_terminal and not earlier:
            shown = (
                ", ".join(f"{g} {v:.3f}" for g, v in zip(self._goals, values or [], strict=False)) or status
            )
            self._console.print(
                f"{self.done}/{self._n} {trial}: {shown}{self._left()}", highlight=False, soft_wrap=True
            )

    def _left(self) -> str:
        if not self.done or self.done == self._n:
            return ""
        left = (time.monotonic() - self._started) / self.done * (self._n - self.done)
        return f"; about {_minutes(left)} left"

    def _table(self) -> Table:
        counts = ", ".join(f"{n} {name}" for name, n in self.counts.items() if n or name == "ok")
        waiting = self._n - self.done - self.running
        title = (
            f"{self.done}/{self._n} done ({counts}), {self.running} running, {waiting} waiting{self._left()}"
        )
        table = Table(title=title, title_justify="left", caption="best of each goal so far, mean over seeds")
        table.add_column("objective")
        for goal in self._goals:
            table.add_column(METRICS[goal].title, justify="right")
        for objective, best in self._best.items():
            table.add_row(objective, *(f"{value:.3f}" for value in best))
        return table


def _minutes(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
