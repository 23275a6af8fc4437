"""The search space: what each knob may be, and how a flag's text is read.

A:B      a range, searched
a,b,c    a choice of values
a        one value, fixed
"""

import math
from dataclasses import dataclass
from typing import Any

from emargin_train.errors import UserError

Value = float | int | str


@dataclass(frozen=True)
class Range:
    """Every number from low to high; on a logarithmic scale if `log`."""

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}"


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Value, ...]

    def __str__(self) -> str:
        return ",".join(str(value) for value in self.values)


Dimension = Range | Choice | Value


@dataclass(frozen=True)
class Param:
    """A knob that a study may vary: its domain, its default dimension and its role.

    role: scientific = what the study asks about, nuisance = searched so that comparisons are fair,
        fixed = varied only when told to (terms of google-research/tuning_playbook)
    """

    name: str
    kind: type
    low: float = -math.inf
    high: float = math.inf
    above: bool = False  # low itself is outside
    log: bool = False
    default: str | None = None
    role: str = "fixed"
    why: str = ""


SPACE = {
    param.name: param
    for param in (
        Param("threshold", float, -1, 1, default="0.2:0.99", role="scientific", why="it is a cosine"),
        Param("dissimilar_share", float, 0, 1, role="scientific", why="it is a share of steps"),
        Param("margin", float, 0, log=True, default="0.5:10", role="scientific", why="it is a distance"),
        Param(
            "temperature",
            float,
            0,
            above=True,
            log=True,
            default="0.05:1",
            role="scientific",
            why="it divides cosines",
        ),
        Param(
            "supervised_weight",
            float,
            0,
            log=True,
            default="0.1:10",
            role="scientific",
            why="it weighs a loss",
        ),
        Param("label_share", float, 0, 1, default="0.1", why="it is a share of sequences"),
        Param("gamma", float, 0, log=True, why="it scales the kernel"),
        Param("gate", str),
        Param("neighbours", int, 1, 2, why="a frame has one next or two adjacent frames"),
        Param("similar_sign", int, -1, 1, why="it is a sign"),
        Param("supervised_term", str),
        Param("head", str),
        Param("kernel_size", int, 1, why="it counts frames"),
        Param("framing", str),
        Param("snr_db", float, -100, 100, why="it is a ratio in decibels"),
    )
}

ADJACENT_MARGIN = "0:1"  # emargin-adjacent adds its margin to a cosine


def _number(param: Param, text: str) -> Value:
    try:
        value = param.kind(text)
    except ValueError:
        kind = "a whole number" if param.kind is int else "a number"
        raise UserError(f"--{flag(param.name)} has '{text}', but {param.why}: give {kind}") from None
    if param.kind is str:
        return value
    outside = not math.isfinite(value) or value < param.low or value > param.high
    if outside or (param.above and value == param.low):
        start = f"above {param.low:g}" if param.above else f"from {param.low:g}"
        end = "" if param.high == math.inf else f" to {param.high:g}"
        raise UserError(f"--{flag(param.name)} has {text}, but {param.why}: give values {start}{end}")
    return value


def flag(name: str) -> str:
    return name.replace("_", "-")


def parse(name: str, text: str) -> Dimension:
    """Read a flag's text. Raises UserError for a reversed range or a value outside its domain."""
    param = SPACE[name]
    if ":" in text:
        ends = text.split(":")
        if param.kind is not float or len(ends) != 2:
            remedy = "give A:B" if param.kind is float else "give one value, or a list a,b,c"
            raise UserError(f"--{flag(name)} is '{text}', which is not a range of it: {remedy}")
        low, high = (float(_number(param, end)) for end in ends)
        if low > high:
            raise UserError(f"--{flag(name)} is {text}, but {low:g} is above {high:g}: give {high:g}:{low:g}")
        return low if low == high else Range(low, high, log=param.log and low > 0)
    values = tuple(_number(param, part.strip()) for part in text.split(","))
    return values[0] if len(values) == 1 else Choice(values)


def points(dimension: Dimension) -> tuple[Value, ...]:
    """The values of a choice, or the one fixed value."""
    match dimension:
        case Choice(values):
            return values
        case Range():
            raise ValueError(f"{dimension} is a range: it has no points")
        case fixed:
            return (fixed,)


def distributions(dimensions: dict[str, Dimension]) -> dict[str, Any]:
    """Optuna's name of each dimension that is searched (optuna.distributions)."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    kinds: dict[str, Any] = {}
    for name, dimension in dimensions.items():
        match dimension:
            case Range(low, high, log):
                kinds[name] = FloatDistribution(low, high, log=log)
            case Choice(values):
                kinds[name] = CategoricalDistribution(values)
    return kinds


def suggest(trial: Any, dimensions: dict[str, Dimension]) -> dict[str, Value]:
    """One setting: fixed values as they are, the others asked of an Optuna trial (optuna.trial.Trial)."""
    setting: dict[str, Value] = {}
    for name, dimension in dimensions.items():
        match dimension:
            case Range(low, high, log):
                setting[name] = trial.suggest_float(name, low, high, log=log)
            case Choice(values):
                setting[name] = trial.suggest_categorical(name, values)
            case fixed:
                setting[name] = fixed
    return setting
