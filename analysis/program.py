"""The parser of every analysis: a mistake in a flag is one line, as in the other programs."""

import argparse
import difflib
import os
import sys
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, NoReturn

from analysis.errors import UserError

SCRIPT = "emargin-study"


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` whose faults are UserErrors, with --version.

    module: the program, as `python -m` starts it
    """

    def __init__(self, module: str, description: str | None) -> None:
        name = os.path.basename(sys.argv[0])
        started = name if name.partition(" ")[0] == SCRIPT else f"python -m {module}"
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(started, description=description, formatter_class=formatter, allow_abbrev=False)
        shown = f"{SCRIPT} {version(SCRIPT)}"
        self.add_argument(
            "--version", action="version", version=shown, help="Print the version of eMargin Study."
        )

    def parse_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        """Raises UserError for an unknown flag, too many words or an impossible value."""
        found, unknown = self.parse_known_args(None if args is None else list(args), namespace)
        if unknown:
            close = difflib.get_close_matches(unknown[0], self._option_string_actions, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise UserError(f"{unknown[0]} has no use here: {hint}{self.prog} --help explains every flag")
        return found

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message.removeprefix('argument ')}; {self.prog} --help explains every flag")
