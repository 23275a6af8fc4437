"""Frames on disk: Arrow IPC files, memory-mapped, each set computed once.

A set of frames is a folder named by its key with three files:
    frames.arrow    one record batch per sequence: its spectra
    index.arrow     one row per sequence, and in the schema's metadata what belongs to the whole
    SUMS            CRC-32 and size of the two, written last; a set that lacks it or differs is rebuilt
Every file is written under another name and then renamed, so a reader sees whole files only.
"""

import errno
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
from filelock import FileLock

from emargin_train.data import versions
from emargin_train.data.recording import Part
from emargin_train.errors import UserError

FRAMES, INDEX, SUMS = "frames.arrow", "index.arrow", "SUMS"


class Damaged(Exception):
    """A file of the cache is absent or not what was written."""


@dataclass(frozen=True)
class Stored:
    """One opened set: `store` (M, T, F) float32, read-only, mapped; `index`, one row per sequence."""

    store: np.ndarray
    index: pa.Table
    info: dict[str, Any]


def folder() -> Path:
    """Where the cache is: EMARGIN_CACHE, else ~/.cache/emargin-study."""
    given = os.environ.get("EMARGIN_CACHE")
    if given:
        return Path(given)
    try:
        return Path.home() / ".cache" / "emargin-study"
    except RuntimeError:
        raise UserError("no home folder is known for the cache: set EMARGIN_CACHE to a folder") from None


def key(*what: Any) -> str:
    """16 hex digits of anything that JSON can write, and of the version of the frames."""
    return hashlib.sha256(json.dumps([versions.FRAMES, *what], sort_keys=True).encode()).hexdigest()[:16]


def get(name: str, build: Callable[[Path], None]) -> Stored:
    """The set of that key; where it is absent or damaged, one process builds it and the others wait.

    build: given an empty folder, calls `write` there.
    """
    path = folder() / "frames" / name
    try:
        return _open_once(path)
    except Damaged:
        pass
    with _writable(path.parent), FileLock(path.with_suffix(".lock")):
        try:
            return _open_once(path)  # built while this process waited
        except Damaged:
            pass
        for left_behind in path.parent.glob(f"{name}.*.tmp"):  # by a process that was killed
            shutil.rmtree(left_behind, ignore_errors=True)
        scratch = path.with_suffix(f".{uuid4().hex}.tmp")
        scratch.mkdir()
        try:
            build(scratch)
            path.mkdir(exist_ok=True)
            (path / SUMS).unlink(missing_ok=True)
            for file in (FRAMES, INDEX, SUMS):  # SUMS last: it makes the set valid
                os.replace(scratch / file, path / file)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return _open_once(path)


@contextmanager
def _writable(parent: Path) -> Iterator[None]:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        full_or_closed = (
            errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR
        )  # fmt: skip
        if error.errno in full_or_closed or not parent.is_dir():
            raise UserError(
                f"cache folder '{folder()}' cannot be written ({error.strerror}): free space there, or set "
                "EMARGIN_CACHE to another folder"
            ) from None
        raise


