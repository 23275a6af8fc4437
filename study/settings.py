"""The settings of a study: everything that `python -m study.run` was given. They are stored in study.toml."""

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import tomli_w

from emargin_train.data.settings import DatasetSettings
from emargin_train.declarations import declarations
from emargin_train.errors import UserError, nearest
from emargin_train.hyperparameters import FORMER, all_hyperparameters
from emargin_train.settings import Setting, declared, setting
from study import secrets

DESIGNS = ("search", "grid", "ablation")
SAMPLERS = ("tpe", "nsgaii", "qmc", "random")
SEARCHED = tuple(name for name, one in declarations().methods.items() if one.role == "method")
ENCODERS = tuple(declarations().encoders)
REFERENCES = tuple(name for name, one in declarations().methods.items() if one.role != "method")
DIRECTED = tuple(name for name, one in declarations().metrics.items() if one.best in ("max", "min"))
MAX_NAME_BYTES = 150  # a file name may have 255, an Optuna study in a database 512
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Names of version 1, in study.toml and as flags.
FORMER_NAMES = {"objectives": "methods", "dimensions": "hyperparameters", "split_seed": "split_seeds"}
# These say where and how a study runs, not what it finds, so they may differ when it is resumed.
OPERATIONAL = (
    "out",
    "address",
    "tracking_uri",
    "register",
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


def flag_of(name: str) -> str:
    """The flag that gives a setting or a hyper-parameter."""
    return "--method" if name == "methods" else "--" + name.replace("_", "-")


def _shown(value: Any) -> str:
    if value is None:
        return "no value"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def duration_s(text: str) -> float:
    """Seconds of a duration such as 90s, 30m, 2h or 1.5d. Raises UserError."""
    try:
        value = float(text[:-1]) * UNITS_S[text[-1:]]
    except (ValueError, KeyError):
        value = -1.0
    if not 0 < value < math.inf:
        raise UserError(
            f"--time-budget is '{text}', but that is not a duration: give a number and s, m, h or d, such as "
            "2h"
        )
    return value


def _part(text: str) -> tuple[int, int]:
    """(k, n) of a text such as 3/16. Raises UserError."""
    k, _, n = text.partition("/")
    if k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n):
        return int(k), int(n)
    raise UserError(
        f"--shard is '{text}', but that is not part K of N: give K/N, such as 3/16 (from 1/16 to 16/16)"
    )


