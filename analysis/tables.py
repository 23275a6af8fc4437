"""An exported study as a checked table. Only this file reads results.parquet."""

import dataclasses
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis import replicates, schema, version1
from analysis.errors import UserError, nearest
from analysis.schema import Hyperparameter, Method, Metric, Schema
from analysis.statistics import mean_intervals
from analysis.words import inline

REQUIRED = ("trial", "seed", "dataset", "method", "status")
STATUSES = ("ok", "diverged", "failed")
# Columns that analyses use by name; they are null where the file does not have them.
ASKED = (
    "role", "split", "split_seed", "gate", "threshold", "dissimilar_share", "gate_given_as", "snr_db",
    "noise_kind", "label_share", "supervised_weight", "pseudo_label_auroc",
)  # fmt: skip
# Columns of the kind "setting" that say where and how often a setting was tried, or that follow from it.
AROUND = ("dataset", "method", "encoder_context", "encoder_variant", "gate_given_as", "seed", "split_seed")
SIMULATED = "-sim"  # how the names of simulated datasets end
GIVEN = ("threshold", "dissimilar_share")  # one of them is set, which determines the other
SHARE_DIGITS = 3  # of a share of steps: it is counted, so what was set as 0.5 is recorded as 0.50003


@dataclass(frozen=True)
class Study:
    """The results that a study exported.

    rows: one row for each trial and replicate, with every column of the file and of ASKED (null where the
        file
        does not have it); `role` is "searched", "baseline" or "reference"
    schema: what the file says about its columns
    settings, manifest: study.toml and manifest.json beside the file, empty where there are none
    absent: columns of ASKED that the file lacks
    """

    folder: Path
    name: str
    rows: pd.DataFrame
    schema: Schema
    settings: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    @property
    def metrics(self) -> dict[str, Metric]:
        return self.schema.metrics

    @property
    def methods(self) -> dict[str, Method]:
        """The methods in display order, including every method of the rows."""
        return self.schema.methods

    @property
    def hyperparameters(self) -> dict[str, Hyperparameter]:
        return self.schema.hyperparameters

    @property
    def setting_columns(self) -> list[str]:
        """Columns that say what a trial's setting is: hyper-parameters first, then the rest."""
        kinds = self.schema.kinds
        return [
            name
            for kind in ("hyperparameter", "setting")
            for name in kinds
            if kinds[name] == kind and name not in AROUND and name in self.rows
        ]

    @property
    def ok(self) -> pd.DataFrame:
        """The rows whose training ended with a finite loss and was evaluated."""
        return self.rows[self.rows["status"] == "ok"]

    def metric(self, name: str) -> Metric:
        """The metric of that name. Where there is none, UserError names the nearest."""
        if name not in self.metrics:
            raise UserError(f"'{name}' is not a metric of {self.folder}: {nearest(name, self.metrics)}")
        return self.metrics[name]

    def title(self, column: str) -> str:
        """A column's name in words, as it is written within a sentence."""
        return inline(self.schema.titles.get(column) or schema.words(column))

    def method_title(self, name: str) -> str:
        """What a method is called on the page."""
        return self.methods[name].title if name in self.methods else name

    def full_data_title(self, dataset: str) -> str:
        """A dataset's whole title, as its catalogue or TOML file gives it; else its name."""
        return str(self.manifest.get("dataset_titles", {}).get(dataset, dataset))

    def data_title(self, dataset: str) -> str:
        """A dataset's title up to a colon; a simulated one is called simulated."""
        title = self.full_data_title(dataset).partition(":")[0]
        marked = not dataset.endswith(SIMULATED) or "simulated" in title.lower()
        return title if marked else f"{title} (simulated)"

    def logarithmic(self, column: str) -> bool:
        """Whether a setting is searched and drawn on a logarithmic scale."""
        return column in self.hyperparameters and self.hyperparameters[column].scale == "log"

    def with_rows(self, rows: pd.DataFrame) -> "Study":
        """The same study with these of its rows."""
        return dataclasses.replace(self, rows=rows)


def load(folder: str | Path) -> Study:
    """Read and check `folder`/results.parquet, with study.toml and manifest.json where they exist.

    Version 1 is converted. Raises UserError for a folder, file or column that cannot be read.
    """
    folder = Path(folder)
    path = folder / "results.parquet"
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give a study's, such as runs/NAME{_others(folder)}")
    if not path.is_file():
        raise UserError(
            f"{folder} holds no results.parquet: the study has not exported yet, or this is not a study; "
            f"finish it with `python -m study.run --resume {folder}`"
        )
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is not readable Parquet ({error}): export the study again") from None
    settings = _read(folder / "study.toml", tomllib.loads)
    if _version(table) == "1":
        table = version1.converted(table, settings)
    _check(path, table)
    try:
        described = schema.read(table.schema)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} has metadata that cannot be read ({error}): export the study again"
        ) from None
    if not described.metrics:
        raise UserError(
            f"{path} has no metric column with a range and a best end: export the study again with "
            f"`python -m study.run --resume {folder}`"
        )
    rows = table.to_pandas()
    for column in table.schema:
        if pa.types.is_boolean(column.type):  # a category for every chart and test, never the numbers 0 and 1
            rows[column.name] = rows[column.name].map(schema.in_words, na_action="ignore").astype(object)
    absent = tuple(name for name in ASKED if name not in rows)
    rows = rows.assign(**{name: None for name in absent})
    rows["trial"] = rows["trial"].astype(str)
    rows["role"] = rows["role"].fillna(rows["method"].map(lambda name: _role(described.methods.get(name))))
    methods = rows.groupby("method", sort=False)["role"].first()
    named = {str(name): "reference" if role == "reference" else "method" for name, role in methods.items()}
    return Study(
        folder=folder,
        name=_name(folder, rows),
        rows=rows,
        schema=described.with_methods(named),
        settings=settings,
        manifest=_read(folder / "manifest.json", json.loads),
        absent=absent,
    )


