"""An exported study as a checked table: the one place that reads results.parquet."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import UserError, nearest
from analysis.statistics import mean_intervals

SCHEMA_VERSION = 1
REQUIRED = ("trial", "seed", "dataset", "objective", "status")
STATUSES = ("ok", "diverged", "failed")

# Settings of a trial, in the order in which they are shown (design.md, section 4).
SETTINGS = (
    "gate",
    "threshold",
    "dissimilar_share",
    "margin",
    "temperature",
    "neighbours",
    "similar_sign",
    "gamma",
    "head",
    "kernel_size",
    "framing",
    "iterations",
    "batch_size",
    "sequence_length",
    "evaluation_frames",
    "snr_db",
    "noise_kind",
    "label_share",
    "supervised_term",
    "supervised_weight",
    "split",
    "split_seed",
)
REFERENCES = ("raw", "log-raw", "pca", "random", "supervised")
BASELINES = ("infonce", "infonce-released")


@dataclass(frozen=True)
class Metric:
    """One metric column, as its field's metadata describe it.

    low, high: range, infinite where it has no end
    best: "max", "min" or None (a description, not a goal)
    """

    name: str
    title: str
    low: float
    high: float
    best: str | None
    source: str = ""


@dataclass(frozen=True)
class Study:
    """What a study exported.

    rows: one row per trial and seed, every column of the schema (null where the file has none), and `kind`:
        "searched", "baseline" or "reference"
    absent: columns of the schema that the file lacks
    """

    folder: Path
    name: str
    rows: pd.DataFrame
    metrics: dict[str, Metric]
    settings: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    def metric(self, name: str) -> Metric:
        """The metric of that name; UserError names the nearest where there is none."""
        if name not in self.metrics:
            raise UserError(f"'{name}' is not a metric of {self.folder}: {nearest(name, self.metrics)}")
        return self.metrics[name]

    @property
    def ok(self) -> pd.DataFrame:
        """Rows whose training ended with finite loss and was evaluated."""
        return self.rows[self.rows["status"] == "ok"]


def load(folder: str | Path) -> Study:
    """Read and check `folder`/results.parquet, with study.toml and manifest.json where they exist."""
    folder = Path(folder)
    path = folder / "results.parquet"
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give a study's, such as runs/NAME{_others(folder)}")
    if not path.is_file():
        raise UserError(
            f"{folder} holds no results.parquet: the study has not exported yet, or this is not a study; "
            f"finish it with `python -m study.run --resume {folder}`"
        )
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is not readable Parquet ({error}): export the study again") from None
    _check(path, table)
    metrics = _metrics(table.schema)
    if not metrics:
        raise UserError(
            f"{path} has no metric column that tells its range and best end: export the study again with "
            f"`python -m study.run --resume {folder}`"
        )
    rows = table.to_pandas()
    absent = tuple(name for name in SETTINGS if name not in rows)
    rows = rows.assign(**{name: None for name in absent})
    rows["kind"] = rows["role"] if "role" in rows else rows["objective"].map(kind)
    rows["trial"] = rows["trial"].astype(str)
    return Study(
        folder=folder,
        name=_name(folder, rows),
        rows=rows,
        metrics=metrics,
        settings=_read(folder / "study.toml", tomllib.loads),
        manifest=_read(folder / "manifest.json", json.loads),
        absent=absent,
    )


def kind(objective: str) -> str:
    """Part that an objective usually has in a study: "searched", "baseline" or "reference"."""
    if objective in REFERENCES:
        return "reference"
    return "baseline" if objective in BASELINES else "searched"


def per_trial(study: Study, metrics: Sequence[str]) -> pd.DataFrame:
    """One row per trial: its settings, and each metric's mean over the seeds that ended `ok`.

    Columns of a metric m: `m` (mean), `m_low` and `m_high` (95 % t interval, null below two seeds).
    `seeds` counts the rows, `ok` those with results; `complete` is whether all ended ok.
    """
    for name in metrics:
        study.metric(name)
    known = ["dataset", "objective", "kind", *SETTINGS]
    rows = study.rows
    groups = rows.groupby("trial", sort=False)
    table = groups[known].first()
    table["seeds"] = groups.size()
    table["ok"] = (rows["status"] == "ok").groupby(rows["trial"]).sum()
    table["complete"] = table["ok"] == table["seeds"]
    for name in metrics:
        interval = mean_intervals(study.ok, ["trial"], name)
        table[name] = interval["mean"]
        table[f"{name}_low"] = interval["low"]
        table[f"{name}_high"] = interval["high"]
    return table.reset_index()


def varying(table: pd.DataFrame) -> list[str]:
    """Settings that take more than one value in the table, nulls aside."""
    return [name for name in SETTINGS if table[name].nunique() > 1]


def settings_text(table: pd.DataFrame, names: Sequence[str] | None = None) -> pd.Series:
    """Each row's settings in words, absent ones left out: "threshold 0.4, margin 5".

    names: which settings; by default those that vary within the table
    """
    text = pd.Series("", index=table.index)
    for name in varying(table) if names is None else names:
        values = table[name]
        there = values.notna()
        if name == "dissimilar_share":
            there &= table["threshold"].isna()  # both are recorded; the one determines the other
        if there.any():
            label = setting_title(name)
            words = [f"{label} {_short(value, 3)}" for value in values[there]]
            text[there] = text[there].where(text[there] == "", text[there] + ", ") + words
    return text


def setting_title(name: str) -> str:
    """A setting's name in words."""
    return {"snr_db": "SNR"}.get(name, name.replace("_", " "))


