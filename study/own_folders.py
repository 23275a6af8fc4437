"""Temporary folders of a study: they are removed when it ends, or soon afterwards if it was killed.

Each is named emargin-<kind>-<run>-<random> once its process holds a lock in it. A lock ends with its process,
however the process ends. So the next study on the machine can tell which folders belong to killed processes,
and removes them.
"""

import contextlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

RUN = uuid.uuid4().hex[:8]  # names the folders of this process and of the workers of its study
KINDS = ("trial", "ray", "exporter")
YOUNG_S = 60.0  # a folder whose name is hidden still, and that is this young, may not have its lock yet


@contextlib.contextmanager
def temporary(kind: str, *, run: str = RUN, parent: str | None = None) -> Iterator[Path]:
    """A new folder, removed at the end. Folders that dead processes left in this place are removed first."""
    base = Path(parent or tempfile.gettempdir())
    sweep(base)
    hidden = Path(tempfile.mkdtemp(prefix=f".emargin-{kind}-{run}-", dir=base))
    with FileLock(hidden / ".lock"):
        folder = hidden.rename(base / hidden.name.removeprefix("."))
        try:
            yield folder
        finally:
            remove(folder)


def sweep(base: Path) -> None:
    """Remove the folders of dead processes."""
    for kind in KINDS:
        hidden = [one for one in base.glob(f".emargin-{kind}-*-*") if _age_s(one) > YOUNG_S]
        for folder in [*hidden, *base.glob(f"emargin-{kind}-*-*")]:
            with contextlib.suppress(OSError, Timeout), FileLock(folder / ".lock", timeout=0):
                shutil.rmtree(folder, ignore_errors=True)


def _age_s(folder: Path) -> float:
    """Seconds since it was changed; 0 where it is gone."""
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0


def remove_all(run: str = RUN, kinds: Sequence[str] = KINDS) -> None:
    """Remove what a run of a study left on this machine, once its processes are gone."""
    for base in {Path(tempfile.gettempdir()), *_RAY_PARENTS}:
        for kind in kinds:
            for folder in base.glob(f"emargin-{kind}-{run}-*"):
                remove(folder)


def remove(folder: Path) -> None:
    """Remove a folder into which a process that is just ending may still write."""
    for _ in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.2)


_RAY_PARENTS: set[Path] = set()


def note_parent(base: Path) -> None:
    """Remember a place where this process has folders, other than the usual one."""
    _RAY_PARENTS.add(base)
