"""Metrics as they come in: a value, or None and why."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from emargin_train.evaluation.degenerate import Degenerate
from emargin_train.evaluation.metrics import METRICS

MEASURED = tuple(name for name, metric in METRICS.items() if metric.group != "pseudo-label")


def names(prefix: str, group: str | None = None, frames: str = "") -> tuple[str, ...]:
    """Metrics on validation ("") or test ("test_") frames, of one group and kind of frames, or of all."""
    on_side = (name for name in MEASURED if name.startswith("test_") == (prefix == "test_"))
    return tuple(n for n in on_side if group in (None, METRICS[n].group) and frames in METRICS[n].frames)


@dataclass
class Table:
    """Names outside METRICS are left out: one battery serves validation and the shorter list of test."""

    metrics: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, names: tuple[str, ...], compute: Callable[[], tuple[float, ...]]) -> None:
        """Put what `compute` returns under these names; None where it raises Degenerate or is not finite."""
        wanted = set(names) & METRICS.keys()
        if not wanted:
            return
        try:
            values = dict(zip(names, compute(), strict=True))
        except Degenerate as reason:
            self.none(names, str(reason))
            return
        for name in wanted:
            if np.isfinite(values[name]):
                self.metrics[name] = float(values[name])
            else:
                self.none((name,), f"its formula gives {values[name]} on these embeddings")

    def none(self, names: tuple[str, ...], reason: str) -> None:
        for name in set(names) & METRICS.keys():
            self.metrics[name] = None
            self.reasons[name] = reason
