"""A study on disk: settings, manifest, and the table made of its records."""

import dataclasses
import difflib
import json
import os
import platform
import sys
from collections.abc import Iterable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis import fronts
from emargin_train.cost import git_revision, processor
from emargin_train.errors import UserError
from emargin_train.files import write_whole
from emargin_train.program import pasted
from study.goals import directions, goal_values
from study.own_files import put_aside
from study.records import Rows, key
from study.schema import SCHEMA_VERSION, of_extra, schema
from study.settings import StudySettings, parse_toml
from study.tracking import sync_state

COPY = ".study.toml"  # a copy of study.toml, which is used if study.toml is damaged
FOLDERS = ("records", "checkpoints", "embeddings", "log")


def stored_settings(folder: Path) -> StudySettings:
    """The settings of an existing study. Raises UserError where the folder holds none.

    Where study.toml is damaged, the copy beside it is used, and a warning says so.
    """
    path = folder / "study.toml"
    if not is_study(folder):
        others = [other for parent in (folder.parent, Path("runs")) for other in _studies(parent)]
        close = difflib.get_close_matches(str(folder), others, n=1)
        hint = f"did you mean {close[0]}?" if close else "give a study's folder, such as runs/NAME"
        raise UserError(f"{folder} holds no study (no study.toml): {hint}")
    try:
        return _read_settings(path)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        try:
            stored = _read_settings(folder / COPY)
        except (OSError, ValueError, TypeError, AttributeError):
            raise UserError(
                f"{path} cannot be used ({reason}), and neither can its copy {COPY}: correct the file; "
                f"finished trials can still be read with {pasted('analysis.report', folder)}"
            ) from None
        print(f"warning: {path} cannot be used ({reason}): its copy {COPY} is used instead", file=sys.stderr)
        return stored


def _studies(parent: Path) -> list[str]:
    """The folders in `parent` that hold studies."""
    return sorted(str(path) for path in parent.glob("*") if is_study(path))


def is_study(folder: Path) -> bool:
    """Whether a folder holds a study's settings."""
    return (folder / "study.toml").is_file() or (folder / COPY).is_file()


def _read_settings(path: Path) -> StudySettings:
    folder = path.parent
    flat = parse_toml(path.read_text(encoding="utf-8"))
    if "objectives" in flat:
        raise UserError(
            f"{folder} was written by version 1, which this version cannot resume: read it with "
            f"{pasted('analysis.report', folder)}, or start it again with --config {path} and another --name"
        )
    stored = StudySettings.from_dict(flat)
    return dataclasses.replace(stored.of_study(), out=str(folder.parent), name=folder.name)


def as_stored(settings: StudySettings) -> StudySettings:
    """The settings with the search space of the existing study, if the user gave the same hyper-parameters.

    So a study keeps its default ranges, even if this version searches other ranges by default.
    """
    if not settings.space and is_study(settings.folder):
        stored = stored_settings(settings.folder)
        if stored.hyperparameters == settings.hyperparameters and stored.encoder == settings.encoder:
            return dataclasses.replace(settings, space=stored.space)
    return settings


def check_free(settings: StudySettings) -> None:
    """Raises UserError where the study's folder already holds something other than this study."""
    folder = settings.folder
    if not folder.exists():
        return
    if not is_study(folder):
        if folder.is_dir() and all(_is_of_no_study(path) for path in folder.iterdir()):
            return  # a study that was killed, or found the disk full, as it made its folder
        raise UserError(
            f"--name is '{settings.name}', but {folder} exists and is not a study: choose another name"
        )
    differences = settings.differences(stored_settings(folder))
    if differences:
        shown = ", ".join(f"{flag} {there}, not {asked}" for flag, (asked, there) in differences.items())
        fewer = settings.trials < stored_settings(folder).trials
        more = (
            "; for more trials of it, add --extend N"
            if set(differences) == {"--trials"} and not fewer
            else ""
        )
        raise UserError(
            f"--name is '{settings.name}', but {folder} is a study with {shown}: choose another name, or "
            f"resume that study with {pasted('study.run', '--resume', folder)}{more}"
        )


