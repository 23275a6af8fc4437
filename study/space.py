"""The search space: which values each hyper-parameter may take, and how its text is read.

A:B      a range, searched
a,b,c    a choice of values
a        one value, fixed
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emargin_train.errors import UserError
from emargin_train.settings import Setting

Value = float | int | str | bool


@dataclass(frozen=True)
class Range:
    """Every number from low to high, on a logarithmic scale if `log`; whole numbers if `whole`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}"

    @property
    def middle(self) -> Value:
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return round(middle) if self.whole else middle


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Value, ...]

    def __str__(self) -> str:
        return ",".join(
            str(value).lower() if isinstance(value, bool) else str(value) for value in self.values
        )


Domain = Range | Choice | Value


def parse(one: Setting, text: str) -> Domain:
    """Read a hyper-parameter's text. Raises UserError for a reversed range or a value outside its domain."""
    if ":" in text:
        ends = text.split(":")
        is_number = one.kind in (int, float) and not one.choices
        if not is_number or len(ends) != 2:
            remedy = "give A:B" if is_number else "give one value, or a list a,b,c"
            raise UserError(f"{one.flag} is '{text}', but that is not a range: {remedy}")
        low, high = (_read(one, end) for end in ends)
        if low > high:
            raise UserError(f"{one.flag} is {text}, but {low:g} is above {high:g}: give {high:g}:{low:g}")
        if low == high:
            return low
        return Range(low, high, log=one.log and low > 0, whole=one.kind is int)
    values = tuple(_read(one, part.strip()) for part in text.split(","))
    return values[0] if len(values) == 1 else Choice(values)


def _read(one: Setting, text: str) -> Any:
    if not text:
        raise UserError(f"{one.flag} has an empty value: give one value, a list a,b,c, or a range A:B")
    return one.read(text)


def default_text(one: Setting, *, searching: bool) -> str | None:
    """The text of a hyper-parameter that the user does not give; None = the default of its method.

    A search uses the default search range if there is one; a grid or an ablation varies only what is given.
    """
    if one.search is None or not searching:
        return None
    return f"{one.search[0]:g}:{one.search[1]:g}"


def points(domain: Domain) -> tuple[Value, ...]:
    """The values of a choice; a fixed value; or the ends and the middle of a range."""
    match domain:
        case Choice(values):
            return values
        case Range(low, high):
            return (low, domain.middle, high)
        case fixed:
            return (fixed,)


def contains(domain: Domain, value: object) -> bool:
    """Whether a value lies in the domain, up to the rounding of a stored number."""
    match domain:
        case Choice(values):
            return value in values
        case Range(low, high):
            if not isinstance(value, int | float) or isinstance(value, bool) or domain.whole and value % 1:
                return False
            slack = 1e-9 * max(abs(low), abs(high))
            return low - slack <= value <= high + slack
        case float(fixed):
            return isinstance(value, int | float) and math.isclose(value, fixed, rel_tol=1e-9)
        case fixed:
            return value == fixed


def within(space: Mapping[str, Domain], values: Mapping[str, object]) -> bool:
    """Whether each value belongs to a hyper-parameter of the space and lies in its domain."""
    return all(name in space and contains(space[name], value) for name, value in values.items())


def distributions(space: dict[str, Domain]) -> dict[str, Any]:
    """Optuna's distribution of each hyper-parameter that is searched (optuna.distributions)."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    kinds: dict[str, Any] = {}
    for name, domain in space.items():
        match domain:
            case Range(low, high, log, True):
                kinds[name] = IntDistribution(int(low), int(high), log=log)
            case Range(low, high, log):
                kinds[name] = FloatDistribution(low, high, log=log)
            case Choice(values):
                kinds[name] = CategoricalDistribution(values)
    return kinds


def suggest(trial: Any, space: dict[str, Domain]) -> dict[str, Value]:
    """One setting: fixed values, and the others suggested by an Optuna trial (optuna.trial.Trial)."""
    setting: dict[str, Value] = {}
    for name, domain in space.items():
        match domain:
            case Range(low, high, log, True):
                setting[name] = trial.suggest_int(name, int(low), int(high), log=log)
            case Range(low, high, log):
                setting[name] = trial.suggest_float(name, low, high, log=log)
            case Choice(values):
                setting[name] = trial.suggest_categorical(name, values)
            case fixed:
                setting[name] = fixed
    return setting
