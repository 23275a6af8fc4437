"""Command-line flags, their help and their reading, derived from the declared settings."""

import argparse
from collections.abc import Iterable
from typing import Any

from emargin_train.data.settings import DataConfig
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


def read_flags(args: argparse.Namespace, settings: Iterable[Setting]) -> dict[str, Any]:
    """The values of the flags that were given, by column. Raises UserError."""
    texts = {one.column: (one, getattr(args, one.column)) for one in settings}
    return {column: one.read(text) for column, (one, text) in texts.items() if text is not None}
