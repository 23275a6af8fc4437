"""The pages of the reference, made from what methods, encoders, metrics and columns declare."""

import ast
import importlib.util
import inspect
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import pyarrow as pa

from docs.site import commands, interface
from docs.site.markdown import code, docstring, plain, table
from emargin_train.data.settings import DataConfig
from emargin_train.declarations import declarations
from emargin_train.evaluation.metrics import METRICS, Metric
from emargin_train.hyperparameters import all_hyperparameters, other_defaults, readers
from emargin_train.settings import Setting, hyperparameters
from study.schema import schema

GOOD = {"max": "high", "min": "low", None: "neither"}
GROUPS = {
    "clustering": "Clusters",
    "probe": "Probes",
    "geometry": "Shape of the embeddings",
    "pseudo-label": "Pseudo-labels",
}
KINDS = {
    "identity": "Which training it was",
    "setting": "Settings that a study does not vary",
    "hyperparameter": "Hyper-parameters",
    "outcome": "How it ended",
    "metric": "Metrics",
    "cost": "What it cost",
}


def hyperparameters_page() -> str:
    """All hyper-parameters, grouped by who reads them."""
    found = all_hyperparameters()
    trained = {name for name, one in declarations().methods.items() if one.Training is not None}
    groups: dict[str, list[Setting]] = {}
    for column, one in found.items():
        owner, dot, _ = column.partition(".")
        if column in hyperparameters(DataConfig):
            group = "Recordings"
        elif dot:
            group = f"Of `{owner}`"
        else:
            group = "Every training" if trained <= set(readers(column)) else "Of several methods"
        groups.setdefault(group, []).append(one)
    text = [
        "# Hyper-parameters",
        "The flag of a study takes one value, a list `a,b,c`, or a range `A:B` that is searched. Where a "
        "range is named here, a study searches it unless the flag is given.",
    ]
    for title in sorted(groups, key=lambda name: (name.startswith("Of `"), name)):
        text += [f"## {title}", *(_hyperparameter(one, trained) for one in groups[title])]
    return "\n\n".join(text) + "\n"


def _hyperparameter(one: Setting, trained: set[str]) -> str:
    facts = [f"Default: {_default(one)}."]
    if one.domain:
        facts.append(f"Values: {plain(one.domain)}.")
    if one.search is not None:
        low, high = one.search
        facts.append(f"Searched in `{low:g}:{high:g}`{', on a logarithmic scale' if one.log else ''}.")
    if not trained <= set(names := readers(one.column)):
        facts.append(f"Read by {_readers(one.column, names)}.")
    return f"`{one.flag}`\n:   {plain(one.help)} {' '.join(facts)}"


def _readers(column: str, names: list[str]) -> str:
    encoders = declarations().encoders.items()
    encoder = next((name for name, one in encoders if column in hyperparameters(one.Settings)), None)
    if encoder is None:
        return ", ".join(map(code, names))
    own = [name for name in names if not declarations().methods[name].uses_encoder]
    return ", ".join([f"every method with `--encoder {encoder}`", *map(code, own)])


def _default(one: Setting) -> str:
    """The default, and those of the methods that have another one."""
    others: dict[Any, list[str]] = {}
    for method, value in other_defaults(one.column).items():
        others.setdefault(value, []).append(code(method))
    more = (f"{code(one.text(value))} for {', '.join(names)}" for value, names in others.items())
    return "; ".join([_shown(one), *more])


def metrics_page() -> str:
    """All metrics; those on test subjects are named below."""
    text = [
        "# Metrics",
        "The name of a metric is its column in `results.parquet`. `h` is an embedding, and `z = h/|h|`. "
        "[What is measured, and on what](../metrics.md) explains them.",
    ]
    for group, title in GROUPS.items():
        rows = [_metric(n, m) for n, m in METRICS.items() if m.group == group and not n.startswith("test_")]
        text += [f"## {title}", table(("metric", "what it is", "frames", "range", "good", "source"), rows)]
    tested = ", ".join(code(name) for name in METRICS if name.startswith("test_"))
    text += ["## On test subjects", f"These are the same on frames of test subjects: {tested}."]
    return "\n\n".join(text) + "\n"


