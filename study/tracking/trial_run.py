"""A trial as a run: the means over its replicates, above the runs of these."""

import functools
import getpass
from collections.abc import Iterable
from typing import Any

from emargin_train.cost import git_revision
from emargin_train.evaluation.metrics import METRICS
from emargin_train.hyperparameters import all_hyperparameters

WORST_FIRST = ("failed", "diverged", "ok")
COST = ("data_seconds", "train_seconds", "eval_seconds", "peak_memory_mb", "final_loss")


@functools.cache
def source() -> dict[str, str]:
    """Tags that say who runs the study, and with which version of this program."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # in a container, a user may have no name
        user = "unknown"
    tags = {"mlflow.user": user, "mlflow.source.name": "study.run", "mlflow.source.type": "LOCAL"}
    revision = git_revision()
    return tags | ({"mlflow.source.git.commit": revision.rstrip("+")} if revision else {})


def status(rows: list[dict[str, Any]]) -> str:
    """The worst status of the replicates."""
    return next(one for one in WORST_FIRST if any(row["status"] == one for row in rows))


def means(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The mean over replicates of each metric that all of them have, as the search sees it."""
    found = {name: [row.get(name) for row in rows] for name in (*METRICS, *COST)}
    return {
        name: sum(float(v) for v in values if v is not None) / len(values)
        for name, values in found.items()
        if all(v is not None for v in values)
    }


def shared(rows: list[dict[str, Any]], apart: Iterable[str]) -> dict[str, str]:
    """What all replicates have in common, as text by column: the setting."""
    first, apart = rows[0], {*apart}
    return {
        name: str(value)
        for name, value in first.items()
        if name not in apart and value is not None and all(row.get(name) == value for row in rows)
    }


def varied(params: dict[str, str], method: str) -> list[str]:
    """The hyper-parameters that a study varies for a method: ranges and lists in the study's parameters."""
    texts = {name: params.get(f"{method}/{name}", "") for name in all_hyperparameters()}
    return [name for name, text in texts.items() if ":" in text or "," in text]


def description(params: dict[str, str], rows: list[dict[str, Any]]) -> str:
    """The hyper-parameters of a trial for people to read: first those that the study varied."""
    first = rows[0]
    own = [name for name in varied(params, first["method"]) if first.get(name) is not None]
    others = [name for name in all_hyperparameters() if name not in own and first.get(name) is not None]

    def told(names: list[str]) -> str:
        return ", ".join(f"{name} = {_short(first[name])}" for name in names)

    parts = [f"Varied: {told(own)}"] if own else []
    parts += [f"Fixed: {told(others)}"] if others else []
    return "  \n".join([*parts, f"Mean over {len(rows)} replicate{'s' if len(rows) > 1 else ''}."])


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
