"""Write files so that they appear whole or not at all."""

import os
from pathlib import Path

from emargin_train.errors import UserError


def check_new(out: Path, *, overwrite: bool = False, source: str = "") -> None:
    """Raises UserError where --out cannot be written, or would replace a file that it may not replace.

    source: what is read, which is never replaced
    """
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out is {out}, but there is no folder {out.parent}: make it first")
    if out.is_dir():
        raise UserError(f"--out is {out}, which is a folder: give a file")
    if out.exists() and source and Path(source).exists() and out.samefile(source):
        raise UserError(f"--out is {out}, from which the recording is read: give another name")
    if out.exists() and not overwrite:
        raise UserError(
            f"--out is {out}, which exists already: give another name, or --overwrite to replace it"
        )


def write_whole(path: Path, content: bytes) -> None:
    """Write to a temporary file, flush it to the disk, then rename it: no reader ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
