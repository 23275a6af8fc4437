"""A study is identified by an id, never by its name.

identity.json in the study's folder holds the id, and the path at which it was written. The Optuna studies of
the search have the id as an attribute, and every MLflow run has it as a tag. A folder that was moved keeps
its id. A copy whose original still exists gets a new id, so that the two share neither trials nor runs.
"""

import json
import sys
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emargin_train.files import write_whole
from study.own_files import put_aside

NAME = "identity.json"
SYNC_STATE = "mlflow.jsonl"  # its first line names the study too
MANIFEST = "manifest.json"
SEARCH = "optuna.log"


@dataclass(frozen=True)
class Identity:
    """study_id: 32 hexadecimal digits. path: of the folder, where it was last opened."""

    study_id: str
    path: str


def of(folder: Path) -> str:
    """The id of the study in a folder; a study without an id gets one."""
    known = _known(folder)
    if known is None:
        known = _write(folder, uuid.uuid4().hex)
    return known.study_id


def stored(folder: Path) -> str | None:
    """The id that the study in a folder will have when it is opened; None where it will get a new one."""
    known = _known(folder)
    return None if known is None or _original(folder, known) else known.study_id


def open_study(folder: Path) -> str:
    """Open the study in a folder that this process owns; returns its id.

    A damaged file is renamed. A copy becomes a separate study: its search gets all results again from its
    records, and MLflow gets new runs.
    """
    file = folder / NAME
    known = _known(folder)
    if file.exists() and _parsed(file) is None:
        source = "its id is read from another file" if known else "the study gets a new id"
        put_aside(file, "is damaged", source)
    if known is not None and (original := _original(folder, known)):
        print(f"study: {folder} is a copy of {original}; from now on it is a separate study", file=sys.stderr)
        for name in (SYNC_STATE, SEARCH):
            (folder / name).unlink(missing_ok=True)
        known = None
    return _write(folder, known.study_id if known else uuid.uuid4().hex).study_id


def _write(folder: Path, study_id: str) -> Identity:
    made = Identity(study_id, str(folder.resolve()))
    write_whole(folder / NAME, json.dumps(asdict(made)).encode())
    return made


def _known(folder: Path) -> Identity | None:
    """The identity in identity.json, or else in another file that holds the id."""
    return _parsed(folder / NAME) or _parsed(folder / SYNC_STATE) or _parsed(folder / MANIFEST)


def _parsed(file: Path) -> Identity | None:
    """The identity in a JSON file, or on the first line of a .jsonl file; None where there is none."""
    try:
        content = file.read_bytes()
        said: Any = json.loads(content.partition(b"\n")[0] if file.suffix == ".jsonl" else content)
        study_id, path = said["study_id"], said.get("path", "")
        if len(study_id) == 32 and int(study_id, 16) and isinstance(path, str):
            return Identity(study_id, path)
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        pass
    return None


def _original(folder: Path, known: Identity) -> Path | None:
    """The folder of which this one is a copy: another folder with the same id. None where there is none."""
    there = Path(known.path)
    try:
        is_other = bool(known.path) and there.is_dir() and not there.samefile(folder)
    except OSError:
        return None
    other = _known(there) if is_other else None
    return there if other is not None and other.study_id == known.study_id else None
