"""Unpack downloaded zip archives: every name and size is checked first, and all files are written or none."""

import os
import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from emargin_train.data.files import reading
from emargin_train.errors import UserError

MAX_RATIO = 100  # times its packed size
MAX_BYTES = 20_000_000_000
MAX_ENTRIES = 100_000


def unpack(archive: Path, target: Path, suffixes: tuple[str, ...]) -> None:
    """The files with these suffixes into the new folder `target`, under their last names.

    Refused, with nothing left behind: names that lead elsewhere, links, two files of one name, an archive
    that grows over a hundredfold, encrypted or damaged entries.
    """
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with reading(archive, "a zip archive"), zipfile.ZipFile(archive) as zipped:
            chosen = check(archive, zipped, suffixes)
            scratch.mkdir(parents=True)
            for entry in chosen:
                name = PurePosixPath(entry.filename).name
                # zipfile reads no more than the directory claims, which was looked at
                with zipped.open(entry) as source, (scratch / name).open("xb") as file:
                    shutil.copyfileobj(source, file)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check(archive: Path, zipped: zipfile.ZipFile, suffixes: tuple[str, ...]) -> list[zipfile.ZipInfo]:
    """The entries to extract; UserError if any entry at all is not to be trusted."""
    entries = zipped.infolist()
    if len(entries) > MAX_ENTRIES:
        raise UserError(f"{archive} has {len(entries):,} entries, over {MAX_ENTRIES:,}: it was refused")
    for entry in entries:
        name = entry.filename
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name:
            raise UserError(
                f"{archive} has an entry '{name[:80]}' that leads outside its folder: it was refused"
            )
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"{archive} has a link, '{name[:80]}': it was refused")
        if entry.flag_bits & 1:
            raise UserError(f"{archive} is encrypted: it was refused")
    total, packed = sum(e.file_size for e in entries), archive.stat().st_size
    if total > MAX_BYTES or total > MAX_RATIO * packed:
        raise UserError(f"{archive} would grow from {packed:,} to {total:,} bytes: it was refused")
    chosen = [e for e in entries if not e.is_dir() and e.filename.lower().endswith(suffixes)]
    names = [PurePosixPath(e.filename).name for e in chosen]
    if not chosen or len(set(names)) < len(names):
        what = "has no file" if not chosen else "has two files of one name"
        raise UserError(f"{archive} {what} ending in {' or '.join(suffixes)}: it is not the expected archive")
    return chosen
