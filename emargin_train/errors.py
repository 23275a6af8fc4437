"""Errors that a user can correct: one line on standard error, exit code 2."""

import difflib
import errno
import os
import select
import stat
import sys
from collections.abc import Callable, Iterable
from typing import TextIO


class UserError(ValueError):
    """A value, file or folder that the user gave and can correct.

    The message is one line that names the value, the reason and the remedy.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name: it names the closest known name, and all known names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}known: {', '.join(known)}"


def exit_on_user_error(main: Callable[[], None]) -> None:
    """Run a program; a UserError ends it with one line on standard error and exit code 2.

    Where nobody reads its output any more (`| head`), it ends with exit code 1 and without a word; where its
    output cannot be written, as on a full disk, with one line.
    """
    try:
        try:
            main()
        except UserError as error:
            message = " ".join(str(error).split())
            print(f"error: {message}", file=sys.stderr)
            raise SystemExit(2) from None
        finally:
            _flush()
    except OSError as error:
        ours = error.filename is None and error.errno in (None, errno.EPIPE, errno.ENOSPC, errno.EIO)
        failed = [stream for stream in _streams() if ours and not _writable(stream)]
        if not failed:
            raise  # not of our output, but of a file or a connection
        for stream in failed:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # nothing is left to write at exit
        if not isinstance(error, BrokenPipeError):
            print(f"error: the output cannot be written ({error.strerror})", file=sys.stderr)
        raise SystemExit(1) from None


def _streams() -> list[TextIO]:
    """Standard output and error, as far as they are open."""
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None]


def _flush() -> None:
    for stream in _streams():
        stream.flush()


def _writable(stream: TextIO) -> bool:
    """Whether it can still be written to: its pipe has a reader, or its disk has space."""
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLOUT)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    try:
        stream.flush()
        if stream is sys.stdout and not stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode):
            os.write(stream.fileno(), b"\n")  # an unbuffered stream has nothing to flush
    except OSError:
        return False
    return True
