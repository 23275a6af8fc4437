"""The settings of one training: a value that can be stored, compared and run again."""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emargin_train.errors import UserError, nearest

OBJECTIVE_NAMES = (
    "infonce",
    "emargin",
    "emargin-released",
    "infonce-released",
    "emargin-adjacent",
    "emargin-semi",
    "supervised",
)
REFERENCE_NAMES = ("raw", "log-raw", "pca", "random")
# Which knobs an objective reads; in results the others are null.
MARGIN_KNOBS = (
    "gate",
    "threshold",
    "dissimilar_share",
    "margin",
    "temperature",
    "neighbours",
    "similar_sign",
    "gamma",
)
KNOBS = {
    "infonce": ("temperature", "neighbours"),
    "emargin": MARGIN_KNOBS,
    "emargin-released": ("threshold", "margin", "temperature", "neighbours"),
    "infonce-released": ("temperature", "neighbours"),
    "emargin-adjacent": ("gate", "threshold", "dissimilar_share", "margin", "temperature", "neighbours"),
    "emargin-semi": (*MARGIN_KNOBS, "label_share", "supervised_term", "supervised_weight"),
    "supervised": (),
}
ALL_KNOBS = KNOBS["emargin-semi"]
GATES = ("intended", "all-similar", "all-dissimilar", "random", "oracle", "released")


def _choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"{name} is '{value}': {nearest(value, known)}")


