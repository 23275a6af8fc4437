"""Only one process at a time works on a study: the one that holds the lock in its folder.

The lock is taken before the first write, so that a refused command writes nothing.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from emargin_train.errors import UserError


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own the study in an existing folder. Raises UserError where another process owns it.

    The lock ends with the process that holds it, however the process ends.
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
