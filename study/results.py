"""A study on disk: settings, manifest, and the table made of its records."""

import dataclasses
import json
import os
import platform
from collections.abc import Iterable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from emargin_train.cost import git_revision
from emargin_train.errors import UserError
from emargin_train.evaluation.metrics import METRICS
from emargin_train.files import write_whole
from study.records import Rows
from study.settings import StudySettings
from study.tracking import sync_state
from study.trial import directions, goal_values

SCHEMA_VERSION = "1"
TEXT, INT, NUMBER, TIME = pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", tz="UTC")

COLUMNS: dict[str, pa.DataType] = {
    # who
    "study": TEXT, "trial": TEXT, "role": TEXT, "config_hash": TEXT, "seed": INT, "split_seed": INT,
    "data_hash": TEXT, "git_revision": TEXT, "started_at": TIME, "device": TEXT, "mlflow_run_id": TEXT,
    # setting
    "dataset": TEXT, "split": TEXT, "objective": TEXT, "gate": TEXT, "threshold": NUMBER,
    "dissimilar_share": NUMBER, "margin": NUMBER, "temperature": NUMBER, "neighbours": INT,
    "similar_sign": INT, "gamma": NUMBER, "head": TEXT, "kernel_size": INT, "framing": TEXT,
    "iterations": INT, "batch_size": INT, "sequence_length": INT, "evaluation_frames": INT,
    "snr_db": NUMBER, "noise_kind": TEXT,
    "label_share": NUMBER, "supervised_term": TEXT, "supervised_weight": NUMBER,
    # outcome
    "status": TEXT, "error": TEXT, "diverged_step": INT, "final_loss": NUMBER,
}  # fmt: skip
LAST: dict[str, pa.DataType] = {
    "null_reasons": TEXT,  # JSON: metric -> why it is null
    "data_seconds": NUMBER, "train_seconds": NUMBER, "eval_seconds": NUMBER, "log_seconds": NUMBER,
    "peak_memory_mb": NUMBER, "stack_members": INT,  # trainings in its stack, which shared train_seconds
}  # fmt: skip


def schema() -> pa.Schema:
    """Of results.parquet; a metric's field says its range, best end and source."""
    fields = [pa.field(name, kind) for name, kind in COLUMNS.items()]
    for name, metric in METRICS.items():
        about = {
            "title": metric.title,
            "low": str(metric.low),
            "high": str(metric.high),
            "best": metric.best or "none",
            "source": metric.source,
            "group": metric.group,
            "frames": metric.frames,
            "description": metric.description,
        }
        fields.append(pa.field(name, NUMBER, metadata=about))
    fields += [pa.field(name, kind) for name, kind in LAST.items()]
    return pa.schema(fields, metadata={"schema_version": SCHEMA_VERSION})


def stored_settings(folder: Path) -> StudySettings:
    """Of an existing study. Raises UserError where the folder holds none."""
    path = folder / "study.toml"
    if not path.is_file():
        raise UserError(f"{folder} holds no study (no study.toml): give the folder of one, as runs/NAME")
    stored = StudySettings.from_toml(path.read_text())
    return dataclasses.replace(stored, out=str(folder.parent), name=folder.name)


def check_free(settings: StudySettings) -> None:
    """Raises UserError where the study's folder is taken by something else than this very study."""
    folder = settings.folder
    if not folder.exists():
        return
    if not (folder / "study.toml").is_file():
        raise UserError(
            f"--name is '{settings.name}', but {folder} exists and is no study: choose another name"
        )
    differing = settings.differences(stored_settings(folder))
    if differing:
        raise UserError(
            f"--name is '{settings.name}', but {folder} is a study with another {differing[0]}: "
            f"choose another name, or go on with it by --resume {folder}"
        )


def extended(settings: StudySettings, more: int) -> StudySettings:
    """The settings of the study that is there, with so many trials more. Raises UserError."""
    if more < 1:
        raise UserError(f"--extend is {more}: give a whole number from 1")
    stored = stored_settings(settings.folder)
    settings = dataclasses.replace(settings, trials=stored.trials)
    check_free(settings)
    return dataclasses.replace(settings, trials=stored.trials + more)


