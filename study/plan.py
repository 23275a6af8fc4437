"""Which trials a study consists of: its arms, and for each trial the settings of its trainings."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emargin_train.data.settings import DatasetSettings
from emargin_train.errors import UserError
from emargin_train.hyperparameters import all_hyperparameters, method_named, table
from emargin_train.settings import declared
from study import labels
from study.settings import StudySettings
from study.space import Choice, Domain, Range, Value, default_text, parse, points

if TYPE_CHECKING:  # it loads PyTorch, which a wrong flag can be refused without
    from emargin_train.config import TrainConfig


@dataclass(frozen=True, order=True)
class Replicate:
    """One training of a trial: on which split, from which seed."""

    split_seed: int
    seed: int

    def __str__(self) -> str:
        """As in the names of files."""
        return f"{self.split_seed}-{self.seed}"


@dataclass(frozen=True)
class Arm:
    """Trials that share a method and a space.

    role: searched (good settings are looked for), baseline (likewise, for comparison) or reference
    space: every hyper-parameter that the method reads, but those that stay unset
    searches: Optuna chooses the settings; else the trials are those of `listed`
    replicates: of each trial; a reference without randomness has one for each split
    one_at_a_time: what is listed is an ablation, not a full grid
    """

    method: str
    role: str
    space: dict[str, Domain]
    n_trials: int
    replicates: tuple[Replicate, ...]
    searches: bool
    one_at_a_time: bool = False

    @property
    def varied(self) -> dict[str, Domain]:
        """The hyper-parameters with more than one value."""
        return {name: domain for name, domain in self.space.items() if isinstance(domain, Range | Choice)}

    def listed(self) -> list[dict[str, Value]]:
        """The settings made of the space's values.

        A grid: every combination, the last hyper-parameter fastest. An ablation: the centre, which is the
        first value of each hyper-parameter, then each other value with all else at the centre. A reference is
        not searched, so a range gives it three values: both ends and the middle.
        """
        values = {name: points(domain) for name, domain in self.space.items()}
        if not self.one_at_a_time:
            return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]
        centre = {name: of[0] for name, of in values.items()}
        return [centre, *(centre | {name: value} for name, of in values.items() for value in of[1:])]

    def check(self, settings: StudySettings) -> None:
        """Build the training at every end of the space, so that a bad value is refused in time."""
        job, first = Job(self, 0, self.replicates), self.replicates[0]
        for pick in (min, max):
            corner = {name: _end(domain, pick) for name, domain in self.space.items()}
            spec(settings, job, corner).config(first)
            for name, domain in self.space.items():
                for value in domain.values if isinstance(domain, Choice) else ():
                    spec(settings, job, corner | {name: value}).config(first)

    def trial_name(self, number: int) -> str:
        alone = self.role == "reference" and self.n_trials == 1
        return self.method if alone else f"{self.method}-{number:04d}"


@dataclass(frozen=True)
class TrialSpec:
    """One trial, ready to run anywhere: plain values only.

    settings: as `TrainConfig.from_dict` takes them, without the seeds of the replicates
    key: names it among all that the cluster runs; the trial's name where all its replicates run together
    """

    trial: str
    key: str
    role: str
    method: str
    settings: dict[str, object]
    replicates: tuple[Replicate, ...]

    def config(self, replicate: Replicate) -> "TrainConfig":
        """The training of one replicate."""
        from emargin_train.config import TrainConfig

        return TrainConfig.from_dict(self.settings | dataclasses.asdict(replicate))


def resolved(settings: StudySettings, split_seeds: tuple[int, ...] = (0,)) -> StudySettings:
    """The settings with everything said that defaults decide: the space of every arm, and the splits.

    split_seeds: where the settings name none
    """
    settings = labels.checked(settings)
    settings = replace(settings, split_seeds=settings.split_seeds or split_seeds)
    space = {
        method: settings.space.get(method) or _texts(method, role, settings)
        for method, role, _ in _planned(settings)
    }
    return replace(settings, space=space)


def with_given(settings: StudySettings, given: dict[str, str]) -> StudySettings:
    """Settings whose space was stored, as in a study.toml, with some hyper-parameters given anew.

    Those of another encoder than `settings.encoder` are left out.
    """
    space = {}
    roles = {method: role for method, role, _ in _planned(settings)}
    everything = all_hyperparameters()
    for method, stored in settings.space.items():
        known = table(method, settings.encoder)
        texts = {
            column: text for column, text in stored.items() if column in known or column not in everything
        }
        for column, text in _given_to(method, roles.get(method, ""), settings, given).items():
            if column in texts and parse(known[column], text) == parse(known[column], texts[column]):
                continue
            texts[column] = text
            for one in known.values():  # given instead of the other
                if column in (one.column, one.instead_of) and one.instead_of is not None:
                    texts.pop(one.instead_of if column == one.column else one.column, None)
        space[method] = texts
    return replace(settings, space=space)


def _given_to(method: str, role: str, settings: StudySettings, given: dict[str, str]) -> dict[str, str]:
    """Those of the given hyper-parameters that decide a method's space.

    The baseline of a search keeps its own default ranges of what a study asks about: it competes at its best,
    not at the other methods'.
    """
    known = table(method, settings.encoder)
    competes = role == "baseline" and settings.design == "search"
    return {
        column: text
        for column, text in given.items()
        if column in known and not (competes and known[column].search is not None)
    }


def arms(settings: StudySettings) -> tuple[Arm, ...]:
    """References first, then the methods, then the baseline over its own ranges.

    Raises UserError for a hyper-parameter that no method of the study reads, or a range in a grid.
    """
    settings = resolved(settings)
    used = {column for method in settings.methods for column in table(method, settings.encoder)}
    for column in settings.hyperparameters:
        if column not in used:
            raise UserError(
                f"--{column.replace('_', '-')} is given, but {', '.join(settings.methods)} has no such "
                "hyper-parameter: leave it out"
            )
    return tuple(_arm(method, role, n, settings) for method, role, n in _planned(settings))


def _planned(settings: StudySettings) -> list[tuple[str, str, int]]:
    """Method, role and number of trials of every arm."""
    with_baseline = settings.baseline not in settings.methods and settings.n_baseline_trials > 0
    return [
        *((name, "reference", 1) for name in settings.references),
        *((name, "searched", settings.trials) for name in settings.methods),
        *([(settings.baseline, "baseline", settings.n_baseline_trials)] if with_baseline else []),
    ]


def _texts(method: str, role: str, settings: StudySettings) -> dict[str, str]:
    """The text of each hyper-parameter of a method: as given, else searched by default, else its default."""
    from emargin_train.data.catalogue import find

    known = table(method, settings.encoder)
    searching = settings.design == "search" and role != "reference"
    given = _given_to(method, role, settings, settings.hyperparameters)
    for one in known.values():
        if one.instead_of in given and one.column in given:
            raise UserError(
                f"{known[one.instead_of].flag} and {one.flag} are both given, but one determines the other: "
                "give one"
            )
    decided = {one.instead_of for one in known.values() if one.instead_of and one.column in given}
    texts = {}
    for column, one in known.items():
        default = find(settings.dataset).iterations if column == "iterations" else one.default
        text = given.get(column, default_text(one, searching=searching))
        if text is None and default is not None:
            text = one.text(default)
        if text is not None and column not in decided:
            texts[column] = text
    return texts


def _arm(method: str, role: str, n_trials: int, settings: StudySettings) -> Arm:
    known = table(method, settings.encoder)
    space = {}
    for column, text in settings.space[method].items():
        if column not in known:
            raise UserError(f"the study's space of {method} has '{column}', which it does not read")
        space[column] = parse(known[column], text)
    if role != "reference" and settings.design != "search":
        for column, domain in space.items():
            if isinstance(domain, Range):
                raise UserError(
                    f"{known[column].flag} is {domain}, but --design {settings.design} has points: "
                    "give a list a,b,c"
                )
    seeds = settings.seeds if method_named(method).is_random else settings.seeds[:1]
    assert settings.split_seeds is not None
    replicates = tuple(Replicate(split, seed) for split in settings.split_seeds for seed in seeds)
    arm = Arm(method, role, space, n_trials, replicates, False, settings.design == "ablation")
    if role != "reference" and settings.design == "search" and arm.varied:
        return replace(arm, searches=True)
    return replace(arm, n_trials=len(arm.listed()))  # more would repeat settings


def _end(domain: Domain, pick: Callable[..., Value]) -> Value:
    """The lower or upper end of a range; the first of a choice."""
    match domain:
        case Range(low, high):
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
    """What the cluster runs at one time: a trial with all its replicates, or one (--seeds-as-trials)."""

    arm: Arm
    number: int
    replicates: tuple[Replicate, ...]

    @property
    def trial(self) -> str:
        return self.arm.trial_name(self.number)

    @property
    def key(self) -> str:
        return self.trial if self.replicates == self.arm.replicates else f"{self.trial}-{self.replicates[0]}"


def trials(plan: tuple[Arm, ...]) -> list[Job]:
    """Every trial with all its replicates, in the order they are asked for."""
    return [Job(arm, number, arm.replicates) for arm, number in order(plan)]


def jobs(settings: StudySettings, plan: tuple[Arm, ...]) -> list[Job]:
    """All that the cluster runs, in the order it is asked for; replicates of a trial follow each other."""
    if not settings.seeds_as_trials:
        return trials(plan)
    return [replace(job, replicates=(one,)) for job in trials(plan) for one in job.replicates]


def spec(settings: StudySettings, job: Job, values: Mapping[str, object]) -> TrialSpec:
    """The trial of a job, at the chosen values of its hyper-parameters."""
    shared: dict[str, object] = {name: getattr(settings, name) for name in declared(DatasetSettings)}
    shared |= {"method": job.arm.method, "encoder": settings.encoder}
    if settings.dataset.endswith(".toml"):
        shared["dataset"] = str(Path(settings.dataset).absolute())  # a worker has a folder of its own
    if settings.data_dir is not None:
        shared["data_dir"] = str(Path(settings.data_dir).absolute())
    return TrialSpec(job.trial, job.key, job.arm.role, job.arm.method, shared | dict(values), job.replicates)


def first_config(settings: StudySettings, plan: tuple[Arm, ...]) -> "TrainConfig":
    """A training of the plan, at the low end of its space: its data and length are the study's."""
    job = jobs(settings, plan)[-1]
    values = {name: _end(domain, min) for name, domain in job.arm.space.items()}
    return spec(settings, job, values).config(job.replicates[0])