def parse_toml(text: str) -> dict[str, Any]:
    """Raises UserError for text that is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"the study's settings are not TOML ({error}): correct the file") from None


@dataclass(frozen=True, kw_only=True)
class StudySettings(DatasetSettings):
    """The settings of a study.

    hyperparameters: the text of each hyper-parameter that the user gave, by column (study.space)
    space: for each method, the text of each hyper-parameter, with defaults filled in by `study.plan`; empty
        before. Once stored, it is used unchanged, whatever later versions search by default.
    """

    dataset: str = setting("", DatasetSettings.__dataclass_fields__["dataset"].metadata["setting"]["help"],
                           metavar="NAME")  # fmt: skip
    name: str = setting(
        "",
        "The study has this name, and so has its folder in --out (default: the dataset and a digest of the "
        "settings).",
    )
    methods: tuple[str, ...] = setting(
        ("emargin",),
        "The study trains these methods, and searches the hyper-parameters of each.",
        metavar="NAMES",
        choices=SEARCHED,
    )
    encoder: str = setting(
        "projector",
        "Every method trains this encoder.",
        metavar="NAME",
        choices=ENCODERS,
    )
    trials: int = setting(32, "The search tries N settings of each method.", metavar="N", low=1)
    baseline: str = setting(
        "infonce",
        "The methods are compared with this one, which is searched over its own ranges; 'none' leaves it "
        "out.",
        metavar="NAME",
        choices=(*SEARCHED, "none"),
    )
    baseline_trials: int | None = setting(
        None, "The search tries N settings of the baseline (default: half of --trials).", metavar="N", low=0
    )
    references: tuple[str, ...] = setting(
        REFERENCES,
        "Every result is compared with these encoders; an empty text '' leaves all of them out.",
        metavar="NAMES",
        choices=REFERENCES,
        may_be_empty=True,
    )
    seeds: tuple[int, ...] = setting(
        (0, 1, 2),
        "Each setting is trained with each of these seeds, given as 0,1,2 or 0:4.",
        metavar="LIST",
        low=0,
        high=2**31 - 1,
        why="seeds are whole numbers",
    )
    split_seeds: tuple[int, ...] | None = setting(
        None,
        "Each setting is trained on each of these splits, given as 0:9 (default: split 0; with --split "
        "leave-one-subject-out, one for every subject).",
        metavar="LIST",
        low=0,
        why="seeds are whole numbers",
        formerly="split_seed",
    )
    goals: tuple[str, ...] = setting(
        ("silhouette", "probe_balanced_accuracy"),
        "The search looks for the best values of these metrics.",
        metavar="METRICS",
        choices=DIRECTED,
    )
    metrics: str = setting(
        "all",
        "Each trial is measured by all metrics, or by the goals alone, which takes a quarter of the time. "
        "In the end, the trials on the Pareto front are measured by all metrics.",
        metavar="WHICH",
        choices=("all", "goals"),
    )
    design: str = setting(
        "search",
        "The settings are those of a search (Optuna chooses them), a grid (all combinations of the lists), "
        "or an ablation (one hyper-parameter at a time differs from the first value of its list).",
        metavar="KIND",
        choices=DESIGNS,
    )
    shard: str | None = setting(
        None,
        "This study is part K of N: it has every N-th trial, in a folder of its own, NAME-K-of-N. The "
        "drivers of a search must share --optuna-storage.",
        metavar="K/N",
    )
    seeds_as_trials: bool = setting(
        False, "Each replicate (a split seed and a seed) is scheduled and searched as a separate trial."
    )
    sampler: str = setting(
        "tpe", "Optuna chooses settings by this sampler.", metavar="NAME", choices=SAMPLERS
    )
    search_seed: int = setting(0, "The sampler draws from this seed.", metavar="N", low=0)
    keep_embeddings: str = setting(
        "front",
        "Embeddings are kept for trials on the Pareto front, the baseline and the references (front), for "
        "all trials, or for none.",
        metavar="WHICH",
        choices=("front", "all", "none"),
    )
    out: str = setting("runs", "The folder that holds the studies.", metavar="DIR")
    address: str | None = setting(
        None,
        "The study runs on this Ray cluster: auto, HOST:PORT or local (default: the one that RAY_ADDRESS "
        "names or that this machine belongs to; otherwise a new one).",
    )
    tracking_uri: str | None = setting(
        None,
        "Every trial is exported to this MLflow server or database (default: an SQLite file in --out).",
        metavar="URI",
    )
    register: str | None = setting(
        None,
        "Once the study is done, the encoders of its Pareto front are versions of this registered model in "
        "MLflow.",
        metavar="NAME",
    )
    optuna_storage: str | None = setting(
        None,
        "The search is stored in this database, such as postgresql://user@host/name; its password comes from "
        "OPTUNA_STORAGE (the whole URL) or PGPASSWORD (default: a file in the study's folder).",
        metavar="URL",
    )
    storage: str | None = setting(
        None,
        "Running trials store their checkpoints here, in a folder or s3://bucket/path that all nodes can "
        "reach (default: EMARGIN_STORAGE; otherwise the study's folder).",
        metavar="URI",
    )
    cpus_per_trial: int = setting(1, "A trial uses N cores, with as many threads.", metavar="N", low=1)
    gpus_per_trial: float | str = setting(
        0.0,
        "A trial uses X GPUs: 0, 1, a share such as 0.25, or auto, which finds the best share by measuring.",
        metavar="X",
        low=0,
        words=("auto",),
    )
    max_concurrent: int | None = setting(
        None, "At most N trials run at once (default: as many as fit).", metavar="N", low=1
    )
    max_retries: int = setting(
        2, "A trial whose worker died starts again, up to N times.", metavar="N", low=0
    )
    time_budget: str | None = setting(
        None,
        "No trial begins after this time, such as 90m, 2h or 1d; trials that are running then finish.",
        metavar="T",
    )
    max_failures: int | None = setting(
        None, "No trial begins once N trials of this run have failed.", metavar="N", low=1
    )
    hyperparameters: dict[str, str] = field(default_factory=dict)
    space: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.dataset:
            raise UserError(
                "--dataset is missing, but a study needs data: give a dataset such as sleepeeg-sim, or "
                "--preset smoke"
            )
        known = all_hyperparameters()
        for column in self.hyperparameters:
            if column not in known:
                raise UserError(f"'{column}' is not a hyper-parameter: {nearest(column, known)}")
        if self.shard is not None:
            k, n = _part(self.shard)
            if self.design == "search" and self.optuna_storage is None:
                raise UserError(
                    f"--shard is {self.shard}, but the parts of a search need one --optuna-storage: give "
                    "such as postgresql://user@host/name, or --design grid"
                )
        if self.time_budget is not None:
            duration_s(self.time_budget)
        for name in secrets.VARIABLES:
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
        for flag, text in (("--name", self.name), ("--out", self.out)):
            if not text.isprintable():  # bytes that are not UTF-8 are not printable either
                raise UserError(
                    f"{flag} is {ascii(text)}, but files, MLflow and databases take only printable text in "
                    "UTF-8: leave out its control characters and bytes"
                )
        if len(self.name.encode()) > MAX_NAME_BYTES:
            raise UserError(
                f"--name has {len(self.name.encode())} bytes, but it names folders and searches: "
                f"give at most {MAX_NAME_BYTES}"
            )

    @property
    def folder(self) -> Path:
        return Path(self.out) / self.name

    @property
    def share(self) -> tuple[int, int]:
        """(k, n) for part k of n of a study; (1, 1) for a whole one."""
        return (1, 1) if self.shard is None else _part(self.shard)

    @property
    def ending(self) -> str:
        """How the name of a part of a study ends."""
        return "" if self.shard is None else "-{}-of-{}".format(*self.share)

    @property
    def gpus(self) -> float | None:
        """GPUs of a trial; None = to be measured."""
        return None if isinstance(self.gpus_per_trial, str) else self.gpus_per_trial

    @property
    def n_baseline_trials(self) -> int:
        if self.baseline == "none":
            return 0
        return (self.trials + 1) // 2 if self.baseline_trials is None else self.baseline_trials

    @property
    def time_budget_s(self) -> float | None:
        return None if self.time_budget is None else duration_s(self.time_budget)

    @property
    def note(self) -> str | None:
        """What may be meant otherwise: one seed above 1, which could be a number of seeds."""
        if len(self.seeds) != 1 or self.seeds[0] < 2:
            return None
        n = self.seeds[0]
        return f"--seeds {n} means one seed, the number {n}; for {n} seeds, give --seeds 0:{n - 1}"

    def of_study(self) -> Self:
        """These settings without the options that hold for a single command only."""
        return dataclasses.replace(self, time_budget=None, max_failures=None)

    def differences(self, other: "StudySettings") -> dict[str, tuple[str, str]]:
        """Both values of each setting that differs, as texts, by its flag; empty for the same study.

        Operational settings are left out. Hyper-parameters are compared in `space`, with defaults filled in,
        so that it does not matter whether the user gave a value or left it to the default.
        """
        found = {}
        for one in dataclasses.fields(self):
            if one.name not in (*OPERATIONAL, "hyperparameters", "space"):
                mine, theirs = getattr(self, one.name), getattr(other, one.name)
                if mine != theirs:
                    found[flag_of(one.name)] = (_shown(mine), _shown(theirs))
        for method in self.space | other.space:
            texts, others = self.space.get(method, {}), other.space.get(method, {})
            for column in texts | others:
                if texts.get(column) != others.get(column):
                    both = (_shown(texts.get(column)), _shown(others.get(column)))
                    found.setdefault(flag_of(column), both)
        return found

    def to_toml(self) -> str:
        """study.toml; settings that are None are left out, so that they read back as None."""
        flat = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        return tomli_w.dumps({k: list(v) if isinstance(v, tuple) else v for k, v in flat.items()})

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Inverse of `to_toml`. Raises UserError for text that is not TOML or an unknown name."""
        return cls.from_dict(parse_toml(text))

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """Settings by name, also those of version 1; missing ones take their defaults. Raises UserError."""
        known = {f.name for f in dataclasses.fields(cls)}
        flat = modern(flat)
        for key, value in flat.items():
            if key not in known:
                raise UserError(f"'{key}' is not a setting of a study: {nearest(key, known)}")
            if key in ("hyperparameters", "space") and not isinstance(value, dict):
                raise UserError(f"{key} is {value!r}, but it is a table: correct the file")
        return cls(**flat)


