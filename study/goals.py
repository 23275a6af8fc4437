"""The goals of a study: which end of each is best, and the values that a trial reaches."""

from typing import Any, Literal

from emargin_train.declarations import declarations


def goal_values(rows: list[dict[str, Any]], goals: tuple[str, ...]) -> list[float] | None:
    """The mean of each goal over replicates; None where a replicate is not ok or a goal is null."""
    if not rows or any(row["status"] != "ok" for row in rows):
        return None
    columns: list[list[float]] = [[row[goal] for row in rows if row[goal] is not None] for goal in goals]
    if any(len(column) < len(rows) for column in columns):
        return None
    return [sum(column) / len(column) for column in columns]


def directions(goals: tuple[str, ...]) -> list[Literal["maximize", "minimize"]]:
    """Optuna's name of each goal's best end."""
    metrics = declarations().metrics
    return ["maximize" if metrics[goal].best == "max" else "minimize" for goal in goals]
