"""Which trials a study consists of: its arms, and for each trial the settings of one training."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from emargin_train.config import KNOBS, REFERENCE_NAMES, TrainConfig
from emargin_train.data.catalogue import Dataset, find
from emargin_train.errors import UserError
from emargin_train.flags import NAMES
from study.settings import StudySettings
from study.space import ADJACENT_MARGIN, SPACE, Choice, Dimension, Range, Value, flag, parse, points

# Knobs of data and encoder: they apply to every objective, and to these references.
COMMON = ("head", "kernel_size", "framing", "snr_db")
REFERENCE_KNOBS = {
    "raw": ("snr_db",),
    "log-raw": ("snr_db",),
    "pca": ("framing", "snr_db"),
    "random": COMMON,
    "supervised": COMMON,
}


@dataclass(frozen=True)
class Arm:
    """Trials that share an objective and a space.

    role: searched (good settings are looked for), baseline (likewise, for comparison) or reference
    searches: Optuna chooses the settings; else the trials are the grid of the dimensions' values
    seeds: of each trial; a reference without randomness has one
    """

    objective: str
    role: str
    dimensions: dict[str, Dimension]
    n_trials: int
    seeds: tuple[int, ...]
    searches: bool

    def grid(self) -> list[dict[str, Value]]:
        """Every combination of the dimensions' values, the last dimension fastest."""
        values = [points(dimension) for dimension in self.dimensions.values()]
        return [dict(zip(self.dimensions, point, strict=True)) for point in itertools.product(*values)]

    def check(self, settings: StudySettings) -> None:
        """Build the training at every end of the space, so that a bad value is told before anything runs."""
        for pick in (min, max):
            corner = {name: _end(dimension, pick) for name, dimension in self.dimensions.items()}
            spec(settings, self, 0, corner).config(self.seeds[0])
            for name, dimension in self.dimensions.items():
                for value in dimension.values if isinstance(dimension, Choice) else ():
                    spec(settings, self, 0, corner | {name: value}).config(self.seeds[0])

    def trial_name(self, number: int) -> str:
        alone = self.role == "reference" and self.n_trials == 1
        return self.objective if alone else f"{self.objective}-{number:04d}"


@dataclass(frozen=True)
class TrialSpec:
    """One trial, ready to run anywhere: plain values only.

    settings: of `TrainConfig.from_dict`, without the seed
    """

    trial: str
    role: str
    objective: str
    settings: dict[str, object]
    seeds: tuple[int, ...]

    def config(self, seed: int) -> TrainConfig:
        """The training of one seed. A reference's objective is only a name, so the default stays."""
        named = self.objective not in REFERENCE_NAMES
        settings = {k: v for k, v in self.settings.items() if named or k != "objective"}
        return TrainConfig.from_dict(settings | {"seed": seed})


def arms(settings: StudySettings) -> tuple[Arm, ...]:
    """References first, then the searched objectives, then InfoNCE over its own knob.

    Raises UserError for a knob that no objective of the study has, or a range in a grid.
    """
    used = {name for objective in settings.objectives for name in KNOBS[objective]} | set(COMMON)
    for name in settings.dimensions:
        if name not in used:
            objectives = ", ".join(settings.objectives)
            raise UserError(f"--{flag(name)} is given, but {objectives} has no such knob: leave it out")
    if {"threshold", "dissimilar_share"} <= settings.dimensions.keys():
        raise UserError(
            "--threshold and --dissimilar-share are both given, but one determines the other: give one"
        )
    with_baseline = "infonce" not in settings.objectives and settings.n_baseline_trials > 0
    return (
        *(_reference(name, settings) for name in settings.references),
        *(_searched(name, "searched", settings.trials, settings) for name in settings.objectives),
        *([_searched("infonce", "baseline", settings.n_baseline_trials, settings)] if with_baseline else []),
    )


def _searched(objective: str, role: str, n_trials: int, settings: StudySettings) -> Arm:
    dimensions = _dimensions(objective, role, settings)
    searches = settings.design == "search" and any(isinstance(d, Range | Choice) for d in dimensions.values())
    arm = Arm(objective, role, dimensions, n_trials, settings.seeds, searches)
    return arm if searches else replace(arm, n_trials=len(arm.grid()))  # more would repeat settings


def _reference(name: str, settings: StudySettings) -> Arm:
    given = {k: parse(k, text) for k, text in settings.dimensions.items() if k in REFERENCE_KNOBS[name]}
    seeds = settings.seeds if name in ("random", "supervised") else settings.seeds[:1]
    arm = Arm(name, "reference", given, 1, seeds, searches=False)
    return replace(arm, n_trials=len(arm.grid()))


def _dimensions(objective: str, role: str, settings: StudySettings) -> dict[str, Dimension]:
    """An objective's knobs as named by flags, then those that a search varies by default.

    The baseline of a search has its own default temperatures: it competes at its best, not at eMargin's.
    """
    searching = settings.design == "search"
    texts = {k: v for k, v in settings.dimensions.items() if k in (*KNOBS[objective], *COMMON)}
    if role == "baseline" and searching:
        texts = {k: v for k, v in texts.items() if k in COMMON}
    for name in KNOBS[objective]:
        text = ADJACENT_MARGIN if (name, objective) == ("margin", "emargin-adjacent") else SPACE[name].default
        if text is not None and (searching or SPACE[name].role == "fixed"):
            texts.setdefault(name, text)
    if "dissimilar_share" in settings.dimensions and "dissimilar_share" in KNOBS[objective]:
        texts.pop("threshold", None)
    dimensions = {name: parse(name, text) for name, text in texts.items()}
    for name, dimension in dimensions.items():
        if isinstance(dimension, Range) and not searching:
            raise UserError(f"--{flag(name)} is {dimension}, but a grid has points: give a list a,b,c")
    return dimensions


def _end(dimension: Dimension, pick: Callable[..., Value]) -> Value:
    """The lower or upper end of a range; the first of a choice."""
    match dimension:
        case Range(low, high, _):
            return pick(low, high)
        case Choice(values):
            return values[0]
        case fixed:
            return fixed


def order(plan: tuple[Arm, ...]) -> list[tuple[Arm, int]]:
    """All trials in the order they are asked for: references, then the arms in step with each other."""
    turns = [
        (arm.role != "reference", (number + 0.5) / arm.n_trials, index, arm, number)
        for index, arm in enumerate(plan)
        for number in range(arm.n_trials)
    ]
    return [(arm, number) for *_, arm, number in sorted(turns, key=lambda turn: turn[:3])]


def spec(settings: StudySettings, arm: Arm, number: int, values: Mapping[str, object]) -> TrialSpec:
    """The trial of an arm at the chosen values of its knobs."""
    dataset: Dataset = find(settings.dataset)
    shared: dict[str, object] = {name: getattr(settings, name) for name in (*NAMES, "batch_size")}
    shared |= {"iterations": settings.iterations or dataset.iterations, "objective": arm.objective}
    return TrialSpec(arm.trial_name(number), arm.role, arm.objective, shared | dict(values), arm.seeds)


def first_config(settings: StudySettings, plan: tuple[Arm, ...]) -> TrainConfig:
    """A training of the plan, at the low end of its space: its data and length are the study's."""
    arm, number = order(plan)[-1]
    values = {name: _end(dimension, min) for name, dimension in arm.dimensions.items()}
    return spec(settings, arm, number, values).config(arm.seeds[0])
