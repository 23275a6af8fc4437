"""Command-line flags, their help and their reading, derived from the declared settings."""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from emargin_train.config import all_hyperparameters, readers, table
from emargin_train.data.settings import DataConfig
from emargin_train.encoders import ENCODERS
from emargin_train.methods import METHODS
from emargin_train.settings import Setting, declared, hyperparameters

MOST_NAMED = 12  # choices that a help line lists


def data_settings_of() -> dict[str, Setting]:
    """The settings of the data that a study holds fixed, by column."""
    varied = hyperparameters(DataConfig)
    return {column: one for column, one in declared(DataConfig).items() if column not in varied}


def add_flags(group: Any, settings: Iterable[Setting], *, notes: dict[str, str] | None = None) -> None:
    """One flag for each setting; a flag that is left out leaves the default.

    notes: what follows the help line, by column; without one it is the default and the domain
    """
    for one in settings:
        note = (notes or {}).get(one.column, default_note(one))
        text = f"{one.help} {note}".strip().replace("%", "%%")
        former = [] if one.formerly is None else ["--" + one.formerly.replace("_", "-")]
        for flag, shown in ((one.flag, text), *((flag, argparse.SUPPRESS) for flag in former)):
            if one.kind is bool:
                group.add_argument(flag, dest=one.column, action="store_true", default=None, help=shown)
            else:
                group.add_argument(flag, dest=one.column, metavar=one.metavar or "VALUE", help=shown)


def default_note(one: Setting) -> str:
    """The default and the domain, in brackets."""
    default = ",".join(map(str, one.default)) if one.many and one.default is not None else one.default
    has_none = default is None or default is False or "default" in one.help
    parts = [] if has_none else [f"default {default}"]
    if one.domain and one.kind is str and len(one.choices) <= MOST_NAMED:
        parts.append(one.domain)
    return f"({'; '.join(parts)})" if parts else ""


def hyperparameter_notes(note: Callable[[Setting], str] = default_note) -> dict[str, str]:
    """What follows the help line of each hyper-parameter: a note, other defaults, and who reads it."""
    trained = {name for name, method in METHODS.items() if method.Training is not None}
    notes = {}
    for column, one in all_hyperparameters().items():
        names = readers(column)
        parts = [note(one)]
        parts += [f"(default {default} for {name})" for name, default in other_defaults(column).items()]
        if not trained <= set(names):
            parts.append(f"[{', '.join(names)}]")
        notes[column] = " ".join(part for part in parts if part)
    return notes


def other_defaults(column: str) -> dict[str, Any]:
    """Of the methods where the default of a hyper-parameter is not that of its flag: their own, by method."""
    usual = all_hyperparameters()[column].default
    tables = {name: table(name, encoder) for encoder in ENCODERS for name in readers(column)}
    own = {name: of[column].default for name, of in tables.items() if column in of}
    return {name: default for name, default in own.items() if default != usual}


def read_flags(args: argparse.Namespace, settings: Iterable[Setting]) -> dict[str, Any]:
    """The values of the flags that were given, by column. Raises UserError."""
    given = {one.column: (one, getattr(args, one.column)) for one in settings}
    return {
        column: one.read(text) if isinstance(text, str) else text
        for column, (one, text) in given.items()
        if text is not None
    }
