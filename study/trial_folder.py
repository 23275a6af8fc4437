"""Check the files in a trial's folder before they are used: a lost machine may have damaged them.

If a checkpoint is cut short, a record is not JSON or embeddings are missing, a disk or a network is at fault
and never a setting. The replicate then starts again, or continues from the files that are whole.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from emargin_train.methods import METHODS
from study.trial_spec import Replicate, TrialSpec

SUFFIXES = ("json", "pt", "arrow", "traceback.txt")


def remove_damaged(spec: TrialSpec, folder: Path) -> list[str]:
    """Remove the files of replicates with damaged files; returns these replicates."""
    found = []
    for one in spec.replicates:
        is_finished, is_begun = (folder / f"{one}.json").exists(), (folder / f"{one}.pt").exists()
        if is_finished and not is_whole(spec, one, folder):
            for suffix in SUFFIXES:
                (folder / f"{one}.{suffix}").unlink(missing_ok=True)
            found.append(str(one))
        elif is_begun and not is_finished and not _is_whole_archive(folder / f"{one}.pt"):
            (folder / f"{one}.pt").unlink()
            found.append(str(one))
    return found


def missing(spec: TrialSpec, folder: Path | None) -> list[str]:
    """The replicates of an ended trial whose record, or a file that belongs to it, is missing or damaged."""
    return [str(one) for one in spec.replicates if folder is None or not is_whole(spec, one, folder)]


def is_whole(spec: TrialSpec, replicate: Replicate, folder: Path) -> bool:
    """Whether a replicate is finished, and all files that its record implies exist and are whole."""
    try:
        item: Any = json.loads((folder / f"{replicate}.json").read_bytes())
        status = item["row"]["status"]
        if (item["trial"], item["replicate"]) != (spec.trial, str(replicate)):
            return False
    except (OSError, ValueError, TypeError, LookupError):
        return False
    if status != "ok":
        return True
    has_weights = METHODS[spec.method].Training is not None
    return _is_table(folder / f"{replicate}.arrow") and (
        not has_weights or _is_whole_archive(folder / f"{replicate}.pt")
    )


def _is_whole_archive(path: Path) -> bool:
    """Whether every part of a checkpoint, which is a ZIP archive, has its checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError):
        return False


def _is_table(path: Path) -> bool:
    try:
        with pa.memory_map(str(path)) as file:
            return bool(pa.ipc.open_file(file).num_record_batches)
    except (OSError, pa.ArrowException, ValueError):
        return False
