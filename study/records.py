"""The records of a study: one small file for each finished replicate. Everything else is made from them."""

import gc
import json
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emargin_train.files import write_whole
from study.own_files import put_aside
from study.space import within

if TYPE_CHECKING:
    from study.plan import Job

COUNTED = {"dissimilar_share"}  # in a row, what the data have: 0.50001 where 0.5 was asked for
STATUSES = ("ok", "diverged", "failed")
REMADE = "that training runs again"
Rows = dict[str, list[dict[str, Any]]]  # by trial, or by key of a job


def save(folder: Path, record: dict[str, Any]) -> Path:
    """Write the record of one replicate (`study.trial.record`), and so replace an earlier one."""
    path = folder / "records" / f"{key(record)}.json"
    write_whole(path, json.dumps(record).encode())
    return path


def key(record: dict[str, Any]) -> str:
    """`<trial>-<replicate>`, which names a replicate in files and in MLflow."""
    return f"{record['trial']}-{record['replicate']}"


def _position(record: dict[str, Any]) -> tuple[str, int, int]:
    split_seed, _, seed = record["replicate"].partition("-")
    return record["trial"], int(split_seed), int(seed)


def load(folder: Path) -> list[dict[str, Any]]:
    """All records, in the order of trial and replicate."""
    collects = gc.isenabled()
    gc.disable()  # it would search thousands of records for cycles again and again: half of the time
    try:
        return sorted(read(folder), key=lambda record: _position(record))
    finally:
        if collects:
            gc.enable()


def keys(folder: Path) -> list[str]:
    """The key of every record of a study."""
    return sorted(path.stem for path in (folder / "records").glob("*.json"))


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """All records, one after another, in any order. Damaged files are renamed; their trainings run again."""
    for path in (folder / "records").glob("*.json"):
        record, why = parsed(path)
        if record is None:
            put_aside(path, why, REMADE)
        else:
            yield record


def parsed(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The record in a file, or None and the reason; the file must have the record's key as its name."""
    try:
        record: Any = json.loads(path.read_bytes())
        row, curve = record["row"], record["curve"]
        own = key(record)
        _position(record)
        datetime.fromisoformat(row["started_at"])
        whole = (
            row["status"] in STATUSES
            and row.get("trial", record["trial"]) == record["trial"]
            and isinstance(record["reasons"], dict)
            and all(len(point) == 2 for point in curve)
        )
    except FileNotFoundError:
        return None, "is gone"
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        return None, f"is damaged ({type(error).__name__})"
    if not whole:
        return None, "is damaged (values that no record has)"
    if own != path.stem:
        return None, f"is a stray copy of the record {own}"
    return record, ""


def check(folder: Path, jobs: "Iterable[Job]") -> list[str]:
    """Rename files that are not a record of this study's plan; returns the names that they had."""
    arms = {job.trial: job.arm for job in jobs}
    gone = []
    for path in sorted((folder / "records").glob("*.json")):
        record, why = parsed(path)
        if record is not None:
            arm = arms.get(record["trial"])
            if arm is None or record["replicate"] not in map(str, arm.replicates):
                why = "belongs to no trial of this study"
            elif not within(arm.space, _given(record["row"], arm.varied)):
                why = "has a setting outside this study's space"
        if why:
            put_aside(path, why, REMADE)
            gone.append(path.stem)
    return gone


def _given(row: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: row[name] for name in names if row.get(name) is not None and name not in COUNTED}


def finished(
    records: Iterable[dict[str, Any]], jobs: "Iterable[Job]", columns: Collection[str] | None = None
) -> Rows:
    """The rows of jobs whose replicates all have a record, by the job's key, in the order of the plan.

    columns: the columns to keep, so that thousands of trials fit into memory; None keeps all
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for record in records:
        row = record["row"]
        kept = row if columns is None else {name: row.get(name) for name in columns}
        rows[record["trial"], record["replicate"]] = kept
    found = {job.key: [rows.get((job.trial, str(one))) for one in job.replicates] for job in jobs}
    return {key: [row for row in of if row] for key, of in found.items() if all(of)}


def forget_failed(folder: Path) -> list[str]:
    """Remove the records of replicates that failed, so that they run again; returns the key of each.

    Replicates that diverged are kept: they would diverge again.
    """
    statuses = {key(record): record["row"]["status"] for record in read(folder)}
    failed = sorted(name for name, status in statuses.items() if status == "failed")
    for name in failed:
        (folder / "records" / f"{name}.json").unlink()
    return failed