def _within(name: str, value: float, low: float, high: float, why: str, *, above: bool = False) -> None:
    """low <= value <= high (low < value with `above`), and finite."""
    if not math.isfinite(value) or value > high or value < low or (above and value == low):
        bound = f"above {low:g}" if above else f"from {low:g}"
        top = "" if high == math.inf else f" to {high:g}"
        raise UserError(f"{name} is {value}, but {why}: give a value {bound}{top}")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which frames: dataset, split and noise."""

    dataset: str = "sleepeeg-sim"  # name in data.catalogue.DATASETS, ucr:<name>, or a path ending in .toml
    data_dir: str | None = None  # folder of the raw files; None = downloaded or simulated
    subjects: int | None = None  # the first so many subjects; None = all
    sequence_length: int | None = None  # T; None = the dataset's own
    split: str = "subject"  # subject | time | released
    split_seed: int = 0
    framing: str = "magnitude"  # what the encoder sees: magnitude | log; pseudo-labels always use magnitudes
    snr_db: float | None = None  # None = no noise added
    noise_kind: str = "white"
    noise_on: str = "all"  # all | train | eval
    noise_seed: int = 0
    evaluation_frames: int = 5000  # measured of a side, at most; probes learn from 3 times as many

    def __post_init__(self) -> None:
        _choice("split", self.split, ("subject", "time", "released"))
        _choice("framing", self.framing, ("magnitude", "log"))
        _choice("noise_on", self.noise_on, ("all", "train", "eval"))
        _choice(
            "noise_kind",
            self.noise_kind,
            ("white", "pink", "baseline-wander", "hum-50", "hum-60", "electrode-motion"),
        )
        if self.snr_db is not None:
            _within("snr_db", self.snr_db, -100, 100, "it is a ratio in decibels")
        _within("evaluation_frames", self.evaluation_frames, 50, math.inf, "metrics need frames to rest on")
        if self.subjects is not None:
            _within("subjects", self.subjects, 2, math.inf, "a split needs two sides")
        if self.sequence_length is not None:
            _within("sequence_length", self.sequence_length, 3, math.inf, "a frame needs two neighbours")

    @property
    def dataset_name(self) -> str:
        """As in results: of a TOML file, its name without folder and ending."""
        return Path(self.dataset).stem if self.dataset.endswith(".toml") else self.dataset


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The encoder's shape; defaults as in the paper's released code."""

    head: str = (
        "none"  # none | linear | mlp; the contrast is taken after it, everything is evaluated before it
    )
    kernel_size: int = 1  # odd; 1 encodes each frame by itself

    def __post_init__(self) -> None:
        _choice("head", self.head, ("none", "linear", "mlp"))
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise UserError(
                f"kernel_size is {self.kernel_size}, but a frame is in the middle of its kernel: "
                "give an odd number"
            )


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """One objective and its knobs; it ignores those that it does not read (see KNOBS)."""

    name: str = "emargin"  # key of objectives.OBJECTIVES
    gate: str = "intended"  # where the labels y of the margin kernel come from
    threshold: float | None = 0.4  # cosine below which adjacent frames are dissimilar; -1 to 1
    dissimilar_share: float | None = None  # or: share of training steps to call dissimilar; 0 to 1
    margin: float = 5.0  # m >= 0; for emargin-adjacent the raise of a logit, in cosine units, 0 to 1
    temperature: float = 0.1  # tau > 0, divides cosines
    neighbours: int = 2  # 2: both adjacent frames are positives; 1: the next one
    similar_sign: int = -1  # sigma of the kernel's similar part
    gamma: float = 0.05  # scale of the kernel in the logit
    label_share: float | None = (
        None  # emargin-semi: share of training sequences whose labels are seen; 0 to 1
    )
    supervised_term: str = "contrastive"  # emargin-semi: contrastive | cross-entropy
    supervised_weight: float = 1.0  # emargin-semi: weight of that term, >= 0

    def __post_init__(self) -> None:
        _choice("objective", self.name, OBJECTIVE_NAMES)
        _choice("gate", self.gate, GATES)
        _choice("supervised_term", self.supervised_term, ("contrastive", "cross-entropy"))
        if self.threshold is not None:
            _within("threshold", self.threshold, -1, 1, "it is a cosine")
        if self.dissimilar_share is not None:
            _within("dissimilar_share", self.dissimilar_share, 0, 1, "it is a share of steps")
            if self.threshold is not None:
                raise UserError(
                    f"threshold is {self.threshold} and dissimilar_share {self.dissimilar_share}, "
                    "but one determines the other: give one"
                )
        if self.name == "emargin-adjacent":
            _within("margin", self.margin, 0, 1, "emargin-adjacent adds it to a cosine")
        _within("margin", self.margin, 0, math.inf, "a margin is a distance")
        _within("temperature", self.temperature, 0, math.inf, "it divides cosines", above=True)
        _within("gamma", self.gamma, 0, math.inf, "it scales the kernel")
        _within("supervised_weight", self.supervised_weight, 0, math.inf, "it weighs a loss")
        if self.neighbours not in (1, 2):
            raise UserError(
                f"neighbours is {self.neighbours}, but a frame has one next or two adjacent frames: "
                "give 1 or 2"
            )
        if self.similar_sign not in (-1, 1):
            raise UserError(f"similar_sign is {self.similar_sign}, but it is a sign: give -1 or 1")
        if self.label_share is not None:
            _within("label_share", self.label_share, 0, 1, "it is a share of sequences")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that determines one training. Optimizer as in the paper: AdamW, no weight decay."""

    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    iterations: int = 600
    batch_size: int = 8
    learning_rate: float = 1e-3
    seed: int = 0
    report_every: int = 50

    def __post_init__(self) -> None:
        _within("iterations", self.iterations, 1, math.inf, "a training has steps")
        _within("batch_size", self.batch_size, 1, math.inf, "a step needs sequences")
        _within("learning_rate", self.learning_rate, 0, math.inf, "it scales a step", above=True)
        _within("report_every", self.report_every, 1, math.inf, "it counts steps")
        _within("seed", self.seed, 0, 2**31, "it seeds generators")

    def to_dict(self) -> dict[str, Any]:
        """One flat dictionary by the column names of results.parquet; the objective's name is `objective`."""
        flat: dict[str, Any] = {}
        for part in (self.data, self.encoder, self.objective):
            flat |= dataclasses.asdict(part)
        flat["objective"] = flat.pop("name")
        own = ("iterations", "batch_size", "learning_rate", "seed", "report_every")
        return flat | {name: getattr(self, name) for name in own}

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> "TrainConfig":
        """Inverse of `to_dict`; missing names take their defaults, unknown ones are refused."""
        flat = dict(flat)
        if "objective" in flat:
            flat["name"] = flat.pop("objective")
        if flat.get("dissimilar_share") is not None:
            flat.setdefault("threshold", None)
        parts: dict[str, Any] = {}
        for name, part in (("data", DataConfig), ("encoder", EncoderConfig), ("objective", ObjectiveConfig)):
            known = {f.name for f in dataclasses.fields(part)}
            parts[name] = part(**{key: flat.pop(key) for key in known & flat.keys()})
        known = {f.name for f in dataclasses.fields(cls)}
        for key in flat:
            if key not in known:
                raise UserError(f"'{key}' is not a setting: {nearest(key, known)}")
        return cls(**parts, **flat)

    def digest(self) -> str:
        """12 hex digits of the settings without the seed and folders: equal for the seeds of one trial."""
        flat = {k: v for k, v in self.to_dict().items() if k not in ("seed", "report_every", "data_dir")}
        flat["dataset"] = self.data.dataset_name
        return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:12]
