"""The display of a running study: how many trials are done, what is best so far, how long it will take."""

import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from emargin_train.declarations import declarations
from study.summary import Summary


class Progress:
    """A live table on a terminal, a line for each trial elsewhere.

    running: trials that run now
    """

    def __init__(
        self, goals: tuple[str, ...], n_trials: int, *, console: Console | None = None, quiet: bool = False
    ) -> None:
        self.summary, self._n = Summary(goals), n_trials
        self.running = 0
        self._console = console or Console(stderr=True, quiet=quiet)
        self._started, self._earlier = time.monotonic(), 0
        self._live = Live(
            console=self._console, get_renderable=self._display, refresh_per_second=1, transient=True
        )

    def __enter__(self) -> "Progress":
        self._started = time.monotonic()
        if self._console.is_terminal and not self._console.quiet:
            self._live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._live.stop()

    @property
    def done(self) -> int:
        return self.summary.done

    @property
    def counts(self) -> dict[str, int]:
        return self.summary.counts

    def add(self, method: str, trial: str, rows: list[dict[str, Any]], *, earlier: bool = False) -> None:
        """Show that a trial has ended with these rows. earlier: it ended before this run

        References come first and take a moment, so they say nothing about the time that is left.
        """
        status, values = self.summary.add(rows)
        self._earlier += earlier or rows[0].get("role") == "reference"
        if not self._console.is_terminal and not earlier:
            named = zip(self.summary.goals, values or [], strict=False)
            shown = ", ".join(f"{goal} {value:.3f}" for goal, value in named) or status
            left = self._left()
            line = f"{self.done}/{self._n} {trial}: {shown}{'; ' + left if left else ''}"
            self._console.print(line, highlight=False, soft_wrap=True)

    def _pace(self) -> float:
        """Trials that this run finishes in a second."""
        return (self.done - self._earlier) / max(time.monotonic() - self._started, 1e-9)

    def _left(self) -> str:
        pace = self._pace()
        return f"about {_duration((self._n - self.done) / pace)} left" if pace and self.done < self._n else ""

    def _display(self) -> Group:
        summary = self.summary
        counts = ", ".join(f"{n} {name}" for name, n in summary.counts.items() if n or name == "ok")
        words = [
            f"{self.done} of {self._n} trials done ({counts})",
            f"{self.running} running",
            f"{self._n - self.done - self.running} waiting",
        ]
        if self._pace():
            words += [f"{60 * self._pace():.1f} a minute", self._left()]
        lines = Text(" · ".join(word for word in words if word))
        if not summary.best:
            return Group(lines)
        table = Table(caption="best of each goal so far, mean over replicates", caption_justify="left")
        table.add_column("method")
        for goal in summary.goals:
            table.add_column(declarations().metrics[goal].title, justify="right")
        table.add_column("hypervolume", justify="right")
        for method, best in summary.best.items():
            area = summary.hypervolume.get(method)
            values = (f"{value:.3f}" for value in best)
            table.add_row(method, *values, "" if area is None else f"{area:.3f}")
        return Group(lines, table)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
