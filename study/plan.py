"""Which trials a study consists of: its arms, and for each trial the settings of its trainings."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emargin_train.data.settings import DataConfig, DatasetSettings
from emargin_train.errors import UserError
from emargin_train.hyperparameters import all_hyperparameters, method_named, table
from emargin_train.settings import declared
from study import labels
from study.settings import StudySettings
from study.space import Choice, Domain, Range, Value, default_text, parse, points
from study.trial_spec import Replicate, TrialSpec

if TYPE_CHECKING:  # it loads PyTorch, which a wrong flag can be refused without
    from emargin_train.config import TrainConfig


@dataclass(frozen=True)
class Arm:
    """The trials of one method in a study. They share a search space.

    role: `searched`, `baseline` (searched too, for comparison) or `reference`
    space: every hyper-parameter that the method reads, except those that stay unset
    searches: whether Optuna chooses the settings; otherwise they are those of `listed`
    replicates: those of each trial; a reference without randomness has one for each split
    one_at_a_time: whether `listed` gives an ablation instead of a full grid
    share: (k, n) for part k of n of the study (--shard); its trials are `numbers`
    """

    method: str
    role: str
    space: dict[str, Domain]
    n_trials: int
    replicates: tuple[Replicate, ...]
    searches: bool
    one_at_a_time: bool = False
    share: tuple[int, int] = (1, 1)

    @property
    def numbers(self) -> range:
        """The numbers of the trials that belong to this part of the study: every n-th one."""
        k, n = self.share
        return range(k - 1, self.n_trials, n)

    @property
    def varied(self) -> dict[str, Domain]:
        """The hyper-parameters with more than one value."""
        return {name: domain for name, domain in self.space.items() if isinstance(domain, Range | Choice)}

    def listed(self) -> list[dict[str, Value]]:
        """The settings of a grid, an ablation or a reference.

        A grid has every combination of values; the last hyper-parameter changes fastest. An ablation has a
        centre, the first value of each hyper-parameter; then each other value is combined with the centre's
        values of all other hyper-parameters. A reference is not searched, so it takes three values of a
        range: both ends and the middle.
        """
        values = {name: points(domain) for name, domain in self.space.items()}
        if not self.one_at_a_time:
            return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]
        centre = {name: of[0] for name, of in values.items()}
        return [centre, *(centre | {name: value} for name, of in values.items() for value in of[1:])]

    def check(self, settings: StudySettings) -> None:
        """Make settings at every end of the space, so that a bad value is refused before anything runs."""
        job, first = Job(self, 0, self.replicates), self.replicates[0]
        for pick in (min, max):
            corner = {name: _end(domain, pick) for name, domain in self.space.items()}
            spec(settings, job, corner).check(first)
            for name, domain in self.space.items():
                for value in domain.values if isinstance(domain, Choice) else ():
                    spec(settings, job, corner | {name: value}).check(first)

    def trial_name(self, number: int) -> str:
        alone = self.role == "reference" and self.n_trials == 1
        return self.method if alone else f"{self.method}-{number:04d}"


def resolved(settings: StudySettings, split_seeds: tuple[int, ...] = (0,)) -> StudySettings:
    """The settings with defaults filled in: the space of every arm, and the splits.

    split_seeds: used where the settings name none
    """
    settings = labels.checked(settings)
    settings = replace(settings, split_seeds=settings.split_seeds or split_seeds)
    space = {
        method: settings.space.get(method) or _texts(method, role, settings)
        for method, role, _ in _planned(settings)
    }
    return replace(settings, space=space)


def with_given(settings: StudySettings, given: dict[str, str]) -> StudySettings:
    """Settings whose space was stored, as in a study.toml, with new values of some hyper-parameters.

    Hyper-parameters of encoders other than `settings.encoder` are left out.
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
            for one in known.values():  # a value given now replaces a stored one that it excludes
                if column in (one.column, one.instead_of) and one.instead_of is not None:
                    texts.pop(one.instead_of if column == one.column else one.column, None)
        space[method] = texts
    return replace(settings, space=space)


