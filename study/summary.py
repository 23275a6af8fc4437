"""The summary of a study in numbers: trials by status, the best of each goal, the area under each front."""

import math
from typing import Any

import numpy as np

from analysis import fronts
from emargin_train.declarations import declarations
from emargin_train.hyperparameters import all_hyperparameters
from study.trial import goal_values


def is_control(row: dict[str, Any]) -> bool:
    """Whether a hyper-parameter has a value that makes the training a control, as a random gate does."""
    return any(row.get(name) in one.controls for name, one in all_hyperparameters().items() if one.controls)


class Summary:
    """Counts and bests of a study's trials as they end.

    counts: trials by status; a trial has the worst status of its replicates
    best: best value of each goal, by method, mean over replicates; without trials that are controls
    hypervolume: area under the front of each trained method, from the worst ends of two bounded goals
    """

    def __init__(self, goals: tuple[str, ...]) -> None:
        self.goals = goals
        self.counts = {"ok": 0, "diverged": 0, "failed": 0}
        self.best: dict[str, list[float]] = {}
        self.hypervolume: dict[str, float] = {}
        self._fronts: dict[str, np.ndarray] = {}
        metrics = [declarations().metrics[goal] for goal in goals]
        self._ends = [metric.best or "max" for metric in metrics]
        worst = [metric.low if metric.best == "max" else metric.high for metric in metrics]
        self._worst = worst if len(goals) == 2 and all(map(math.isfinite, worst)) else None

    @property
    def done(self) -> int:
        return sum(self.counts.values())

    def add(self, rows: list[dict[str, Any]]) -> tuple[str, list[float] | None]:
        """Count a trial with these rows; returns its status, and its goals where all replicates have them."""
        statuses = {row["status"] for row in rows}
        status = next(s for s in ("failed", "diverged", "ok") if s in statuses)
        self.counts[status] += 1
        values = goal_values(rows, self.goals)
        if values is not None and not is_control(rows[0]):
            self._better(rows[0]["method"], rows[0].get("role") != "reference", values)
        return status, values

    def _better(self, method: str, trained: bool, values: list[float]) -> None:
        best = self.best.setdefault(method, list(values))
        best[:] = [
            (max if end == "max" else min)(old, new)
            for end, old, new in zip(self._ends, best, values, strict=True)
        ]
        if self._worst is None or not trained:
            return
        points = np.vstack([self._fronts.get(method, np.empty((0, 2))), values])
        on_front = fronts.non_dominated(points, self._ends)
        if not on_front[-1]:
            return
        self._fronts[method] = points[on_front]
        self.hypervolume[method] = fronts.hypervolume(self._fronts[method], self._worst, self._ends)

    def metrics(self) -> dict[str, float]:
        """The summary by name, as MLflow shows it on the study's own run."""
        values = {f"trials_{status}": float(n) for status, n in self.counts.items()}
        values["trials_done"] = float(self.done)
        for method, best in self.best.items():
            values |= {f"{method}/best_{goal}": v for goal, v in zip(self.goals, best, strict=True)}
        return values | {f"{method}/hypervolume": v for method, v in self.hypervolume.items()}