def _metric(name: str, one: Metric) -> tuple[str, ...]:
    what = f"**{plain(one.title)}**: {plain(one.description)}"
    return code(name), what, one.frames, _range(one.low, one.high), GOOD[one.best], plain(one.source)


def _range(low: float, high: float) -> str:
    ends = [f"{end:g}".replace("-", "−") for end in (low, high)]
    if low == -inf:
        return "any" if high == inf else f"up to {ends[1]}"
    return f"{ends[0]} and above" if high == inf else f"{ends[0]} to {ends[1]}"


def methods_page() -> str:
    """All methods; the docstring of a file stands before the first method that the file declares."""
    known = declarations().methods
    rows = [
        (
            f"[`{name}`](#{name})",
            plain(one.title),
            one.role,
            one.encoder_variant or "",
            "yes" if one.needs_labels else "",
        )
        for name, one in known.items()
    ]
    text = [
        "# Methods",
        "Each of these names is a value of `--method`, `--baseline` or `--references`. "
        "[Methods](../methods.md) explains what they pull together and push apart.",
        table(("name", "title", "role", "variant", "needs labels"), rows),
    ]
    files: set[str] = set()
    for name, one in known.items():
        text += [f"## {name}", f"**{plain(one.title)}**: it {plain(one.description)}."]
        if one.__module__ not in files:
            files.add(one.__module__)
            text.append(docstring(_of_file(one.__module__)))
        text.append(docstring(_of_class(one)))
        if one.own_encoder is not None:
            text.append("It brings its own encoder.")
        text.append(_own(hyperparameters(one.Settings)))
    return "\n\n".join(part for part in text if part.strip()) + "\n"


def encoders_page() -> str:
    """All encoders that --encoder names."""
    text = [
        "# Encoders",
        "Each of these names is a value of `--encoder`. An encoder turns sequences of spectra, (B, T, F), "
        "into embeddings, (B, T, D): B sequences of T frames with F features.",
    ]
    for name, one in declarations().encoders.items():
        text += [f"## {name}", docstring(_of_class(one))]
        text.append(_own(hyperparameters(one.Settings)))
    return "\n\n".join(text) + "\n"


def _own(settings: dict[str, Setting]) -> str:
    given = ", ".join(f"`{column}` {_shown(one)}" for column, one in settings.items())
    return f"Its hyper-parameters, with their defaults: {given}." if given else ""


def columns_page() -> str:
    """All columns of results.parquet, from the metadata that every file carries."""
    text = [
        "# Columns of results.parquet",
        "There is one row for each replicate of each trial. What is unknown or does not apply is null. The "
        "metadata of a file describe its columns in the same words, so that it explains itself.",
    ]
    for kind, title in KINDS.items():
        fields = [one for one in schema() if _about(one)["kind"] == kind]
        rows = [(code(one.name), str(one.type), _described(one)) for one in fields]
        text += [f"## {title}", table(("column", "type", "what it holds"), rows)]
    return "\n\n".join(text) + "\n"


def _described(field: pa.Field) -> str:
    about = _about(field)
    title = f"**{plain(about['title'])}**: " if about["kind"] in ("metric", "hyperparameter") else ""
    return title + plain(about["description"])


def _about(field: pa.Field) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in field.metadata.items()}


def _shown(one: Setting) -> str:
    return "none" if one.default is None else code(one.text(one.default))


def _of_file(module: str) -> str | None:
    """The docstring of a module, which is read and not imported."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    return ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))


def _of_class(one: type) -> str:
    """The docstring of a class itself, and not of a class from which it inherits."""
    return inspect.cleandoc(vars(one).get("__doc__") or "")


PAGES: dict[str, Callable[[], str]] = {
    "reference/hyperparameters.md": hyperparameters_page,
    "reference/metrics.md": metrics_page,
    "reference/methods.md": methods_page,
    "reference/encoders.md": encoders_page,
    "reference/commands.md": commands.commands_page,
    "reference/analyses.md": commands.analyses_page,
    "reference/columns.md": columns_page,
    "reference/python.md": interface.page,
}
