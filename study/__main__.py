"""`emargin-study COMMAND`, or `python -m study COMMAND`: all programs under one name.

Each command is a program of its own, which `python -m MODULE` starts too.
"""

import importlib
import runpy
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from emargin_train.errors import UserError, exit_on_user_error, nearest
from emargin_train.program import SCRIPT, Parser


@dataclass(frozen=True)
class Command:
    """module: the program; words: those that it is given before the user's"""

    module: str
    help: str
    words: tuple[str, ...] = ()


COMMANDS = {
    "run": Command("study.run", "Run a study, or resume one."),
    "describe": Command("emargin_train.data", "Print how a dataset is read, and draw it.", ("describe",)),
    "download": Command("emargin_train.data", "Download a dataset from its public home.", ("download",)),
    "pretrain": Command("emargin_train.pretrain", "Train and measure one encoder, without a cluster."),
    "encode": Command("emargin_train.encode", "Turn recordings into embeddings, with a trained encoder."),
    "report": Command("analysis.report", "Write the report of a study."),
    "repeat": Command("study.repeat", "Train one row of a table again, and compare its metrics."),
    "server": Command("study.server", "Start a local MLflow server that shows the studies."),
    "sync": Command("study.sync", "Export the runs that MLflow lacks."),
}
# Where `build_parser` is, if not in the program itself.
PARSERS = {"study.run": "study.command_line", "emargin_train.data": "emargin_train.data.__main__"}
SHELLS = ("bash", "zsh")
EXAMPLES = """\
examples:
  emargin-study run --preset smoke
  emargin-study describe sleepeeg-sim
  emargin-study repeat runs/NAME emargin-0003 0-1
  emargin-study run --help                                  all flags of a command
  source <(emargin-study completion bash)                   the shell completes commands and flags
"""


def build_parser() -> Parser:
    parser = Parser(
        "study", description="Train, measure and compare encoders of time series.", epilog=EXAMPLES
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.help)
    completion = commands.add_parser("completion", help="Print a script that makes a shell complete flags.")
    completion.add_argument("shell", choices=SHELLS, help="The shell: bash or zsh.")
    return parser


def completion(shell: str) -> str:
    """The script for a shell, which knows all commands, their flags and the values that a flag may have.

    Raises UserError where shtab, which writes it, is not installed.
    """
    try:
        import shtab
    except ModuleNotFoundError:
        raise UserError("shtab is not installed, but it writes the script: pip install shtab") from None
    parser = Parser("study", description="eMargin Study")
    parser.prog = SCRIPT
    commands = parser.add_subparsers(dest="command")
    for name, command in COMMANDS.items():
        made = importlib.import_module(PARSERS.get(command.module, command.module)).build_parser()
        if command.words:
            (actions,) = [one for one in made._actions if isinstance(one.choices, dict)]
            made = actions.choices[command.words[0]]
        offered = commands.add_parser(name, help=command.help, parents=[made], conflict_handler="resolve")
        for action in offered._actions:
            _offer(action)
    return str(shtab.complete(parser, shell))


def _offer(action: Any) -> None:
    """Offer the values of a setting, files and folders; only the script uses what is set here."""
    import shtab

    from emargin_train.hyperparameters import all_hyperparameters
    from study import presets
    from study.settings import declared_settings

    known = declared_settings() | all_hyperparameters()
    column = {"method": "methods"}.get(action.dest, action.dest)
    if action.dest == "preset":
        action.choices = presets.NAMES
    elif column in known and known[column].choices and action.nargs is None:
        action.choices = known[column].choices
    elif action.metavar in ("DIR", "FILE"):
        action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE


def main() -> None:
    words = sys.argv[1:]
    if words and words[0] in COMMANDS:
        command = COMMANDS[words[0]]
        name = SCRIPT if command.words else f"{SCRIPT} {words[0]}"  # such a program has commands of its own
        sys.argv = [name, *command.words, *words[1:]]
        try:
            runpy.run_module(command.module, run_name="__main__")
        except ModuleNotFoundError as error:
            exit_on_user_error(partial(_refuse, words[0], error))
        return
    exit_on_user_error(_own)


def _refuse(command: str, error: ModuleNotFoundError) -> NoReturn:
    """Raise UserError for a library of the extra `study` that is not installed; else the error itself."""
    missing = (error.name or "").partition(".")[0]
    if missing in ("", "analysis", "emargin_train", "study"):  # our own code is at fault
        raise error
    raise UserError(
        f"{SCRIPT} {command} needs {missing}, which is not installed: pip install 'emargin-study[study]', or "
        "'.[study]' in a copy of the repository"
    ) from None


def _own() -> None:
    """What is no other program's: help, version, the completion, a mistyped command."""
    parser, words = build_parser(), sys.argv[1:]
    if not words:
        parser.print_help()
        return
    known = (*COMMANDS, "completion")
    if words[0] not in known and not words[0].startswith("-"):
        raise UserError(f"'{words[0]}' is not a command: {nearest(words[0], known)}")
    print(completion(parser.parse_args().shell))


if __name__ == "__main__":
    main()
