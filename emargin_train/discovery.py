"""Find the classes in a package by their `name`: a new file is found without being listed anywhere."""

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any


def named_classes(package: str, path: Iterable[str], base: type) -> dict[str, Any]:
    """All subclasses of `base` in the modules of a package that define a `name`, by name.

    They are sorted by their `order`, then by name. Raises ValueError where two have the same name.
    """
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(path):
        for value in vars(importlib.import_module(f"{package}.{module.name}")).values():
            if not (isinstance(value, type) and issubclass(value, base) and "name" in vars(value)):
                continue
            one: Any = value
            if found.setdefault(one.name, one) is not one:
                raise ValueError(f"{found[one.name]} and {one} are both named '{one.name}'")
    return dict(sorted(found.items(), key=lambda item: (item[1].order, item[0])))
