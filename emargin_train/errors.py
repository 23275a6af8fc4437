"""Errors that a user can correct: one line on standard error, exit code 2."""

import difflib
import sys
from collections.abc import Callable, Iterable


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
    """Run a program; a UserError ends it with one line on standard error and exit code 2."""
    try:
        main()
    except UserError as error:
        message = " ".join(str(error).split())
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2) from None
