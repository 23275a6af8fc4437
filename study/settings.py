"""A study as a value: everything that `python -m study.run` was asked for, as study.toml holds it."""

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import tomli_w
from pydantic import TypeAdapter, ValidationError

from emargin_train.config import OBJECTIVE_NAMES, REFERENCE_NAMES
from emargin_train.errors import UserError, nearest
from emargin_train.evaluation.metrics import METRICS
from study import secrets

DESIGNS = ("search", "grid", "ablation")
SAMPLERS = ("tpe", "nsgaii", "qmc", "random")
SEARCHED = tuple(name for name in OBJECTIVE_NAMES if name != "supervised")
REFERENCES = (*REFERENCE_NAMES, "supervised")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration_s(text: str) -> float:
    """Seconds of a duration as 90s, 30m, 2h or 1.5d. Raises UserError."""
    try:
        value = float(text[:-1]) * UNITS_S[text[-1:]]
    except (ValueError, KeyError):
        value = -1.0
    if not 0 < value < math.inf:
        raise UserError(
            f"--time-budget is '{text}', which is no duration: give a number and s, m, h or d, as 2h"
        )
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """Raises UserError for text that is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"the study's settings are not TOML ({error}): mend the file") from None


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """Resolved settings of a study; `dimensions` holds the text of each knob that was named (study.space)."""

    # Where and how a study runs, not what it finds: these may differ when it goes on.
    OPERATIONAL: ClassVar[tuple[str, ...]] = (
        "out",
        "address",
        "tracking_uri",
        "cpus_per_trial",
        "gpus_per_trial",
        "max_concurrent",
        "max_retries",
        "keep_embeddings",
        "time_budget",
        "max_failures",
        "optuna_storage",
        "storage",
    )

    dataset: str
    name: str
    data_dir: str | None = None
    subjects: int | None = None
    sequence_length: int | None = None
    split: str = "subject"
    split_seed: int = 0
    noise_kind: str = "white"
    noise_on: str = "all"
    noise_seed: int = 0
    evaluation_frames: int = 5000
    objectives: tuple[str, ...] = ("emargin",)
    dimensions: dict[str, str] = field(default_factory=dict)
    trials: int = 32
    baseline_trials: int | None = None  # None = half of trials, rounded up
    references: tuple[str, ...] = REFERENCES
    seeds: tuple[int, ...] = (0, 1, 2)
    iterations: int | None = None  # None = the dataset's paper setting
    batch_size: int = 8
    goals: tuple[str, ...] = ("silhouette", "probe_balanced_accuracy")
    # search: Optuna chooses settings; grid: every combination of the listed values; ablation: the first value
    # of each list is the centre, and one knob at a time leaves it
    design: str = "search"
    seeds_as_trials: bool = False  # each seed is scheduled and searched as a trial of its own
    sampler: str = "tpe"
    search_seed: int = 0
    keep_embeddings: str = "front"
    out: str = "runs"
    address: str | None = None
    tracking_uri: str | None = None
    cpus_per_trial: int = 1
    gpus_per_trial: float | Literal["auto"] = 0.0  # auto: measured before the first trial
    tf32: bool = False  # products in TensorFloat-32
    max_concurrent: int | None = None
    max_retries: int = 2
    time_budget: str | None = None  # as 2h; afterwards no trial begins
    max_failures: int | None = None  # failed trials of one run after which no trial begins
    optuna_storage: str | None = None  # database of the search, without its password; None = optuna.log
    storage: str | None = None  # folder or URI that all nodes reach, for running trials; None = in `out`

    def __post_init__(self) -> None:
        for name, low in (("trials", 1), ("cpus_per_trial", 1), ("max_retries", 0), ("batch_size", 1)):
            if getattr(self, name) < low:
                raise UserError(
                    f"--{name.replace('_', '-')} is {getattr(self, name)}: give a whole number from {low}"
                )
        for name, low in (
            ("baseline_trials", 0),
            ("iterations", 1),
            ("max_concurrent", 1),
            ("max_failures", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < low:
                raise UserError(f"--{name.replace('_', '-')} is {value}: give a whole number from {low}")
        if self.gpus_per_trial != "auto" and self.gpus_per_trial < 0:
            raise UserError(
                f"--gpus-per-trial is {self.gpus_per_trial}: give 0, a share such as 0.25, or auto"
            )
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise UserError(
                f"--seeds is {','.join(map(str, self.seeds))}: give distinct whole numbers from 0, as 0,1,2"
            )
        if self.design not in DESIGNS:
            raise UserError(f"--design is '{self.design}': {nearest(self.design, DESIGNS)}")
        if self.sampler not in SAMPLERS:
            raise UserError(f"--sampler is '{self.sampler}': {nearest(self.sampler, SAMPLERS)}")
        if self.keep_embeddings not in ("front", "all", "none"):
            raise UserError(
                f"--keep-embeddings is '{self.keep_embeddings}': "
                f"{nearest(self.keep_embeddings, ('front', 'all', 'none'))}"
            )
        for objective in self.objectives:
            if objective not in SEARCHED:
                raise UserError(f"--objective has '{objective}': {nearest(objective, SEARCHED)}")
        if not self.objectives or len(set(self.objectives)) != len(self.objectives):
            raise UserError(
                f"--objective is '{','.join(self.objectives)}': give distinct names, as emargin,infonce"
            )
        for reference in self.references:
            if reference not in REFERENCES:
                raise UserError(f"--references has '{reference}': {nearest(reference, REFERENCES)}")
        directed = {name for name, metric in METRICS.items() if metric.best in ("max", "min")}
        if not self.goals or len(set(self.goals)) != len(self.goals):
            raise UserError(
                f"--goals is '{','.join(self.goals)}': "
                "give distinct metrics, as silhouette,probe_balanced_accuracy"
            )
        for goal in self.goals:
            if goal not in directed:
                raise UserError(
                    f"--goals has '{goal}', which is no metric with a best end: {nearest(goal, directed)}"
                )
        if self.tf32 and not self.gpus_per_trial:
            raise UserError("--tf32 is given, but a CPU has no TensorFloat-32: give --gpus-per-trial too")
        if self.time_budget is not None:
            duration_s(self.time_budget)
        for name in ("optuna_storage", "tracking_uri"):
            url = getattr(self, name)
            if url is not None and secrets.without_password(url) != url:
                raise UserError(
                    f"{name} holds a password, but settings are stored and logged: "
                    f"take it out, and give it in the environment ({secrets.VARIABLES[name]})"
                )
        if not self.name or any(c in self.name for c in "/\\\0") or self.name.startswith("."):
            raise UserError(
                f"--name is '{self.name}', but it names a folder: leave out slashes and a leading dot"
            )

    @property
    def folder(self) -> Path:
        return Path(self.out) / self.name

    @property
    def n_baseline_trials(self) -> int:
        return (self.trials + 1) // 2 if self.baseline_trials is None else self.baseline_trials

    @property
    def time_budget_s(self) -> float | None:
        return None if self.time_budget is None else duration_s(self.time_budget)

    def differences(self, other: "StudySettings") -> list[str]:
        """Names of the settings that differ, operational ones left out; empty for the same study."""
        names = (f.name for f in dataclasses.fields(self) if f.name not in self.OPERATIONAL)
        return [name for name in names if getattr(self, name) != getattr(other, name)]

    def to_toml(self) -> str:
        """study.toml; settings that are None are left out, so that they read back as None."""
        flat = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        return tomli_w.dumps({k: list(v) if isinstance(v, tuple) else v for k, v in flat.items()})

    @classmethod
    def from_toml(cls, text: str) -> "StudySettings":
        """Inverse of `to_toml`. Raises UserError for text that is not TOML or an unknown name."""
        return cls.from_dict(parse_toml(text))

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> "StudySettings":
        """Settings by name; missing ones take their defaults. Raises UserError."""
        known = {f.name for f in dataclasses.fields(cls)}
        for key in flat:
            if key not in known:
                raise UserError(f"'{key}' is not a setting of a study: {nearest(key, known)}")
        try:
            return TypeAdapter(cls).validate_python(flat)
        except ValidationError as error:
            first = error.errors()[0]
            cause = first.get("ctx", {}).get("error")
            if isinstance(cause, UserError):
                raise cause from None
            where = ".".join(map(str, first["loc"])) or "a setting"
            raise UserError(f"the study's settings: {where}: {first['msg']}: mend the file") from None


def stored_part(path: Path) -> dict[str, Any]:
    """The settings that a file such as study.toml names. Raises UserError."""
    try:
        flat = parse_toml(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise UserError(f"--config is {path}, but it cannot be read ({reason}): give a study.toml") from None
    whole = StudySettings.from_dict({"dataset": "-", "name": "-"} | flat)
    return {name: getattr(whole, name) for name in flat}
