"""Check the SQLite file of all studies before MLflow opens it: MLflow tries for minutes on a damaged one."""

import contextlib
import os
import sqlite3
from pathlib import Path

from filelock import FileLock

from emargin_train.errors import UserError

MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
REMEDY = "move it away; python -m study.sync FOLDER then writes a study's runs into a new file"


def check(file: Path) -> None:
    """Raises UserError for what is not a whole MLflow database: a folder, another program's file, a part."""
    if not file.exists():
        return
    lock = Path(f"{file}.lock")  # held by whoever makes the database now
    with FileLock(lock) if lock.exists() else contextlib.nullcontext():
        why = _fault(file)
    if why is not None:
        raise UserError(f"the MLflow database {file} {why}: {REMEDY}")


def _fault(file: Path) -> str | None:
    if not file.is_file():
        return "is a folder, not a file"
    try:
        with file.open("rb") as content:
            header = content.read(HEADER_BYTES)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not header:
        return None  # the file is new: MLflow fills it
    if not header.startswith(MAGIC) or len(header) < HEADER_BYTES:
        return "is not an SQLite database, or is damaged"
    # SQLite opens it first, for writing: it then undoes what a killed process has half written. While a
    # transaction is open, no other process changes the file.
    address, tables, why = f"{file.resolve().as_uri()}?mode=rw", set[str](), None
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=30, isolation_level=None)) as database:
        try:
            database.execute("BEGIN")
            found = database.execute("SELECT name FROM sqlite_master WHERE type='table'")
            tables = {name for (name,) in found}
        except sqlite3.Error as error:
            why = f"cannot be read ({error})"
        with file.open("rb") as content:  # closing it ends SQLite's lock
            header, has = content.read(HEADER_BYTES), os.fstat(content.fileno()).st_size
        page = int.from_bytes(header[16:18], "big")
        wants = (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
        if wants > has:
            return f"is cut short ({has} of {wants} bytes)"
    if tables and not {"experiments", "runs"} <= tables:
        return "belongs to another program"
    return why
