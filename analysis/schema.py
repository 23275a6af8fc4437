"""What results.parquet says about its columns: their kinds, metrics, hyper-parameters and methods."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

VERSION = "2"
KINDS = ("identity", "hyperparameter", "setting", "outcome", "metric", "cost")
EVERY_METHOD = "*"  # the only entry of a hyper-parameter's methods, if all trained methods read it


@dataclass(frozen=True)
class Metric:
    """One metric column.

    low, high: range, infinite where it has no end
    best: "max", "min" or None (a description, not a goal)
    """

    name: str
    title: str
    low: float
    high: float
    best: str | None
    source: str = ""

    @property
    def differences(self) -> tuple[float, float]:
        """Range of a difference between two values."""
        return self.low - self.high, self.high - self.low


@dataclass(frozen=True)
class Hyperparameter:
    """One hyper-parameter column.

    scale: "linear", "log" or "category"
    low, high: domain of a number, infinite where it has no end
    role: "scientific" (the study asks about it), "nuisance" (searched so that comparisons are fair), "fixed"
    methods: names of the methods that read it; ("*",) for every trained method
    controls: values that make a trial a control, which is never counted as a best one
    """

    name: str
    title: str
    description: str = ""
    scale: str = "linear"
    low: float = float("-inf")
    high: float = float("inf")
    default: Any = None
    role: str = "fixed"
    methods: tuple[str, ...] = (EVERY_METHOD,)
    controls: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Method:
    """One method.

    role: "method", "reference" (not trained, or trained without the method's idea) or "upper bound"
    hyperparameters: names of the columns that it reads
    """

    name: str
    title: str
    role: str = "method"
    hyperparameters: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class Schema:
    """Everything that a file says about its columns.

    kinds: the kind of each column, None where the file does not give one of KINDS
    titles: the name of each column in words
    methods: in display order; all methods that the writing program knows, used in the study or not
    goals: names of the metrics that the study optimised, empty where the file does not say
    """

    kinds: dict[str, str | None] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    hyperparameters: dict[str, Hyperparameter] = field(default_factory=dict)
    methods: dict[str, Method] = field(default_factory=dict)
    goals: tuple[str, ...] = ()

    @property
    def unknown(self) -> tuple[str, ...]:
        """The columns whose kind the file does not give."""
        return tuple(name for name, kind in self.kinds.items() if kind is None)

    def with_methods(self, named: Mapping[str, str]) -> "Schema":
        """This schema with every method of `named` (roles by name); missing ones are added at the end."""
        more = {name: Method(name, name, role) for name, role in named.items() if name not in self.methods}
        return Schema(
            self.kinds, self.titles, self.metrics, self.hyperparameters, self.methods | more, self.goals
        )


def read(schema: pa.Schema) -> Schema:
    """The description in a version 2 Arrow schema. Raises ValueError where its JSON cannot be read."""
    about = {column.name: _texts(column.metadata) for column in schema}
    whole = _texts(schema.metadata)
    kinds = {name: texts.get("kind") for name, texts in about.items()}
    return Schema(
        kinds={name: kind if kind in KINDS else None for name, kind in kinds.items()},
        titles={name: texts.get("title") or words(name) for name, texts in about.items()},
        metrics={n: _metric(n, texts) for n, texts in about.items() if kinds[n] == "metric"},
        hyperparameters={
            n: _hyperparameter(n, texts) for n, texts in about.items() if kinds[n] == "hyperparameter"
        },
        methods={name: _method(name, it) for name, it in json.loads(whole.get("methods", "{}")).items()},
        goals=tuple(json.loads(whole.get("goals", "[]"))),
    )


def merged(schemas: Iterable[Schema]) -> Schema:
    """The union of schemas. The first description of a name counts; goals are those that all share."""
    parts = list(schemas)

    def union(name: str) -> dict[str, Any]:
        return {
            key: next(getattr(part, name)[key] for part in parts if key in getattr(part, name))
            for key in dict.fromkeys(key for part in parts for key in getattr(part, name))
        }

    goals = parts[0].goals if all(part.goals == parts[0].goals for part in parts) else ()
    names = ("kinds", "titles", "metrics", "hyperparameters", "methods")
    return Schema(**{name: union(name) for name in names}, goals=goals)


def words(name: str) -> str:
    """A column's name as words, for columns without a title."""
    return name.replace("_", " ")


def in_words(value: Any) -> Any:
    """True and False as the flags read them, "true" and "false"; any other value as it is."""
    return str(value).lower() if isinstance(value, bool) else value


def _metric(name: str, texts: Mapping[str, str]) -> Metric:
    best = texts.get("best")
    return Metric(
        name=name,
        title=texts.get("title") or words(name),
        low=_bound(texts.get("low"), "-inf"),
        high=_bound(texts.get("high"), "inf"),
        best=best if best in ("max", "min") else None,
        source=texts.get("source", ""),
    )


def _hyperparameter(name: str, texts: Mapping[str, str]) -> Hyperparameter:
    return Hyperparameter(
        name=name,
        title=texts.get("title") or words(name),
        description=texts.get("description", ""),
        scale=texts.get("scale", "linear"),
        low=_bound(texts.get("low"), "-inf"),
        high=_bound(texts.get("high"), "inf"),
        default=in_words(json.loads(texts.get("default", "null"))),
        role=texts.get("role", "fixed"),
        methods=tuple(json.loads(texts.get("methods", f'["{EVERY_METHOD}"]'))),
        controls=tuple(map(in_words, json.loads(texts.get("controls", "[]")))),
    )


def _method(name: str, about: Mapping[str, Any]) -> Method:
    return Method(
        name=name,
        title=about.get("title") or name,
        role=about.get("role", "method"),
        hyperparameters=tuple(about.get("hyperparameters", ())),
        description=about.get("description", ""),
    )


def _bound(text: str | None, default: str) -> float:
    return float(default if text in (None, "", "None") else text)


def _texts(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (metadata or {}).items()}
