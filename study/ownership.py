"""One process at a time owns a study.

The lock comes before the first write, so that a refused command writes nothing.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from emargin_train.errors import UserError


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own the study in a folder that is there. Raises UserError where another process owns it.

    The lock ends with the process that has it, however it ends.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{folder} is in use by another process: wait until it ends, or stop it") from None
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): give a folder that is yours, or free some space"
        ) from None
    try:
        yield
    finally:
        lock.release()
