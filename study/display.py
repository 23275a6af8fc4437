"""A study does not depend on its display: when its pipe or terminal is gone, it continues without output."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


class Forgiving:
    """A stream that drops what it cannot write; everything else is passed to the wrapped stream."""

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
    """Inside this context, standard output and standard error drop what they cannot write."""
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
    """Open standard streams that were closed, as with `>&-`: no file of the study must take their place."""
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


def on_standard_error(text: str) -> None:
    """Print a line for the user; results alone go to standard output."""
    print(text, file=sys.stderr)
