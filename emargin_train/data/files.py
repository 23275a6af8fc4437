"""What all readers of files share: damage is reported in one line, and impossible headers are refused."""

import csv
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from emargin_train.errors import UserError

# Values (channels x samples) taken from one file: 1.6 GB as float32, a week of six channels at 100 Hz.
MAX_VALUES = 400_000_000

# What the parsing libraries raise on damaged input. They were written for sound files: a wild number in a
# header surfaces wherever it is first used.
DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    NameError,
    EOFError,
    OSError,
    AssertionError,
    RuntimeError,
    MemoryError,
    csv.Error,
    pickle.PickleError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    pa.ArrowException,
)


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Around a library's parser: whatever it raises on this file becomes a UserError naming it."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: check --data-dir") from error
    except PermissionError as error:
        raise UserError(f"{path} may not be read: check its permissions") from error
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{path} cannot be read as {kind} ({reason}): it is damaged or of another format, get it again"
        ) from error


def bounded(path: Path, n_values: int) -> int:
    """`n_values` as claimed by a header, if a computer can hold it."""
    if not 0 <= n_values <= MAX_VALUES:
        raise UserError(
            f"{path} claims {n_values:,} values, more than the {MAX_VALUES:,} read from one file: "
            "it may be damaged; if it is not, divide it into several files"
        )
    return n_values


@contextmanager
def writing(folder: Path, remedy: str) -> Iterator[None]:
    """Around writing to `folder`: a full disk, or one that may not be written, becomes a UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror or error}): {remedy}") from None