def _is_of_no_study(path: Path) -> bool:
    """Whether a file or folder is there before a study has settings."""
    is_empty = path.name in FOLDERS and path.is_dir() and not any(path.iterdir())
    return is_empty or path.name == ".lock" or path.suffix == ".part"


def extended(settings: StudySettings, more: int) -> StudySettings:
    """The settings of the existing study, with `more` trials added. Raises UserError."""
    if more < 1:
        raise UserError(f"--extend is {more}: give a whole number of 1 or more")
    stored = stored_settings(settings.folder)
    settings = dataclasses.replace(settings, trials=stored.trials)
    check_free(settings)
    return dataclasses.replace(settings, trials=stored.trials + more)


def store(settings: StudySettings) -> None:
    """Write the settings, and make missing folders; the caller owns the study's folder."""
    folder = settings.folder
    try:
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        content = settings.of_study().to_toml().encode()
        path = folder / "study.toml"
        if path.exists() and not _is_readable(path):
            put_aside(path, "is damaged", "it is written again from its copy")
        write_whole(path, content)
        write_whole(folder / COPY, content)
    except OSError as error:
        raise UserError(
            f"--out is {settings.out}, but it cannot be written ({error.strerror}): give another folder"
        ) from None


def _is_readable(path: Path) -> bool:
    try:
        _read_settings(path)
    except (OSError, ValueError, TypeError, AttributeError):
        return False
    return True


def make_folder(settings: StudySettings) -> None:
    """Make the folder of a new study. Raises UserError where it cannot be made."""
    try:
        settings.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--out is {settings.out}, but it cannot be written ({error.strerror}): give another folder"
        ) from None


def flat_settings(settings: StudySettings) -> dict[str, str]:
    """The settings as text by name, the space of each method included, for MLflow's parameters."""
    flat = {
        k: v
        for k, v in dataclasses.asdict(settings.of_study()).items()
        if k not in ("hyperparameters", "space") and v is not None
    }
    texts = {k: ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for k, v in flat.items()}
    space = {f"{method}/{k}": v for method, of in settings.space.items() for k, v in of.items()}
    return texts | settings.hyperparameters | space


def write_manifest(
    folder: Path,
    *,
    study_id: str,
    asked: int,
    data_hash: str,
    described: dict[int, tuple[str, ...]],
    subjects: dict[str, dict[str, dict[str, list[str]]]],
    titles: dict[str, str],
    clusters: dict[str, int],
    classes: tuple[str, ...],
    resources: dict[str, Any] | None,
    tracking_uri: str | None = None,
) -> None:
    """Write manifest.json: which versions, data and machine made the results.

    study_id: the id in identity.json, repeated here in case that file is damaged
    asked: number of rows that the finished study will have
    described: which subjects are in which split, in lines, by split seed
    subjects: names by dataset, split seed and split, for programs
    titles: of the datasets, by name
    clusters: number of clusters that KMeans looks for, by dataset
    classes: their names, in the order of the labels in embeddings/*.arrow
    resources: the cluster's resources; None = those of earlier runs of the study
    tracking_uri: where MLflow's runs are, without a password; None = in the database beside the study
    """
    if resources is None:
        resources = _resources_before(folder)
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
        "study_id": study_id,
        "written_at": datetime.now().astimezone().isoformat(timespec="seconds"),
        "asked": asked,
        "tracking_uri": tracking_uri,
        "git_revision": git_revision(),
        "data_hash": data_hash,
        "split": {str(seed): list(lines) for seed, lines in described.items()},
        "subjects": subjects,
        "dataset_titles": titles,
        "clusters": clusters,
        "classes": list(classes),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "hardware": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "cluster": resources,
        },
    }
    write_whole(folder / "manifest.json", json.dumps(manifest, indent=2).encode())