def modern(flat: dict[str, Any]) -> dict[str, Any]:
    """Settings with names of version 1 as this version names them."""
    made: dict[str, Any] = {}
    given: dict[str, str] = {}
    for key, value in flat.items():
        key = FORMER_NAMES.get(key, key)
        if key in ("iterations", "batch_size"):  # settings of version 1, hyper-parameters now
            given[key] = str(value)
        elif key == "tf32":  # a setting of its own until --precision had it
            given |= {"precision": "tf32"} if value else {}
        elif key == "split_seeds" and isinstance(value, int):
            made[key] = (value,)
        else:
            made[key] = value
    texts = made.get("hyperparameters")
    if given or texts:
        renamed = {FORMER.get(k, k): v for k, v in texts.items()} if isinstance(texts, dict) else {}
        made["hyperparameters"] = given | renamed
    return made


def stored_part(path: Path) -> dict[str, Any]:
    """The settings in a file such as study.toml. Raises UserError."""
    try:
        flat = modern(parse_toml(path.read_text()))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise UserError(f"--config is {path}, but it cannot be read ({reason}): give a study.toml") from None
    whole = StudySettings.from_dict({"dataset": "-", "name": "-"} | flat)
    return {name: getattr(whole, name) for name in flat}


def declared_settings() -> dict[str, Setting]:
    """The settings that have a flag, by name."""
    return declared(StudySettings)
