"""The truth of a study: one small file per finished trial × seed, written whole; all else is made of them."""

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
    """Write the record of one trial and seed (`study.trial.record`); a record of the same is replaced."""
    path = folder / "records" / f"{record['trial']}-{record['seed']}.json"
    write_whole(path, json.dumps(record).encode())
    return path


def load(folder: Path) -> list[dict[str, Any]]:
    """All records, in the order of trial and seed."""
    collects = gc.isenabled()
    gc.disable()  # it would look for cycles among thousands of records again and again: half of the time
    try:
        return sorted(read(folder), key=lambda record: (record["trial"], record["seed"]))
    finally:
        if collects:
            gc.enable()


def keys(folder: Path) -> list[str]:
    """ "<trial>-<seed>" of every record of a study."""
    return sorted(path.stem for path in (folder / "records").glob("*.json"))


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """All records, one after another, in any order."""
    for path in (folder / "records").glob("*.json"):
        yield json.loads(path.read_bytes())


def finished(
    records: Iterable[dict[str, Any]], jobs: "Iterable[Job]", columns: Collection[str] | None = None
) -> Rows:
    """Rows of the jobs of which every seed has a record, by key, in the order of the plan.

    columns: only these, so that thousands of trials fit into memory; None = whole rows
    """
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for record in records:
        row = record["row"]
        kept = row if columns is None else {name: row.get(name) for name in columns}
        rows[record["trial"], record["seed"]] = kept
    found = {job.key: [rows.get((job.trial, seed)) for seed in job.seeds] for job in jobs}
    return {key: [row for row in of if row] for key, of in found.items() if all(of)}


def forget_failed(folder: Path) -> list[str]:
    """Remove the records of trials that failed, so that they are run again; returns `<trial>-<seed>` of each.

    A trial that diverged has not failed: it would diverge again.
    """
    paths = {f"{r['trial']}-{r['seed']}": r["row"]["status"] for r in read(folder)}
    failed = sorted(name for name, status in paths.items() if status == "failed")
    for name in failed:
        (folder / "records" / f"{name}.json").unlink()
    return failed
