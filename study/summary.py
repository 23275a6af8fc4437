"""How a study stands: trials by status, the best of each goal, the area under each front. Numbers only."""

import math
from typing import Any

import numpy as np

from analysis import fronts
from emargin_train.evaluation.metrics import METRICS
from study.trial import goal_values


class Summary:
    """Counts and bests of a study's trials as they end.

    counts: trials by status, of which a trial has its worst seed's
    best: best value of each goal, by objective, mean over seeds; without trials whose gate is a control
    hypervolume: area under the front of each trained objective, from the worst ends of two bounded goals
    """

    def __init__(self, goals: tuple[str, ...]) -> None:
        self.goals = goals
        self.counts = {"ok": 0, "diverged": 0, "failed": 0}
        self.best: dict[str, list[float]] = {}
        self.hypervolume: dict[str, float] = {}
        self._fronts: dict[str, np.ndarray] = {}
        metrics = [METRICS[goal] for goal in goals]
        self._ends = [metric.best or "max" for metric in metrics]
        worst = [metric.low if metric.best == "max" else metric.high for metric in metrics]
        self._worst = worst if len(goals) == 2 and all(map(math.isfinite, worst)) else None

    @property
    def done(self) -> int:
        return sum(self.counts.values())

    def add(self, rows: list[dict[str, Any]]) -> tuple[str, list[float] | None]:
        """A trial has ended with these rows; its status, and its goals where every seed has them."""
        statuses = {row["status"] for row in rows}
        status = next(s for s in ("failed", "diverged", "ok") if s in statuses)
        self.counts[status] += 1
        values = goal_values(rows, self.goals)
        if values is not None and rows[0].get("gate") in (None, "intended", "released"):
            self._better(rows[0]["objective"], rows[0].get("role") != "reference", values)
        return status, values

    def _better(self, objective: str, trained: bool, values: list[float]) -> None:
        best = self.best.setdefault(objective, list(values))
        best[:] = [
            (max if end == "max" else min)(old, new)
            for end, old, new in zip(self._ends, best, values, strict=True)
        ]
        if self._worst is None or not trained:
            return
        points = np.vstack([self._fronts.get(objective, np.empty((0, 2))), values])
        on_front = fronts.non_dominated(points, self._ends)
        if not on_front[-1]:
            return
        self._fronts[objective] = points[on_front]
        self.hypervolume[objective] = fronts.hypervolume(self._fronts[objective], self._worst, self._ends)

    def metrics(self) -> dict[str, float]:
        """By name, as MLflow shows them on the study's own run."""
        values = {f"trials_{status}": float(n) for status, n in self.counts.items()}
        values["trials_done"] = float(self.done)
        for objective, best in self.best.items():
            values |= {f"{objective}/best_{goal}": v for goal, v in zip(self.goals, best, strict=True)}
        return values | {f"{objective}/hypervolume": v for objective, v in self.hypervolume.items()}
