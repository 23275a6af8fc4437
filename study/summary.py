"""The summary of a study in numbers: trials by status, the best value of each goal, the hypervolume."""

import math
from typing import Any

import numpy as np

from analysis import fronts
from emargin_train.declarations import declarations
from emargin_train.hyperparameters import all_hyperparameters
from study.goals import goal_values


def is_control(row: dict[str, Any]) -> bool:
    """Whether the training is a control, which the value of a hyper-parameter says, such as a random gate."""
    return any(row.get(name) in one.controls for name, one in all_hyperparameters().items() if one.controls)


class Summary:
    """Counts and best values of a study's trials, updated as they end.

    counts: trials by status; a trial has the worst status of its replicates
    best: for each method, the best mean over replicates of each goal; controls do not count
    hypervolume: area under the front of each trained method, measured from the worst ends of both goals; only
        for two goals that have such ends
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
        """The summary by name, as MLflow shows it in the run of the study."""
        values = {f"trials_{status}": float(n) for status, n in self.counts.items()}
        values["trials_done"] = float(self.done)
        for method, best in self.best.items():
            values |= {f"{method}/best_{goal}": v for goal, v in zip(self.goals, best, strict=True)}
        return values | {f"{method}/hypervolume": v for method, v in self.hypervolume.items()}