def _resources_before(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "manifest.json").read_bytes())["hardware"]["cluster"])
    except (OSError, ValueError, TypeError, LookupError):
        return {}


class Front:
    """The Pareto front of each method, updated as trials end."""

    def __init__(self, goals: tuple[str, ...]) -> None:
        self._goals = goals
        self._best = ["max" if direction == "maximize" else "min" for direction in directions(goals)]
        self._points: dict[str, dict[str, list[float]]] = {}

    def add(self, trial: str, rows: list[dict[str, Any]]) -> set[str]:
        """Add a trial that has ended; returns those on no front now: trials that it dominates, or itself."""
        values = goal_values(rows, self._goals)
        if values is None:
            return {trial}
        points = self._points.setdefault(rows[0]["method"], {})
        points[trial] = values
        names = list(points)
        on_front = fronts.non_dominated(np.array([points[name] for name in names]), self._best)
        beaten = {name for name, stays in zip(names, on_front, strict=True) if not stays}
        for name in beaten:
            del points[name]
        return beaten


def kept_trials(done: Rows, which: str, goals: tuple[str, ...]) -> set[str]:
    """The trials whose embeddings are kept: all, none, or the references and the front of each method."""
    if which != "front":
        return set(done) if which == "all" else set()
    front, kept = Front(goals), set(done)
    for trial, rows in done.items():
        beaten = front.add(trial, rows)
        if rows[0]["role"] != "reference":
            kept -= beaten
    return kept


def models(done: Rows, goals: tuple[str, ...], registered: str | None) -> dict[str, str | None]:
    """Records whose encoders become MLflow models, each with the registered model that it is a version of.

    A model is made of each trained trial on the front of its method: of its first replicate, so that no seed
    is chosen for its result. A trial that no other trained one dominates is a version of `registered`.
    """
    on_front = kept_trials(done, "front", goals)
    kept = [rows for trial, rows in done.items() if trial in on_front]
    trained = [rows for rows in kept if rows[0]["role"] != "reference"]
    if not trained:
        return {}
    ends = ["max" if direction == "maximize" else "min" for direction in directions(goals)]
    best = fronts.non_dominated(np.array([goal_values(rows, goals) for rows in trained]), ends)
    found: dict[str, str | None] = {}
    for rows, is_best in zip(trained, best, strict=True):
        first = min(rows, key=lambda row: (row["split_seed"], row["seed"]))
        key_ = f"{first['trial']}-{first['split_seed']}-{first['seed']}"
        found[key_] = registered if is_best else None
    return found


def prune_embeddings(folder: Path, kept: set[str]) -> None:
    """Remove the embeddings of trials outside `kept`."""
    for path in (folder / "embeddings").glob("*.arrow"):
        if path.stem.rsplit("-", 2)[0] not in kept:
            path.unlink()


def export(folder: Path, kept: Iterable[dict[str, Any]], goals: tuple[str, ...]) -> Path:
    """Write results.parquet from the given records, with the id of each record's MLflow run.

    Missing values are null. Nothing is dropped: a value for which this version has no column gets a new
    column. A method that is no longer installed may have such values.
    """
    table_schema, (experiment, runs) = schema(goals), sync_state.exported(folder)
    rows = []
    for record in kept:
        row = dict(record["row"]) | {"study": folder.name, "mlflow_run_id": runs.get(key(record))}
        row["mlflow_experiment_id"] = experiment if row["mlflow_run_id"] else None
        row["started_at"] = datetime.fromisoformat(row["started_at"])
        row["null_reasons"] = json.dumps(record["reasons"]) if record["reasons"] else None
        rows.append(row)
    extra = dict.fromkeys(name for row in rows for name in row if name not in table_schema.names)
    for name in extra:
        values = [row.get(name) for row in rows]
        table_schema = table_schema.append(pa.field(name, of_extra(values), metadata={"kind": "unknown"}))
        if table_schema.field(name).type == pa.string():
            for row in rows:
                if row.get(name) is not None:
                    row[name] = str(row[name])
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