def per_trial(study: Study, metrics: Sequence[str]) -> pd.DataFrame:
    """One row per trial: its settings, and each metric's mean over the replicates that ended `ok`.

    A metric m has the columns `m` (mean), `m_low` and `m_high` (95 % t interval within the metric's range,
    null for fewer than three independent values) and `m_error` (standard error). The independent units are
    the split seeds if the trial has several, else its training seeds; `units` is their number. `replicates`
    is the number of rows, `ok` that of rows with results; `complete` says whether all replicates ended ok.
    """
    limits = {name: study.metric(name) for name in metrics}
    known = dict.fromkeys(["dataset", "method", *ASKED, *study.setting_columns])
    known.pop("split_seed")
    rows = study.rows
    groups = rows.groupby("trial", sort=False)
    table = groups[[name for name in known if name not in limits]].first()
    table["replicates"] = groups.size()
    table["ok"] = (rows["status"] == "ok").groupby(rows["trial"]).sum()
    table["complete"] = table["ok"] == table["replicates"]
    units = replicates.unit_means(study.ok, list(metrics))
    table["units"] = units.groupby("trial").size().reindex(table.index, fill_value=0)
    measured: dict[str, pd.Series[float]] = {}
    for name, metric in limits.items():
        interval = mean_intervals(units, ["trial"], name, within=(metric.low, metric.high))
        measured[name] = interval["mean"]
        measured |= {f"{name}_{end}": interval[end] for end in ("low", "high", "error")}
    return table.join(pd.DataFrame(measured)).reset_index()


def as_given(table: pd.DataFrame) -> pd.DataFrame:
    """The table with null in place of a threshold or share that was not set, but follows from the other."""
    given = table["gate_given_as"]
    known = given.isin(GIVEN)
    return table.assign(**{name: table[name].mask(known & (given != name)) for name in GIVEN})


def varying(study: Study, table: pd.DataFrame) -> list[str]:
    """The setting columns with several values in the table; nulls and values that follow do not count."""
    given = as_given(table)
    return [name for name in study.setting_columns if given[name].nunique() > 1]


def settings_text(study: Study, table: pd.DataFrame, names: Sequence[str] | None = None) -> pd.Series:
    """Each row's setting in words, without nulls: "threshold 0.4, margin 5".

    names: which columns; by default the settings that vary within the table
    """
    text = pd.Series("", index=table.index)
    given = as_given(table)
    for name in varying(study, table) if names is None else names:
        values = given[name]
        there = values.notna()
        if there.any():
            words = [f"{study.title(name)} {_short(value, 3)}" for value in values[there]]
            text[there] = text[there].where(text[there] == "", text[there] + ", ") + words
    return text


def command(study: Study, row: "pd.Series[Any]") -> str:
    """The command that trains the setting of a row again, on the data that study.toml names."""
    named = str(study.settings.get("dataset", ""))
    dataset = named if named.endswith(f"{row['dataset']}.toml") else row["dataset"]
    parts = ["python -m emargin_train.pretrain", f"--dataset {dataset}"]
    if study.settings.get("data_dir"):
        parts.append(f"--data-dir {study.settings['data_dir']}")
    parts.append(f"--method {row['method']}")
    set_ = as_given(row.to_frame().T).iloc[0]
    names = [name for name in study.setting_columns if pd.notna(set_[name])]
    return " ".join(parts + [f"--{name.replace('_', '-')}={_short(set_[name])}" for name in names])


def _version(table: pa.Table) -> str:
    return (table.schema.metadata or {}).get(b"schema_version", b"0").decode()


def _check(path: Path, table: pa.Table) -> None:
    version = _version(table)
    if version != schema.VERSION:
        older = not version.isdigit() or int(version) < int(schema.VERSION)
        remedy = (
            f"convert it with `python -m study.run --resume {path.parent}`, which exports its records again"
            if older
            else "install the version of this package that wrote it"
        )
        raise UserError(
            f"{path} has schema version {version}, but this program reads 1 and {schema.VERSION}: {remedy}"
        )
    missing = [name for name in REQUIRED if name not in table.column_names]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}: export the study again")
    if table.num_rows == 0:
        raise UserError(f"{path} has no rows: the study ended before its first trial; resume it")
    strange = set(table["status"].to_pylist()) - set(STATUSES)
    if strange:
        raise UserError(
            f"{path} has status {sorted(map(str, strange))}, but only {', '.join(STATUSES)} are known: "
            "export the study again"
        )


def _role(method: Method | None) -> str:
    """The role of a row, for files without the column `role`."""
    return "searched" if method is None or method.role == "method" else "reference"


def _read(path: Path, parse: Any) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return parse(path.read_text(encoding="utf-8"))
    except ValueError as error:  # both parsers raise this
        raise UserError(f"{path} cannot be read ({error}): correct or remove it") from None


def _name(folder: Path, rows: pd.DataFrame) -> str:
    named = rows["study"].dropna().unique() if "study" in rows else []
    return str(named[0]) if len(named) else folder.resolve().name


def _others(folder: Path) -> str:
    parent = folder.parent
    names = [path.parent.name for path in parent.glob("*/results.parquet")] if parent.is_dir() else []
    return f"; {nearest(folder.name, names)}" if names else ""


def _short(value: Any, digits: int = 6) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
