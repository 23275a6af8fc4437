"""The table into which metrics are put: for each, a value, or None and the reason."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from emargin_train.errors import UserError, nearest
from emargin_train.evaluation.degenerate import Degenerate
from emargin_train.evaluation.metrics import METRICS

MEASURED = tuple(name for name, metric in METRICS.items() if metric.group != "pseudo-label")
NEEDS = {"silhouette_excess": ("silhouette", "silhouette_null")}
"""Metrics that are computed from other metrics."""


def asked_for(metrics: Iterable[str] | None) -> tuple[str, ...]:
    """Return the names in MEASURED that `metrics` contains, in the order of MEASURED; None = all of them.

    Names of pseudo-label metrics are allowed, but left out, since these do not depend on the encoder.
    Raises UserError for a name that is not in METRICS.
    """
    if metrics is None:
        return MEASURED
    wanted = tuple(metrics)
    for name in wanted:
        if name not in METRICS:
            raise UserError(f"metrics names '{name}': {nearest(name, METRICS)}")
    return tuple(name for name in MEASURED if name in wanted)


def names(prefix: str, group: str | None = None, frames: str = "") -> tuple[str, ...]:
    """Return metrics on validation ("") or test ("test_") frames, of one group and kind of frames."""
    of_split = (name for name in MEASURED if name.startswith("test_") == (prefix == "test_"))
    return tuple(n for n in of_split if group in (None, METRICS[n].group) and frames in METRICS[n].frames)


@dataclass
class Table:
    """The wanted metrics. Other names are left out, and nothing is computed for them.

    asked: names in MEASURED
    """

    asked: tuple[str, ...] = MEASURED
    metrics: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        needed = (other for name in self.asked for other in NEEDS.get(name, ()))
        self._wanted = {*self.asked, *needed}

    def wants(self, *names: str) -> bool:
        """Return whether any of these metrics is wanted, or is needed for one that is wanted."""
        return not self._wanted.isdisjoint(names)

    def add(self, names: tuple[str, ...], compute: Callable[[], tuple[float, ...]]) -> None:
        """Put the values of `compute` under these names; None where it raises Degenerate or is not finite."""
        if not self.wants(*names):
            return
        try:
            values = dict(zip(names, compute(), strict=True))
        except Degenerate as reason:
            self.none(names, str(reason))
            return
        for name in self._wanted.intersection(names):
            if np.isfinite(values[name]):
                self.metrics[name] = float(values[name])
            else:
                self.none((name,), f"its formula gives {values[name]} on these embeddings")

    def none(self, names: tuple[str, ...], reason: str) -> None:
        """Put None under these names, with the reason."""
        for name in self._wanted.intersection(names):
            self.metrics[name] = None
            self.reasons[name] = reason