def write(
    target: Path,
    sequences: Iterable[np.ndarray],
    shape: tuple[int, int],
    index: Callable[[], tuple[dict[str, pa.Array], dict[str, Any]]],
) -> None:
    """Write one set: sequences of `shape` (T, F) as they come, then the index (columns, info)."""
    size = shape[0] * shape[1]
    schema = pa.schema([("x", pa.list_(pa.float32(), size))], {"frames": str(shape[0])})
    with pa.OSFile(str(target / FRAMES), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for x in sequences:
            assert x.shape == shape and x.dtype == np.float32, (x.shape, x.dtype)
            flat = pa.array(np.ascontiguousarray(x).reshape(-1))
            writer.write_batch(pa.record_batch([pa.FixedSizeListArray.from_arrays(flat, size)], schema))
    columns, info = index()
    table = pa.table(columns).replace_schema_metadata({"info": json.dumps(info)})
    with pa.OSFile(str(target / INDEX), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    (target / SUMS).write_text(_sums(target))


def _sums(path: Path) -> str:
    """The content that the SUMS file of a set must have."""
    files = [path / name for name in (FRAMES, INDEX)]
    return "".join(f"{_crc32(file):08x} {file.stat().st_size} {file.name}\n" for file in files)


def _crc32(path: Path) -> int:
    """Checksum through a small buffer: mapping the file instead would count as resident memory."""
    value = 0
    with path.open("rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            value = zlib.crc32(piece, value)
    return value


_opened: dict[tuple[Any, ...], Stored] = {}


def _open_once(path: Path) -> Stored:
    """`_open`, remembered by this process until a file of the set changes."""
    try:
        stats = [(path / name).stat() for name in (FRAMES, INDEX, SUMS)]
    except OSError:
        raise Damaged(path) from None
    identity = (path, *((s.st_ino, s.st_size, s.st_mtime_ns) for s in stats))
    if identity not in _opened:
        for stale in [known for known in _opened if known[0] == path]:
            del _opened[stale]
        _opened[identity] = _open(path)
    return _opened[identity]


def _open(path: Path) -> Stored:
    """Verify and map a set; raises Damaged."""
    try:
        sums = (path / SUMS).read_text()
        if sums != _sums(path):
            raise Damaged(path)
        with pa.OSFile(str(path / INDEX), "rb") as file:
            index = pa.ipc.open_file(file).read_all()
        return Stored(_map(path / FRAMES), index, json.loads(index.schema.metadata[b"info"]))
    except (OSError, ValueError, KeyError) as error:  # ArrowInvalid is a ValueError
        raise Damaged(path) from error


def _map(path: Path) -> np.ndarray:
    """(M, T, F) view of the file: batches of one schema lie evenly spaced, so no copy is needed."""
    mapped = pa.memory_map(str(path)).read_buffer()
    reader = pa.ipc.open_file(mapped)
    n, frames = reader.num_record_batches, int(reader.schema.metadata[b"frames"])
    size = reader.schema.field("x").type.list_size
    shape = (n, frames, size // frames)

    def offset(i: int) -> int:
        return reader.get_batch(i).column(0).values.buffers()[1].address - mapped.address

    first = offset(0)
    step = offset(1) - first if n > 1 else size * 4
    if offset(n - 1) != first + (n - 1) * step:
        raise Damaged(path)
    return np.ndarray(shape, np.float32, mapped, first, (step, shape[2] * 4, 4))


def content(parts: list[Part]) -> str:
    """Digest of everything that the recordings depend on; each file is read once, until it changes.

    What was learnt of a file is kept beside the cache, under its path, size, times and inode.
    """
    memo_path = folder() / "contents.json"
    try:
        memo: dict[str, str] = json.loads(memo_path.read_text())
    except (OSError, ValueError):
        memo = {}
    described: list[Any] = []
    fresh: dict[str, str] = {}
    for part in parts:
        digests = []
        for file in part.files:
            try:
                s = file.stat()
                identity = f"{file.resolve()} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {s.st_ino}"
                if identity not in memo:
                    with file.open("rb") as handle:
                        memo[identity] = fresh[identity] = hashlib.file_digest(handle, "sha256").hexdigest()
            except OSError as error:
                raise UserError(
                    f"'{file}' cannot be read ({error.strerror}): check the file and its folder"
                ) from None
            digests.append([file.name, memo[identity]])
        described.append([part.settings, part.split, digests])
    if fresh:
        with _writable(folder()):
            scratch = memo_path.with_suffix(f".{uuid4().hex}.tmp")
            scratch.write_text(json.dumps(memo))
            os.replace(scratch, memo_path)
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def size_bytes() -> int:
    """Bytes of all files in the cache, while others may be adding and removing some."""
    total = 0
    for path in folder().rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total
