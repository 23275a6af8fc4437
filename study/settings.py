"""A study as a value: everything that `python -m study.run` was asked for, as study.toml holds it."""

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import tomli_w
from pydantic import TypeAdapter, ValidationError

from emargin_train.config import OBJECTIVE_NAMES, REFERENCE_NAMES
from emargin_train.errors import UserError, nearest
from emargin_train.evaluation import METRICS

DESIGNS = ("search", "grid")
SAMPLERS = ("tpe", "nsgaii", "qmc", "random")
SEARCHED = tuple(name for name in OBJECTIVE_NAMES if name != "supervised")
REFERENCES = (*REFERENCE_NAMES, "supervised")


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
    design: str = "search"  # search: Optuna chooses settings; grid: every combination of the listed values
    sampler: str = "tpe"
    search_seed: int = 0
    keep_embeddings: str = "front"
    out: str = "runs"
    address: str | None = None
    tracking_uri: str | None = None
    cpus_per_trial: int = 1
    gpus_per_trial: float = 0.0
    max_concurrent: int | None = None
    max_retries: int = 2

    def __post_init__(self) -> None:
        for name, low in (("trials", 1), ("cpus_per_trial", 1), ("max_retries", 0), ("batch_size", 1)):
            if getattr(self, name) < low:
                raise UserError(
                    f"--{name.replace('_', '-')} is {getattr(self, name)}: give a whole number from {low}"
                )
        for name, low in (("baseline_trials", 0), ("iterations", 1), ("max_concurrent", 1)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise UserError(f"--{name.replace('_', '-')} is {value}: give a whole number from {low}")
        if self.gpus_per_trial < 0:
            raise UserError(f"--gpus-per-trial is {self.gpus_per_trial}: give 0 or a share such as 0.25")
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
        try:
            flat: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UserError(f"the study's settings are not TOML ({error}): mend the file") from None
        known = {f.name for f in dataclasses.fields(cls)}
        for key in flat:
            if key not in known:
                raise UserError(f"'{key}' is not a setting of a study: {nearest(key, known)}")
        try:
            return TypeAdapter(cls).validate_python(flat)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "a setting"
            raise UserError(f"the study's settings: {where}: {first['msg']}: mend the file") from None
