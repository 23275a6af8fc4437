"""A trial as a run: the means over its replicates, above the runs of these; and what runs say in words."""

import functools
import getpass
from typing import Any

from emargin_train.cost import git_revision
from emargin_train.declarations import declarations
from emargin_train.hyperparameters import all_hyperparameters

WORST_FIRST = ("failed", "diverged", "ok")
ABOUT = (
    "method", "encoder", "encoder_variant", "dataset", "data_hash", "split", "noise_kind", "gate_given_as",
    "evaluation_frames",
)  # fmt: skip
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
    found = {name: [row.get(name) for row in rows] for name in (*declarations().metrics, *COST)}
    return {
        name: sum(float(v) for v in values if v is not None) / len(values)
        for name, values in found.items()
        if all(v is not None for v in values)
    }


def setting(row: dict[str, Any]) -> dict[str, Any]:
    """The hyper-parameters of a replicate's trial, as they were given, by column.

    Of two that determine each other, as threshold and dissimilar_share, the other depends on the replicate.
    """
    known = all_hyperparameters()
    given = row.get("gate_given_as")
    pairs = [(one.column, one.instead_of) for one in known.values() if one.instead_of is not None]
    resolved = {other if given == own else own for own, other in pairs}
    return {name: row[name] for name in known if row.get(name) is not None and name not in resolved}


def params(row: dict[str, Any]) -> dict[str, str]:
    """What all replicates of a trial have in common, as text by column."""
    about = {name: row[name] for name in ABOUT if row.get(name) is not None}
    return {name: str(value) for name, value in (setting(row) | about).items()}


def varied(of_study: dict[str, str], method: str) -> list[str]:
    """The hyper-parameters that a study varies for a method: ranges and lists in the study's parameters."""
    texts = {name: of_study.get(f"{method}/{name}", "") for name in all_hyperparameters()}
    return [name for name, text in texts.items() if ":" in text or "," in text]


def description(of_study: dict[str, str], rows: list[dict[str, Any]]) -> str:
    """The hyper-parameters of a trial for people to read: first those that the study varied.

    of_study: the study's parameters
    """
    values = setting(rows[0])
    own = [name for name in varied(of_study, rows[0]["method"]) if name in values]
    others = [name for name in values if name not in own]

    def told(names: list[str]) -> str:
        return ", ".join(f"{name} = {_short(values[name])}" for name in names)

    parts = [f"Varied: {told(own)}"] if own else []
    parts += [f"Fixed: {told(others)}"] if others else []
    return "  \n".join([*parts, f"Mean over {len(rows)} replicate{'s' if len(rows) > 1 else ''}."])


def study_description(of_study: dict[str, str]) -> str:
    """What a study varies, for people to read.

    of_study: the study's parameters
    """
    arms = {name.partition("/")[0]: None for name in of_study if "/" in name}
    lines = [f"Goals: {of_study['goals'].replace(',', ', ')}."] if "goals" in of_study else []
    for method in arms:
        own = [f"{name} {of_study[f'{method}/{name}']}" for name in varied(of_study, method)]
        lines += [f"{method}: {', '.join(own)}."] if own else []
    if "seeds" in of_study:
        lines.append(f"Each trial: split seeds {of_study.get('split_seeds')} × seeds {of_study['seeds']}.")
    return "  \n".join(lines)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
