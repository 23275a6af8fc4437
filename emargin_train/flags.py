"""Command-line flags, their help and their reading, derived from the declared settings."""

import argparse
from collections.abc import Iterable
from typing import Any

from emargin_train.config import all_hyperparameters, readers, table
from emargin_train.data.settings import DataConfig
from emargin_train.encoders import ENCODERS
from emargin_train.methods import METHODS
from emargin_train.settings import Setting, declared, hyperparameters


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
        group.add_argument(one.flag, dest=one.column, metavar=one.metavar or "VALUE", help=text)
        if one.formerly is not None:
            former = "--" + one.formerly.replace("_", "-")
            group.add_argument(former, dest=one.column, help=argparse.SUPPRESS)


def default_note(one: Setting) -> str:
    """The default and the domain, in brackets."""
    parts = [] if one.default is None or "default" in one.help else [f"default {one.default}"]
    if one.domain and one.kind is str:
        parts.append(one.domain)
    return f"({'; '.join(parts)})" if parts else ""


def hyperparameter_notes() -> dict[str, str]:
    """What follows the help line of each hyper-parameter: its default, other defaults, and who reads it."""
    trained = {name for name, method in METHODS.items() if method.Training is not None}
    notes = {}
    for column, one in all_hyperparameters().items():
        names = readers(column)
        parts = [default_note(one)]
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
    texts = {one.column: (one, getattr(args, one.column)) for one in settings}
    return {column: one.read(text) for column, (one, text) in texts.items() if text is not None}
