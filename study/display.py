"""The display is not the study: a study whose pipe or terminal is gone runs on in silence."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


class Forgiving:
    """A stream that drops what it cannot write; all else is the wrapped stream's."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_gone = False

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def isatty(self) -> bool:
        return not self._is_gone and bool(self._stream.isatty())

    def _try(self, do: Any) -> None:
        if self._is_gone:
            return
        try:
            do()
        except (OSError, ValueError):  # a broken pipe, a closed file, a terminal that hung up, a full disk
            self._is_gone = True
            with contextlib.suppress(OSError, ValueError, AttributeError):
                _to_nowhere(self._stream.fileno())  # so that what is still buffered raises no more

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def survives() -> Iterator[None]:
    """Standard output and standard error are forgiving meanwhile."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (one if one is None else Forgiving(one) for one in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def open_streams() -> None:
    """Open the standard streams that were closed, as by `>&-`, so that no file of the study becomes one."""
    while True:
        number = os.open(os.devnull, os.O_RDWR)
        if number > 2:
            os.close(number)
            return
        os.set_inheritable(number, True)


def _to_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