def command(row: "pd.Series[Any]", settings: Mapping[str, Any]) -> str:
    """The command that trains the setting of a row once more; data as the study's `settings` name them."""
    named = str(settings.get("dataset", ""))
    dataset = named if named.endswith(f"{row['dataset']}.toml") else row["dataset"]
    parts = ["python -m emargin_train.pretrain", f"--dataset {dataset}"]
    if settings.get("data_dir"):
        parts.append(f"--data-dir {settings['data_dir']}")
    parts.append(f"--objective {row['objective']}")
    names = [name for name in SETTINGS if pd.notna(row[name])]
    if "threshold" in names and "dissimilar_share" in names:
        names.remove("dissimilar_share")
    return " ".join(parts + [f"--{name.replace('_', '-')}={_short(row[name])}" for name in names])


def _check(path: Path, table: pa.Table) -> None:
    version = (table.schema.metadata or {}).get(b"schema_version", b"0").decode()
    if version != str(SCHEMA_VERSION):
        older = not version.isdigit() or int(version) < SCHEMA_VERSION
        remedy = (
            f"convert it with `python -m study.run --resume {path.parent}`, which exports its records again"
            if older
            else "install the version of this package that wrote it"
        )
        raise UserError(f"{path} has schema version {version}, this reads {SCHEMA_VERSION}: {remedy}")
    missing = [name for name in REQUIRED if name not in table.column_names]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}: export the study again")
    if table.num_rows == 0:
        raise UserError(f"{path} has no rows: the study ended before its first trial; resume it")
    strange = set(table["status"].to_pylist()) - set(STATUSES)
    if strange:
        raise UserError(f"{path} has status {sorted(map(str, strange))}: known are {', '.join(STATUSES)}")


def _metrics(schema: pa.Schema) -> dict[str, Metric]:
    found = {}
    for column in schema:
        about = {key.decode(): value.decode() for key, value in (column.metadata or {}).items()}
        if "best" not in about:
            continue
        best = about["best"] if about["best"] in ("max", "min") else None
        found[column.name] = Metric(
            name=column.name,
            title=about.get("title") or column.name.replace("_", " "),
            low=_bound(about.get("low"), "-inf"),
            high=_bound(about.get("high"), "inf"),
            best=best,
            source=about.get("source", ""),
        )
    return found


def _bound(text: str | None, default: str) -> float:
    return float(default if text in (None, "", "None") else text)


def _read(path: Path, parse: Any) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return parse(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of both parsers
        raise UserError(f"{path} cannot be read ({error}): mend or remove it") from None


def _name(folder: Path, rows: pd.DataFrame) -> str:
    named = rows["study"].dropna().unique() if "study" in rows else []
    return str(named[0]) if len(named) else folder.resolve().name


def _others(folder: Path) -> str:
    parent = folder.parent
    names = [path.parent.name for path in parent.glob("*/results.parquet")] if parent.is_dir() else []
    return f"; {nearest(folder.name, names)}" if names else ""


def _short(value: Any, digits: int = 6) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
