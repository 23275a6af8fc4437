"""Mistakes that a user can correct: one line, exit code 2."""

import difflib
import os
import sys
from collections.abc import Callable, Iterable


class UserError(ValueError):
    """A folder, column or option that the user gave and can correct.

    The message names value, reason and remedy in one line.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name: it names the closest known name, and all known names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}known: {', '.join(known) or 'none'}"


def exit_on_user_error(main: Callable[[], None]) -> None:
    """Run a program; a UserError ends it with one line on standard error and exit code 2."""
    try:
        main()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:  # the reader of our output (`| head`) is gone, so nothing more can be printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
