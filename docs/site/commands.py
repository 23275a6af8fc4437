"""All programs of the project, and their flags as pages of the reference."""

import argparse
import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest import mock

from docs.site.markdown import plain
from emargin_train.program import SCRIPT
from study.__main__ import COMMANDS, build_parser

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("emargin_train", "study", "analysis")
IS_PROGRAM = re.compile(r'^def main\(.*^if __name__ == "__main__":', flags=re.S | re.M)
AS_WRITTEN = re.compile(r"    |- |python -m |[A-Z_]+=")  # how a part of a description begins that is no prose
OF_ALL = {"--help", "--version"}


class Asked(Exception):
    """A program was about to read its command line."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


@cache
def parser_of(module: str) -> argparse.ArgumentParser:
    """The parser of a program: its `main` runs until it would read the command line."""
    found = importlib.import_module(module)
    if not hasattr(found, "main"):
        found = importlib.import_module(f"{module}.__main__")

    def ask(self: argparse.ArgumentParser, *_: object) -> None:
        raise Asked(self)

    with mock.patch.object(argparse.ArgumentParser, "parse_known_args", ask):
        try:
            found.main()
        except Asked as asked:
            return asked.parser
    raise TypeError(f"{module} reads no command line")


def programs() -> list[str]:
    """The modules that users start by `python -m`, except `study`, whose commands are programs themselves."""
    found = []
    for package in PACKAGES:
        for file in sorted([*(ROOT / package).glob("*.py"), *(ROOT / package).glob("*/__main__.py")]):
            if IS_PROGRAM.search(file.read_text(encoding="utf-8")):
                found.append(".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"))
    return [module for module in found if module != "study"]


def commands_page() -> str:
    """The commands of `emargin-study`, then the programs that are not among them."""
    text = [
        "# Commands",
        f"`{SCRIPT} COMMAND` starts each of these programs; `python -m MODULE` does the same. Every program "
        "explains its flags with `--help` and prints its version with `--version`.",
    ]
    for name, command in COMMANDS.items():
        of = parser_of(command.module)
        for word in command.words:
            of = _commands(of)[word]
        start = " ".join(("python -m", command.module, *command.words))
        text += [f"## {SCRIPT} {name}", f"{plain(command.help)} The same as `{start}`.", *_program(of)]
    text += [f"## {SCRIPT} completion", f"{plain(_helps(build_parser())['completion'])}"]
    others = [module for module in programs() if module not in {one.module for one in COMMANDS.values()}]
    for module in others:
        if not module.startswith("analysis."):
            text += [f"## python -m {module}", *_program(parser_of(module))]
    return "\n\n".join(text) + "\n"


def analyses_page() -> str:
    text = [
        "# Analyses",
        "These programs read the folders of exported studies. They need only `pip install .`, without the "
        "libraries for training.",
    ]
    for module in programs():
        if module.startswith("analysis."):
            text += [f"## python -m {module}", *_program(parser_of(module))]
    return "\n\n".join(text) + "\n"


def _program(parser: argparse.ArgumentParser) -> Iterator[str]:
    with _known_as(parser):
        yield f"```text\n{parser.format_usage().removeprefix('usage: ').strip()}\n```"
    for part in (parser.description or "").strip("\n").split("\n\n"):
        yield f"```text\n{part}\n```" if AS_WRITTEN.match(part) else plain(part)
    for group in parser._action_groups:
        actions = [
            one
            for one in group._group_actions
            if one.help != argparse.SUPPRESS and not OF_ALL.intersection(one.option_strings)
        ]
        if actions:
            yield f"**{plain(group.title or '')}**"
            if group.description:
                yield plain(group.description)
            yield "\n\n".join(_flag(one) for one in actions)
    if parser.epilog:
        yield f"```text\n{parser.epilog.strip()}\n```"


@contextmanager
def _known_as(parser: argparse.ArgumentParser) -> Iterator[None]:
    """A usage of a few words: with a hundred flags, the whole would be a page."""
    given = [one for one in parser._actions if not one.option_strings or one.required]
    words = [f"{one.option_strings[0]} {_value(one)}" if one.option_strings else _word(one) for one in given]
    with mock.patch.object(parser, "usage", " ".join((parser.prog, *words, "[FLAGS]"))):
        yield


def _value(action: argparse.Action) -> str:
    return str(action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper())


def _word(action: argparse.Action) -> str:
    word = _value(action)
    return f"[{word} ...]" if action.nargs == "*" else f"{word} ..." if action.nargs == "+" else word


def _flag(action: argparse.Action) -> str:
    name = ", ".join(action.option_strings) or _word(action)
    value = "" if not action.option_strings or action.nargs == 0 else " " + _value(action)
    if isinstance(action, argparse._SubParsersAction):
        name, value = ", ".join(action.choices), ""
    return f"`{name}{value}`\n:   {plain((action.help or '').replace('%%', '%'))}"


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (found,) = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(found.choices)


def _helps(parser: argparse.ArgumentParser) -> dict[str, str]:
    """The help line of each command of a parser."""
    (found,) = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return {one.dest: one.help or "" for one in found._choices_actions}
