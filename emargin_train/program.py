"""The parser of a program: a mistake in a flag is one line that names the nearest flag, without the usage."""

import argparse
import difflib
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from emargin_train.errors import UserError
from emargin_train.version import VERSION

SCRIPT = "emargin-study"


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` whose faults are UserErrors, with --help and --version.

    A flag has to be written in full: an abbreviation would change its meaning when flags are added.

    module: the program, as `python -m` starts it
    """

    def __init__(self, module: str = "", **about: Any) -> None:
        about.setdefault("prog", started_as(module))
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
            allow_abbrev=False,
            **about,
        )
        self.add_argument("-h", "--help", action="help", help="Print this text, and do nothing else.")
        version = f"{SCRIPT} {VERSION}"
        self.add_argument(
            "--version", action="version", version=version, help="Print the version of eMargin Study."
        )

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Raises UserError for an unknown flag, too many words or an impossible value."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            raise UserError(self._unknown(unknown))
        return found

    def error(self, message: str) -> NoReturn:
        if message.startswith("argument "):
            message = message.removeprefix("argument ")
        if message.endswith(": expected one argument"):
            flag = message.partition(":")[0].rpartition("/")[2]
            message += f" (a value that begins with - needs an equals sign: {flag}=-1)"
        raise UserError(f"{message}; {self.prog} --help explains every flag")

    def _unknown(self, words: list[str]) -> str:
        flag = next((word.partition("=")[0] for word in words if word.startswith("-")), None)
        if flag is None:
            return f"'{words[0]}' is given, but it has no use here; {self.prog} --help explains every flag"
        known = [name for parser in _with_commands(self) for name in parser._option_string_actions]
        close = difflib.get_close_matches(flag, known, n=1, cutoff=0.6)
        close = close or sorted((name for name in known if name.startswith(flag)), key=len)[:1]
        hint = f"did you mean {close[0]}? " if close else ""
        return f"{flag} is not a flag: {hint}{self.prog} --help lists all of them"


def _with_commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def pasted(module: str, *words: object) -> str:
    """The command that runs a program of this environment from this folder, for a shell.

    A user of the script is given its command where the shell finds it.

    module: the program; if it is ours, its last part is the command of the script
    """
    if _is_script() and "." in module and shutil.which(SCRIPT):
        return shlex.join((SCRIPT, module.rpartition(".")[2], *map(str, words)))
    found, here = shutil.which("python"), os.path.abspath(sys.executable)
    python = "python" if found is not None and os.path.abspath(found) == here else here
    if python.startswith(os.getcwd() + os.sep):
        python = os.path.relpath(python)
    return shlex.join((python, "-m", module, *map(str, words)))


def started_as(module: str) -> str:
    """How the user started this program: as a command of the script, or by `python -m`."""
    return os.path.basename(sys.argv[0]) if _is_script() else f"python -m {module}"


def _is_script() -> bool:
    return os.path.basename(sys.argv[0]).partition(" ")[0] == SCRIPT
