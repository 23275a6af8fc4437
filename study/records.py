"""The truth of a study: one small file per finished replicate of a trial, from which all else is made."""

import gc
import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emargin_train.files import write_whole

if TYPE_CHECKING:
    from study.plan import Job

Rows = dict[str, list[dict[str, Any]]]  # by trial, or by key of a job


def save(folder: Path, record: dict[str, Any]) -> Path:
    """Write the record of one replicate (`study.trial.record`); an earlier one of the same is replaced."""
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
    gc.disable()  # it would look for cycles among thousands of records again and again: half of the time
    try:
        return sorted(read(folder), key=lambda record: _position(record))
    finally:
        if collects:
            gc.enable()


def keys(folder: Path) -> list[str]:
    """The key of every record of a study."""
    return sorted(path.stem for path in (folder / "records").glob("*.json"))


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """All records, one after another, in any order."""
    for path in (folder / "records").glob("*.json"):
        yield json.loads(path.read_bytes())


def finished(
    records: Iterable[dict[str, Any]], jobs: "Iterable[Job]", columns: Collection[str] | None = None
) -> Rows:
    """Rows of the jobs of which every replicate has a record, by key, in the order of the plan.

    columns: only these, so that thousands of trials fit into memory; None = whole rows
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for record in records:
        row = record["row"]
        kept = row if columns is None else {name: row.get(name) for name in columns}
        rows[record["trial"], record["replicate"]] = kept
    found = {job.key: [rows.get((job.trial, str(one))) for one in job.replicates] for job in jobs}
    return {key: [row for row in of if row] for key, of in found.items() if all(of)}


def forget_failed(folder: Path) -> list[str]:
    """Remove the records of trials that failed, so that they are run again; returns the key of each.

    A trial that diverged has not failed: it would diverge again.
    """
    statuses = {key(record): record["row"]["status"] for record in read(folder)}
    failed = sorted(name for name, status in statuses.items() if status == "failed")
    for name in failed:
        (folder / "records" / f"{name}.json").unlink()
    return failed