def create(settings: StudySettings) -> Path:
    """Make the study's folder with its settings, where it is not there already."""
    folder = settings.folder
    try:
        for name in ("records", "checkpoints", "embeddings", "log"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        write_whole(folder / "study.toml", settings.to_toml().encode())
    except OSError as error:
        raise UserError(
            f"--out is {settings.out}, but it cannot be written ({error.strerror}): give another folder"
        ) from None
    return folder


def flat_settings(settings: StudySettings) -> dict[str, str]:
    """The settings as text by name, knobs included, for MLflow's parameters."""
    flat = {k: v for k, v in dataclasses.asdict(settings).items() if k != "dimensions" and v is not None}
    texts = {k: ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for k, v in flat.items()}
    return texts | settings.dimensions


def write_manifest(
    folder: Path,
    *,
    asked: int,
    data_hash: str,
    described: tuple[str, ...],
    clusters: dict[str, int],
    classes: tuple[str, ...],
    resources: dict[str, Any],
) -> None:
    """manifest.json: what made the results, and on what.

    asked: rows that the finished study will have
    clusters: that KMeans looks for, by data set
    classes: names, in the order of the labels in embeddings/*.arrow
    """
    packages = (
        "emargin-study",
        "torch",
        "ray",
        "optuna",
        "mlflow-skinny",
        "numpy",
        "scipy",
        "scikit-learn",
        "pyarrow",
    )
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "written_at": datetime.now().astimezone().isoformat(timespec="seconds"),
        "asked": asked,
        "git_revision": git_revision(),
        "data_hash": data_hash,
        "split": list(described),
        "clusters": clusters,
        "classes": list(classes),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "hardware": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "cluster": resources,
        },
    }
    write_whole(folder / "manifest.json", json.dumps(manifest, indent=2).encode())


class Front:
    """The trials of each objective that no other dominates, kept up as trials end."""

    def __init__(self, goals: tuple[str, ...]) -> None:
        self._goals = goals
        self._signs = [1 if direction == "maximize" else -1 for direction in directions(goals)]
        self._points: dict[str, dict[str, np.ndarray]] = {}

    def add(self, trial: str, rows: list[dict[str, Any]]) -> set[str]:
        """A trial has ended; returns what is on no front now: trials that it dominates, or itself."""
        values = goal_values(rows, self._goals)
        if values is None:
            return {trial}
        own = np.multiply(self._signs, values)
        points = self._points.setdefault(rows[0]["objective"], {})
        if any((p >= own).all() and (p > own).any() for p in points.values()):
            return {trial}
        beaten = {name for name, p in points.items() if (own >= p).all() and (own > p).any()}
        for name in beaten:
            del points[name]
        points[trial] = own
        return beaten


def kept_trials(done: Rows, which: str, goals: tuple[str, ...]) -> set[str]:
    """Trials whose embeddings are kept: all, none, or the references and the front of each objective."""
    if which != "front":
        return set(done) if which == "all" else set()
    front, kept = Front(goals), set(done)
    for trial, rows in done.items():
        beaten = front.add(trial, rows)
        if rows[0]["role"] != "reference":
            kept -= beaten
    return kept


def prune_embeddings(folder: Path, kept: set[str]) -> None:
    """Remove the embeddings of trials outside `kept`."""
    for path in (folder / "embeddings").glob("*.arrow"):
        if path.stem.rsplit("-", 1)[0] not in kept:
            path.unlink()


def export(folder: Path, kept: Iterable[dict[str, Any]]) -> Path:
    """Write results.parquet from the records kept and what MLflow has of them; missing values are null."""
    table_schema, runs = schema(), sync_state.delivered(folder)
    rows = []
    for record in kept:
        run = runs.get(f"{record['trial']}-{record['seed']}")
        row = dict(record["row"]) | {"study": folder.name, "mlflow_run_id": run}
        row["started_at"] = datetime.fromisoformat(row["started_at"])
        row["null_reasons"] = json.dumps(record["reasons"]) if record["reasons"] else None
        rows.append(row)
    columns = [
        pa.array([row.get(field.name) for row in rows], field.type, from_pandas=True)  # NaN is unknown
        for field in table_schema
    ]
    table = pa.Table.from_arrays(columns, schema=table_schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    path = folder / "results.parquet"
    write_whole(path, sink.getvalue().to_pybytes())
    return path
