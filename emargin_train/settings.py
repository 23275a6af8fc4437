"""How a setting is declared: once, as a field of its settings class.

Everything else follows from this declaration: validation, command-line flags and their help, the search
space, the columns of results.parquet with their metadata, and the hyper-parameters that `analysis` knows. For
example:

    @dataclass(frozen=True, kw_only=True)
    class InfoNCESettings(Settings):
        temperature: float = hyperparameter(
            0.1, "The temperature divides every cosine.", low=0, above=True, search=(0.05, 1), log=True)
"""

import dataclasses
import inspect
import math
import numbers
import os
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Self

from emargin_train.errors import UserError, nearest

ROLES = ("scientific", "nuisance", "fixed")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The declaration of one field of a settings class.

    column: its name in flat dictionaries and in results.parquet; with dashes, it is its flag
    kind: float, int, str or bool; optional: whether None is allowed too
    many: whether the value is a tuple of this kind; may_be_empty: whether the tuple may be empty
    words: texts that are allowed in place of a number, such as "auto"
    low, high: the domain of numbers, both ends included (with `above`, low is excluded)
    choices: all allowed values
    why: the reason for the domain; an error message ends with it, as in "margin is -1, but ..."
    search: the range that a study searches by default; None = it is fixed unless the user gives a range
    log: whether a range is searched on a logarithmic scale
    role: scientific = a study asks about it, nuisance = it is searched so that comparisons are fair,
        fixed = it varies only when the user says so (terms of google-research/tuning_playbook)
    controls: values that make a training a control, which never counts as a best trial
    instead_of: a column whose value follows from this one, so that only one of the two may be given
    formerly: its name in version 1
    is_hyperparameter: whether a study may vary it
    """

    name: str = ""
    column: str = ""
    kind: type = str
    many: bool = False
    may_be_empty: bool = False
    optional: bool = False
    default: Any = None
    help: str = ""
    title: str = ""
    metavar: str | None = None
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    choices: tuple[Any, ...] = ()
    words: tuple[str, ...] = ()
    why: str = ""
    search: tuple[float, float] | None = None
    log: bool = False
    role: str = "fixed"
    controls: tuple[Any, ...] = ()
    instead_of: str | None = None
    formerly: str | None = None
    is_hyperparameter: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.column.replace("_", "-")

    @property
    def scale(self) -> str:
        """The scale of an axis that shows this setting: linear, log or category."""
        if self.kind in (str, bool):
            return "category"
        return "log" if self.log else "linear"

    @property
    def domain(self) -> str:
        """The allowed values, in words."""
        if self.choices:
            return " or ".join(map(str, self.choices)) if len(self.choices) < 3 else "one of " + self.named
        start = "" if self.low == -math.inf else f"{'above' if self.above else 'from'} {_shown(self.low)}"
        end = "" if self.high == math.inf else f"to {_shown(self.high)}"
        return " ".join(part for part in (start, end) if part)

    @property
    def named(self) -> str:
        return ", ".join(map(str, self.choices))

    def text(self, value: Any) -> str:
        """The text that `read` reads as this value."""
        if self.many:
            return ",".join(map(str, value))
        return str(value).lower() if self.kind is bool else str(value)

    def read(self, text: str) -> Any:
        """The value of a flag's text; for `many`, the text is a list a,b,c or whole numbers A:B.

        Raises UserError.
        """
        if not self.many:
            return self.checked(self._parsed(text))
        ends = text.split(":")
        if self.kind is int and len(ends) == 2:
            low, high = (self._parsed(end) for end in ends)
            if high < low:
                raise UserError(f"{self.column} is {text}, but {low} is above {high}: give {high}:{low}")
            return self.checked(tuple(range(low, high + 1)))
        return self.checked(tuple(self._parsed(part.strip()) for part in text.split(",") if part.strip()))

    def _parsed(self, text: str) -> Any:
        if self.kind is str or text in self.words:
            return text
        if self.kind is bool:
            return {"true": True, "false": False}.get(text.lower(), text)
        try:
            return self.kind(text)
        except ValueError:
            raise UserError(f"{self.column} is '{text}'{self._reason()}: give {self._a_value()}") from None

    def checked(self, value: Any) -> Any:
        """The value, converted to `kind`. Raises UserError where it is outside the domain."""
        if value is None:
            if self.optional:
                return None
            raise UserError(f"{self.column} is missing{self._reason()}: give {self._remedy()}")
        if self.many:
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise UserError(f"{self.column} is {value!r}{self._reason()}: give distinct values as a,b,c")
            values = tuple(self._one(part) for part in value)
            if len(set(values)) != len(values) or (not values and not self.may_be_empty):
                shown = ",".join(map(str, values))
                raise UserError(f"{self.column} is '{shown}'{self._reason()}: give distinct values as a,b,c")
            return values
        return self._one(value)

    def _one(self, value: Any) -> Any:
        if value in self.words:
            return value
        value = self._number(value) if self.kind in (int, float) else self._plain(value)
        if self.choices and value not in self.choices:
            if self.kind is str:
                raise UserError(f"{self.column} is '{value}': {nearest(value, self.choices)}")
            raise UserError(f"{self.column} is {_shown(value)}{self._reason()}: give {self.domain}")
        if self.kind in (int, float):
            inside = self.low <= value <= self.high and not (self.above and value == self.low)
            if not inside or abs(value) == math.inf:
                raise UserError(f"{self.column} is {_shown(value)}{self._reason()}: give {self._remedy()}")
        return value

    def _number(self, value: Any) -> float:
        """An int or a float, of any type that holds numbers."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise UserError(f"{self.column} is {value!r}{self._reason()}: give {self._a_value()}")
        try:
            number = self.kind(value)
        except (OverflowError, ValueError):  # an infinite or missing count, or a number too large for a float
            number = None
        if number is None or (self.kind is int and number != value):
            raise UserError(f"{self.column} is {value}{self._reason()}: give {self._a_value()}")
        return number

    def _plain(self, value: Any) -> Any:
        """A text or True or False; a path becomes its text."""
        if self.kind is str and isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not isinstance(value, self.kind):
            raise UserError(f"{self.column} is {value!r}{self._reason()}: give {self._a_value()}")
        return value

    def _reason(self) -> str:
        return f", but {self.why}" if self.why else ""

    def _a_value(self) -> str:
        if self.choices:
            return self.domain
        kind = {int: "a whole number", float: "a number", bool: "true or false"}.get(self.kind, "a text")
        return " or ".join((kind, *self.words))

    def _remedy(self) -> str:
        return f"a value {self.domain}" if self.domain and not self.choices else self.domain or "a value"


