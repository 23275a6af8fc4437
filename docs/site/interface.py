"""The Python interface as a page of the reference: signatures and docstrings of what the packages offer."""

import importlib
import inspect
import re
import types
from collections.abc import Iterator
from typing import Any

from docs.site.markdown import docstring, plain

OFFERED = ("emargin_train", "study", "analysis")
RETURNED = {"emargin_train": ("emargin_train.trained_encoder.TrainedEncoder",)}  # by `load_encoder`
ESTIMATORS = "emargin_train.estimators"
MODULES = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])")  # that stand before the name of a class
ONE_LINE = 90  # characters of a signature; a longer one has a line for each parameter


def page() -> str:
    text = [
        "# Python interface",
        "This is what the packages offer. What a name needs is loaded when the name is first used. "
        "[Use Python](../python.md) shows how the parts work together.",
    ]
    for package in OFFERED:
        module = importlib.import_module(package)
        text += [f"## {package}", plain((module.__doc__ or "").strip().partition("\n\n")[0])]
        for name in sorted(module.__all__):
            text += _described(f"{package}.{name}", getattr(module, name))
        for returned in RETURNED.get(package, ()):
            source, _, name = returned.rpartition(".")
            text += _described(returned, getattr(importlib.import_module(source), name))
    module = importlib.import_module(ESTIMATORS)
    classes = ", ".join(f"`{one.__name__}` ({plain(method)})" for method, one in module.ESTIMATORS.items())
    text += [f"## {ESTIMATORS}", docstring(inspect.getdoc(module)), f"The class of each method: {classes}."]
    text += _described(f"{ESTIMATORS}.EMargin", module.EMargin)
    return "\n\n".join(part for part in text if part.strip()) + "\n"


def _described(name: str, one: Any) -> Iterator[str]:
    """A function or class, and the methods and properties that a class defines."""
    if isinstance(one, types.ModuleType):  # study.run: the module of the program, which can be called
        one = importlib.import_module("study.notebook").run
    yield f"### {name}"
    if not (inspect.isclass(one) and issubclass(one, Exception)):
        yield f"```python\n{_signature(name, one)}\n```"
    yield docstring(inspect.getdoc(one))
    for member, value in vars(one).items() if inspect.isclass(one) else ():
        function = getattr(value, "fget", None) or getattr(value, "func", None) or value
        if member.startswith("_") or not isinstance(function, types.FunctionType):
            continue
        called = f".{member}" if function is not value else _signature(f".{member}", function)
        yield f"```python\n{called}\n```"
        yield docstring(inspect.getdoc(function))


def _signature(name: str, one: Any) -> str:
    of = inspect.signature(one)
    kept = [p for p in of.parameters.values() if p.name != "self"]
    end = "" if inspect.isclass(one) else MODULES.sub("", str(of.replace(parameters=[]))[2:])
    text = f"{name}{_parameters(of, kept)}{end}"
    if len(text) <= ONE_LINE:
        return text
    lines = [f"    {_parameters(of, [p])[1:-1].removeprefix('*, ')}," for p in kept]
    first = next((i for i, p in enumerate(kept) if p.kind == p.KEYWORD_ONLY), None)
    if first is not None:
        lines.insert(first, "    *,")
    return "\n".join([f"{name}(", *lines, f"){end}"])


def _parameters(of: inspect.Signature, kept: list[inspect.Parameter]) -> str:
    return MODULES.sub("", str(of.replace(parameters=kept, return_annotation=of.empty)))
