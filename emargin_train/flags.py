"""Command-line flags: how they are made from the declared settings, and how their values are read."""

import argparse
from collections.abc import Iterable
from typing import Any

from emargin_train.settings import Setting

MOST_NAMED = 12  # choices that a help line lists


def add_flags(group: Any, settings: Iterable[Setting], *, notes: dict[str, str] | None = None) -> None:
    """One flag for each setting; a flag that is left out leaves the default.

    A setting that is true or false is switched on by its flag alone; a hyper-parameter of that kind takes a
    value, since a study may vary it.

    notes: what follows the help line, by column; without one it is the default and the domain
    """
    for one in settings:
        note = (notes or {}).get(one.column, default_note(one))
        text = f"{one.help} {note}".strip().replace("%", "%%")
        former = [] if one.formerly is None else ["--" + one.formerly.replace("_", "-")]
        for flag, shown in ((one.flag, text), *((flag, argparse.SUPPRESS) for flag in former)):
            if one.kind is bool and not one.is_hyperparameter:
                group.add_argument(flag, dest=one.column, action="store_true", default=None, help=shown)
            else:
                group.add_argument(flag, dest=one.column, metavar=one.metavar or "VALUE", help=shown)


def default_note(one: Setting) -> str:
    """The default and the domain, in brackets."""
    default = None if one.default is None else one.text(one.default)
    is_switch = one.kind is bool and not one.is_hyperparameter
    has_none = default is None or is_switch or default == "" or "default" in one.help
    parts = [] if has_none else [f"default {default}"]
    if one.domain and one.kind is str and len(one.choices) <= MOST_NAMED:
        parts.append(one.domain)
    return f"({'; '.join(parts)})" if parts else ""


def read_flags(args: argparse.Namespace, settings: Iterable[Setting]) -> dict[str, Any]:
    """The values of the flags that were given, by column. Raises UserError."""
    given = {one.column: (one, getattr(args, one.column)) for one in settings}
    return {
        column: one.read(text) if isinstance(text, str) else text
        for column, (one, text) in given.items()
        if text is not None
    }