def _shown(value: float) -> str:
    """A number as text: all digits of a whole number, twelve digits of any other."""
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def setting(default: Any, help: str, **about: Any) -> Any:
    """A field that a study does not vary, with its help line and its domain; see `Setting`."""
    return field(default=default, metadata={"setting": {"help": help, **about}})


def hyperparameter(default: Any, help: str, **about: Any) -> Any:
    """A field that a study may vary; see `Setting`."""
    return setting(default, help, is_hyperparameter=True, **about)


def redefined(base: type, name: str, default: Any, **changes: Any) -> Any:
    """A field of `base`, declared again for a subclass in which its default or its domain differs."""
    one = next(one for one in dataclasses.fields(base) if one.name == name)
    return field(default=default, metadata={"setting": one.metadata["setting"] | changes})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings classes. Its fields are checked when a value is made.

    A class given as `class VICRegSettings(Settings, prefix="vicreg")` owns the fields that it declares:
    their columns are `vicreg.<field>`. Fields without a prefix are shared by the methods that declare them.
    """

    prefix: ClassVar[str] = ""

    def __init_subclass__(cls, prefix: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.prefix = prefix

    def __post_init__(self) -> None:
        """Raises UserError."""
        for one in declared(type(self)).values():
            object.__setattr__(self, one.name, one.checked(getattr(self, one.name)))
        for one in declared(type(self)).values():
            if one.instead_of is not None:
                replaced = declared(type(self))[one.instead_of]
                value, other = getattr(self, one.name), getattr(self, replaced.name)
                if value is not None and other is not None:
                    raise UserError(
                        f"{one.instead_of} is {other} and {one.column} {value}, "
                        "but one determines the other: give one"
                    )

    def flat(self) -> dict[str, Any]:
        """Values by column."""
        return {one.column: getattr(self, one.name) for one in declared(type(self)).values()}

    @classmethod
    def from_flat(cls, flat: Mapping[str, Any]) -> Self:
        """Inverse of `flat`; missing columns take their defaults, others are ignored. Raises UserError."""
        table = declared(cls)
        given = {one.name: flat[column] for column, one in table.items() if column in flat}
        for one in table.values():
            if one.instead_of is not None and given.get(one.name) is not None:
                given.setdefault(table[one.instead_of].name, None)
        return cls(**given)


def declared(settings: type) -> dict[str, Setting]:
    """The settings that a class declares or inherits, by column, in order."""
    return dict(_declared(settings))


@cache
def _declared(settings: type) -> dict[str, Setting]:
    hints = typing.get_type_hints(settings)
    found: dict[str, Setting] = {}
    for one in dataclasses.fields(settings):
        if "setting" not in one.metadata:
            continue
        owner = next(c for c in settings.__mro__ if one.name in inspect.get_annotations(c))
        prefix = getattr(owner, "prefix", "")
        column = f"{prefix}.{one.name}" if prefix else one.name
        hint = hints[one.name]
        kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        tuples = [kind for kind in kinds if typing.get_origin(kind) is tuple]
        about = dict(one.metadata["setting"])
        about.setdefault("title", _title(one.name))
        found[column] = Setting(
            name=one.name,
            column=column,
            kind=typing.get_args(tuples[0])[0] if tuples else kinds[0],
            many=bool(tuples),
            optional=type(None) in kinds,
            default=one.default,
            **about,
        )
    columns = {made.name: column for column, made in found.items()}
    for column, made in found.items():
        if made.instead_of is not None:
            found[column] = dataclasses.replace(made, instead_of=columns[made.instead_of])
    return found


def hyperparameters(settings: type) -> dict[str, Setting]:
    """The settings that a study may vary, among those of `declared`."""
    return {column: one for column, one in declared(settings).items() if one.is_hyperparameter}


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()
