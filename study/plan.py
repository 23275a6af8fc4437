"""Which trials a study consists of: its arms, and for each trial the settings of one training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from emargin_train.config import KNOBS, REFERENCE_NAMES, TrainConfig
from emargin_train.data.catalogue import Dataset, find
from emargin_train.errors import UserError
from study.settings import StudySettings
from study.space import ADJACENT_MARGIN, SPACE, Choice, Dimension, Range, Value, flag, parse

# Knobs of data and encoder: they apply to every objective.
COMMON = ("head", "kernel_size", "framing", "snr_db")


@dataclass(frozen=True)
class Arm:
    """Trials that share an objective and a space.

    role: searched (an Optuna study looks for good settings), baseline (searched likewise, for comparison)
        or reference (one setting, nothing to search)
    seeds: of each trial; a reference without randomness has one
    """

    objective: str
    role: str
    dimensions: dict[str, Dimension]
    n_trials: int
    seeds: tuple[int, ...]

    @property
    def searches(self) -> bool:
        return any(isinstance(d, Range | Choice) for d in self.dimensions.values())

    def check(self, settings: StudySettings) -> None:
        """Build the training at every end of the space, so that a bad value is told before anything runs."""
        for pick in (min, max):
            values = {name: _end(dimension, pick) for name, dimension in self.dimensions.items()}
            spec(settings, self, 0, values).config(self.seeds[0])
        for name, dimension in self.dimensions.items():
            for value in dimension.values if isinstance(dimension, Choice) else ():
                middle = {k: _end(d, min) for k, d in self.dimensions.items()}
                spec(settings, self, 0, middle | {name: value}).config(self.seeds[0])

    def trial_name(self, number: int) -> str:
        return self.objective if self.role == "reference" else f"{self.objective}-{number:04d}"


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
        settings = {
            k: v
            for k, v in self.settings.items()
            if self.objective not in REFERENCE_NAMES or k != "objective"
        }
        return TrainConfig.from_dict(settings | {"seed": seed})


def arms(settings: StudySettings) -> tuple[Arm, ...]:
    """References first, then the searched objectives, then InfoNCE over its own knob.

    Raises UserError for an unknown objective or a knob that no objective of the study has.
    """
    used = {name for objective in settings.objectives for name in KNOBS.get(objective, ())} | set(COMMON)
    for name in settings.dimensions:
        if name not in used:
            raise UserError(
                f"--{flag(name)} is given, but {', '.join(settings.objectives)} has no such knob: "
                "leave it out"
            )
    common = {name: parse(name, text) for name, text in settings.dimensions.items() if name in COMMON}
    references = [
        Arm(name, "reference", {k: _first(v) for k, v in common.items()}, 1, _reference_seeds(name, settings))
        for name in settings.references
    ]
    searched = [
        Arm(name, "searched", _dimensions(name, settings) | common, settings.trials, settings.seeds)
        for name in settings.objectives
    ]
    baseline = []
    if "infonce" not in settings.objectives and settings.n_baseline_trials:
        space = {"temperature": parse("temperature", str(SPACE["temperature"].default))} | common
        baseline = [Arm("infonce", "baseline", space, settings.n_baseline_trials, settings.seeds)]
    return tuple(_fixed_once(arm) for arm in (*references, *searched, *baseline))


def _dimensions(objective: str, settings: StudySettings) -> dict[str, Dimension]:
    """The knobs of an objective: as named by flags, else their default range."""
    texts = dict(settings.dimensions)
    if "threshold" in texts and "dissimilar_share" in texts:
        raise UserError(
            "--threshold and --dissimilar-share are both given, but one determines the other: give one"
        )
    dimensions: dict[str, Dimension] = {}
    for name in KNOBS[objective]:
        text = texts.get(name, SPACE[name].default)
        if name == "margin" and objective == "emargin-adjacent" and name not in texts:
            text = ADJACENT_MARGIN
        if name == "threshold" and "dissimilar_share" in texts and "dissimilar_share" in KNOBS[objective]:
            continue
        if text is not None:
            dimensions[name] = parse(name, text)
    return dimensions


def _reference_seeds(name: str, settings: StudySettings) -> tuple[int, ...]:
    return settings.seeds if name in ("random", "supervised") else settings.seeds[:1]


def _end(dimension: Dimension, pick: Callable[..., Value]) -> Value:
    """The lower or upper end of a range; the first of a choice."""
    match dimension:
        case Range(low, high, _):
            return pick(low, high)
        case Choice(values):
            return values[0]
        case fixed:
            return fixed


def _first(dimension: Dimension) -> Dimension:
    """References are measured once: at the first of several values."""
    match dimension:
        case Choice(values):
            return values[0]
        case Range(low, _, _):
            return low
        case fixed:
            return fixed


def _fixed_once(arm: Arm) -> Arm:
    """An arm with nothing to search is one trial: more would repeat it."""
    return arm if arm.searches else Arm(arm.objective, arm.role, arm.dimensions, 1, arm.seeds)


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
    shared: dict[str, object] = {
        name: getattr(settings, name)
        for name in (
            "dataset",
            "data_dir",
            "subjects",
            "sequence_length",
            "split",
            "split_seed",
            "noise_kind",
            "noise_on",
            "noise_seed",
            "batch_size",
        )
    }
    shared["iterations"] = settings.iterations or dataset.iterations
    return TrialSpec(
        arm.trial_name(number),
        arm.role,
        arm.objective,
        shared | {"objective": arm.objective} | dict(values),
        arm.seeds,
    )


def spec_of_first(settings: StudySettings, plan: tuple[Arm, ...]) -> TrialSpec:
    """The first trial at the low end of its space: any trial of a study has its data and its length."""
    arm, number = order(plan)[-1]
    return spec(settings, arm, number, {name: _end(d, min) for name, d in arm.dimensions.items()})