def _given_to(method: str, role: str, settings: StudySettings, given: dict[str, str]) -> dict[str, str]:
    """The given hyper-parameters that apply to a method.

    The baseline of a search keeps its default search ranges whatever the user gives for the other methods, so
    that it competes at its own best settings.
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
    """The text of each hyper-parameter of a method: as given, or its default search range, or its default."""
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
                    f"{known[column].flag} is {domain}, but --design {settings.design} needs single values: "
                    "give a list a,b,c"
                )
    seeds = settings.seeds if method_named(method).is_random else settings.seeds[:1]
    assert settings.split_seeds is not None
    replicates = tuple(Replicate(split, seed) for split in settings.split_seeds for seed in seeds)
    is_ablation = settings.design == "ablation"
    arm = Arm(method, role, space, n_trials, replicates, False, is_ablation, settings.share)
    if role != "reference" and settings.design == "search" and arm.varied:
        return replace(arm, searches=True)
    return replace(arm, n_trials=len(arm.listed()))  # more would repeat settings


def values_of(plan: tuple[Arm, ...], column: str) -> set[Value]:
    """The values of a hyper-parameter, which has no range, in all arms that read it."""
    found: set[Value] = set()
    for arm in plan:
        if column in arm.space:
            found.update(points(arm.space[column]))
    return found


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
    """All trials in the order in which they run: references first, then one trial of each arm in turn."""
    positions = [
        (arm.role != "reference", (number + 0.5) / arm.n_trials, index, arm, number)
        for index, arm in enumerate(plan)
        for number in arm.numbers
    ]
    return [(arm, number) for *_, arm, number in sorted(positions, key=lambda position: position[:3])]


@dataclass(frozen=True)
class Job:
    """One task of the cluster: a trial with all its replicates, or one replicate (--seeds-as-trials)."""

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
    """Every trial with all its replicates, in the order in which they run."""
    return [Job(arm, number, arm.replicates) for arm, number in order(plan)]


def jobs(settings: StudySettings, plan: tuple[Arm, ...]) -> list[Job]:
    """All jobs of the cluster, in the order in which they run; replicates of a trial follow each other."""
    if not settings.seeds_as_trials:
        return trials(plan)
    return [replace(job, replicates=(one,)) for job in trials(plan) for one in job.replicates]


def spec(settings: StudySettings, job: Job, values: Mapping[str, object]) -> TrialSpec:
    """The trial of a job with the chosen values of its hyper-parameters."""
    shared: dict[str, object] = {name: getattr(settings, name) for name in declared(DatasetSettings)}
    shared |= {"method": job.arm.method, "encoder": settings.encoder}
    if settings.dataset.endswith(".toml"):
        shared["dataset"] = str(Path(settings.dataset).absolute())  # a worker has a folder of its own
    if settings.data_dir is not None:
        shared["data_dir"] = str(Path(settings.data_dir).absolute())
    arm, values = job.arm, shared | dict(values)
    metrics = settings.goals if settings.metrics == "goals" and arm.role != "reference" else None
    return TrialSpec(job.trial, job.key, arm.role, arm.method, values, job.replicates, metrics)


def first_config(settings: StudySettings, plan: tuple[Arm, ...]) -> "TrainConfig":
    """A training of the plan, at the low end of its space: its data and length are the study's."""
    return lowest_config(settings, jobs(settings, plan)[-1].arm)


def first_data(settings: StudySettings, plan: tuple[Arm, ...]) -> DataConfig:
    """What decides the frames of `first_config`; PyTorch is not loaded for it."""
    arm = jobs(settings, plan)[-1].arm
    return _lowest(settings, arm).data(arm.replicates[0])


def lowest_config(settings: StudySettings, arm: Arm, **chosen: Value) -> "TrainConfig":
    """A training at the low end of an arm's space, except for the values that are chosen."""
    return _lowest(settings, arm, **chosen).config(arm.replicates[0])


def _lowest(settings: StudySettings, arm: Arm, **chosen: Value) -> TrialSpec:
    values = {name: _end(domain, min) for name, domain in arm.space.items()}
    return spec(settings, Job(arm, 0, arm.replicates), values | chosen)
