"""Which trials a study consists of: its arms, and for each trial the settings of one training."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

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
    searches: Optuna chooses the settings; else the trials are those of `listed`
    seeds: of each trial; a reference without randomness has one
    one_at_a_time: what is listed is an ablation, not a full grid
    """

    objective: str
    role: str
    dimensions: dict[str, Dimension]
    n_trials: int
    seeds: tuple[int, ...]
    searches: bool
    one_at_a_time: bool = False

    def listed(self) -> list[dict[str, Value]]:
        """The settings made of the dimensions' values.

        A grid: every combination, the last dimension fastest. An ablation: the centre, which is the first
        value of each dimension, then each other value with all else at the centre.
        """
        values = {name: points(dimension) for name, dimension in self.dimensions.items()}
        if not self.one_at_a_time:
            return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]
        centre = {name: of[0] for name, of in values.items()}
        return [centre, *(centre | {name: value} for name, of in values.items() for value in of[1:])]

    def check(self, settings: StudySettings) -> None:
        """Build the training at every end of the space, so that a bad value is told before anything runs."""
        job = Job(self, 0, self.seeds)
        for pick in (min, max):
            corner = {name: _end(dimension, pick) for name, dimension in self.dimensions.items()}
            spec(settings, job, corner).config(self.seeds[0])
            for name, dimension in self.dimensions.items():
                for value in dimension.values if isinstance(dimension, Choice) else ():
                    spec(settings, job, corner | {name: value}).config(self.seeds[0])

    def trial_name(self, number: int) -> str:
        alone = self.role == "reference" and self.n_trials == 1
        return self.objective if alone else f"{self.objective}-{number:04d}"


@dataclass(frozen=True)
class TrialSpec:
    """One trial, ready to run anywhere: plain values only.

    settings: of `TrainConfig.from_dict`, without the seed
    key: names it among all that the cluster runs; the trial's name where all its seeds run together
    """

    trial: str
    key: str
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
    arm = Arm(objective, role, dimensions, n_trials, settings.seeds, searches, settings.design == "ablation")
    return arm if searches else replace(arm, n_trials=len(arm.listed()))  # more would repeat settings


def _reference(name: str, settings: StudySettings) -> Arm:
    given = {k: parse(k, text) for k, text in settings.dimensions.items() if k in REFERENCE_KNOBS[name]}
    seeds = settings.seeds if name in ("random", "supervised") else settings.seeds[:1]
    arm = Arm(name, "reference", given, 1, seeds, False, settings.design == "ablation")
    return replace(arm, n_trials=len(arm.listed()))


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
            raise UserError(
                f"--{flag(name)} is {dimension}, but --design {settings.design} has points: give a list a,b,c"
            )
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
    positions = [
        (arm.role != "reference", (number + 0.5) / arm.n_trials, index, arm, number)
        for index, arm in enumerate(plan)
        for number in range(arm.n_trials)
    ]
    return [(arm, number) for *_, arm, number in sorted(positions, key=lambda position: position[:3])]


@dataclass(frozen=True)
class Job:
    """What the cluster runs at one time: a trial with all its seeds, or with one (--seeds-as-trials)."""

    arm: Arm
    number: int
    seeds: tuple[int, ...]

    @property
    def trial(self) -> str:
        return self.arm.trial_name(self.number)

    @property
    def key(self) -> str:
        return self.trial if self.seeds == self.arm.seeds else f"{self.trial}-{self.seeds[0]}"


def trials(plan: tuple[Arm, ...]) -> list[Job]:
    """Every trial with all its seeds, in the order they are asked for."""
    return [Job(arm, number, arm.seeds) for arm, number in order(plan)]


def jobs(settings: StudySettings, plan: tuple[Arm, ...]) -> list[Job]:
    """All that the cluster runs, in the order it is asked for; seeds of a trial follow each other."""
    if not settings.seeds_as_trials:
        return trials(plan)
    return [replace(job, seeds=(seed,)) for job in trials(plan) for seed in job.seeds]


def spec(settings: StudySettings, job: Job, values: Mapping[str, object]) -> TrialSpec:
    """The trial of a job, at the chosen values of its knobs."""
    dataset: Dataset = find(settings.dataset)
    shared: dict[str, object] = {name: getattr(settings, name) for name in (*NAMES, "batch_size")}
    shared |= {"iterations": settings.iterations or dataset.iterations, "objective": job.arm.objective}
    if settings.dataset.endswith(".toml"):
        shared["dataset"] = str(Path(settings.dataset).absolute())  # a worker has a folder of its own
    if settings.data_dir is not None:
        shared["data_dir"] = str(Path(settings.data_dir).absolute())
    objective, role = job.arm.objective, job.arm.role
    return TrialSpec(job.trial, job.key, role, objective, shared | dict(values), job.seeds)


def first_config(settings: StudySettings, plan: tuple[Arm, ...]) -> TrainConfig:
    """A training of the plan, at the low end of its space: its data and length are the study's."""
    job = jobs(settings, plan)[-1]
    values = {name: _end(dimension, min) for name, dimension in job.arm.dimensions.items()}
    return spec(settings, job, values).config(job.seeds[0])
