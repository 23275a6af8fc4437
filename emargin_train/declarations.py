"""What methods, encoders and metrics declare, read without loading PyTorch, NumPy or SciPy.

A method is one file, which holds its settings beside layers and losses. A help text and the check of a flag
need the settings alone, and PyTorch takes seconds to load. So where PyTorch is not loaded yet, the files are
imported once with stand-ins for everything that belongs neither to Python nor to this project. What they
declare is kept, and the modules are forgotten. The classes are only to be asked what they declare, and their
settings can be made, which checks values; a check that depends on what a library returns raises TypeError. A
file whose declarations really need a library (a domain that NumPy computes, say) is imported as usual.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ClassVar

from emargin_train.settings import declared

OWN = __name__.partition(".")[0]
# Modules whose tables are read, and what is known of each entry.
TABLES = {
    "METHODS": "emargin_train.methods",
    "ENCODERS": "emargin_train.encoders",
    "METRICS": "emargin_train.evaluation.metrics",
}


@dataclass(frozen=True)
class Declarations:
    """Tables by name: classes of methods and of encoders, and what is known of each metric."""

    methods: Mapping[str, Any]
    encoders: Mapping[str, Any]
    metrics: Mapping[str, Any]


@cache
def declarations() -> Declarations:
    """All that is declared. Raises what importing a faulty file raises."""
    if "torch" not in sys.modules:
        try:
            with stand_ins():
                return _read()
        except Exception:  # a file needs the library itself, or is at fault, which the import below says
            pass
    return _read()


def _read() -> Declarations:
    found = Declarations(*(getattr(importlib.import_module(module), name) for name, module in TABLES.items()))
    for one in (*found.methods.values(), *found.encoders.values()):
        own_encoder = getattr(one, "own_encoder", None)
        for kind in (one.Settings, getattr(one, "Training", None), getattr(own_encoder, "Settings", None)):
            if kind is not None:
                _check(kind)
    return found


def _check(settings: type) -> None:
    """Raises TypeError where a stand-in became a part of a declaration."""
    for one in declared(settings).values():
        for value in vars(one).values():
            parts = value if isinstance(value, tuple) else (value,)
            if any(isinstance(part, StandIn) for part in parts):
                raise TypeError(f"{one.column} is declared by a library that is not loaded")


class StandIn:
    """Anything of a library that is not loaded: a function, a base class, a decorator, an annotation.

    Nobody knows whether it is true, what it equals and what it says, so that these questions raise TypeError.
    Only while files are read, `==` compares identities: `typing` asks this of annotations.

    is_reading: whether files are read now
    """

    is_reading: ClassVar[bool] = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()

    __getitem__ = __setitem__ = __or__ = __ror__ = __neg__ = __call__
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __call__
    __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __call__
    __iter__ = None  # else it would have items without end

    def _unknown(self, *_: Any) -> Any:
        raise TypeError("nobody knows what this is without the library")

    def __eq__(self, other: object) -> bool:
        return self is other if StandIn.is_reading else self._unknown()

    __bool__ = __str__ = __format__ = _unknown
    __hash__ = object.__hash__


class StandInModule(ModuleType):
    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn()


class Finder:
    """Makes a stand-in of every module that neither Python nor this project has."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        top = name.partition(".")[0]
        if top == OWN or top in sys.stdlib_module_names or top.startswith("_"):
            return None
        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


@contextmanager
def stand_ins() -> Iterator[None]:
    """Libraries are stand-ins inside; modules that were imported so are forgotten at the end."""
    before, finder = dict(sys.modules), Finder()
    sys.meta_path.insert(0, finder)
    StandIn.is_reading = True
    try:
        yield
    finally:
        StandIn.is_reading = False
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name not in before]:
            module = sys.modules[name]
            if name.partition(".")[0] == OWN or isinstance(module, StandInModule):
                del sys.modules[name]
                parent, _, child = name.rpartition(".")
                if parent in before and vars(before[parent]).get(child) is module:
                    delattr(before[parent], child)
