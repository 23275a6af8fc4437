"""Where running trials store their checkpoints: in the study's folder, on a shared disk, or on S3.

If S3 refuses requests, we wait some minutes for it. We do not wait for a disk, since a full disk stays full.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyarrow import ArrowInvalid
from pyarrow.fs import FileSystem, LocalFileSystem

from emargin_train.errors import UserError
from study.retry import patiently
from study.secrets import without_password
from study.settings import StudySettings

if TYPE_CHECKING:  # Tune takes a second to load, and a cluster's start need not wait for it
    from ray import tune

PATIENCE_S = 600.0


@dataclass(frozen=True)
class Place:
    """The folder for the checkpoints of one run of a study.

    patience_s: how long we try again after an error
    """

    filesystem: FileSystem
    path: str
    patience_s: float

    def clear(self) -> None:
        """Remove the folder. If this fails, the folder stays, since the study is over."""
        with contextlib.suppress(OSError):
            self.filesystem.delete_dir(self.path)


def place(settings: StudySettings) -> Place:
    """A new place in `--storage`, else in the study's folder. Raises UserError for an unusable URI."""
    if settings.storage is None:
        return Place(LocalFileSystem(), str((settings.folder / "ray").resolve()), 0.0)
    own = f"{settings.name}-{uuid.uuid4().hex[:8]}"
    if without_password(settings.storage) != settings.storage:
        raise UserError(
            f"--storage is {without_password(settings.storage)} with a key in it, but settings are stored: "
            "give the key in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        )
    if "://" not in settings.storage:
        return Place(LocalFileSystem(), str((Path(settings.storage) / own).resolve()), 0.0)
    try:
        filesystem, path = FileSystem.from_uri(settings.storage)
    except (ArrowInvalid, OSError) as error:
        raise UserError(
            f"--storage is {settings.storage}, which cannot be opened ({_line(error)}): "
            "give a folder that all nodes share, or s3://bucket/path"
        ) from None
    local = isinstance(filesystem, LocalFileSystem)
    return Place(filesystem, f"{path.rstrip('/')}/{own}", 0.0 if local else PATIENCE_S)


def check(settings: StudySettings) -> None:
    """Raises UserError where `--storage` cannot be written to from here."""
    if settings.storage is None:
        return
    there = place(settings)
    try:
        there.filesystem.create_dir(there.path)
        with there.filesystem.open_output_stream(f"{there.path}/check") as file:
            file.write(b"")
    except OSError as error:
        raise UserError(
            f"--storage is {settings.storage}, which cannot be written to ({_line(error)}): "
            "check its name, and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_DEFAULT_REGION"
        ) from None
    there.clear()


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def report(values: dict[str, Any], folder: Path, *, patience_s: float) -> None:
    """Report the values to Tune, with a trial's folder as their checkpoint."""
    from ray import tune

    _wait_out(lambda: tune.report(values, checkpoint=tune.Checkpoint.from_directory(folder)), patience_s)


@contextlib.contextmanager
def fetched(checkpoint: "tune.Checkpoint") -> Iterator[Path]:
    """The folder of a checkpoint, or a copy of it where it is not on a disk of this machine."""
    if isinstance(checkpoint.filesystem, LocalFileSystem):
        yield Path(checkpoint.path)
        return
    copy = _wait_out(checkpoint.to_directory, PATIENCE_S)
    with contextlib.ExitStack() as stack:
        stack.callback(LocalFileSystem().delete_dir, copy)
        yield Path(copy)


def _wait_out(do: Callable[[], Any], patience_s: float) -> Any:
    return patiently(do, away=(OSError,), patience_s=patience_s) if patience_s else do()
