"""Which frames a training sees: the dataset, its split, and the noise that is added."""

from dataclasses import dataclass
from pathlib import Path

from emargin_train.settings import Settings, hyperparameter, setting

SPLITS = ("subject", "leave-one-subject-out", "time", "released")
NOISES = ("white", "pink", "baseline-wander", "hum-50", "hum-60", "electrode-motion")


@dataclass(frozen=True, kw_only=True)
class DatasetSettings(Settings):
    """What all trainings of a study share: the dataset, the kind of its split, and the kind of noise."""

    dataset: str = setting(
        "sleepeeg-sim",
        "The dataset is sleepeeg, harth, ecg, one of their simulated twins sleepeeg-sim, harth-sim and "
        "ecg-sim, ucr:<name>, or a .toml file that describes your own recordings.",
        metavar="NAME",
    )
    data_dir: str | None = setting(
        None,
        "The recordings are in this folder. Without it they are downloaded, or simulated.",
        metavar="DIR",
    )
    subjects: int | None = setting(
        None, "Only the first N subjects are used.", metavar="N", low=2, why="a split needs two subjects"
    )
    sequence_length: int | None = setting(
        None,
        "A sequence has T frames (the default is the dataset's own length).",
        metavar="T",
        low=3,
        why="a frame needs two neighbours",
    )
    split: str = setting(
        "subject",
        "Recordings are divided into training, validation and test: by subject, one subject left out "
        "as test, by time within recordings, or as the paper's released code divides them.",
        metavar="KIND",
        choices=SPLITS,
    )
    noise_kind: str = setting(
        "white", "The noise that --snr-db adds is of this kind.", metavar="KIND", choices=NOISES
    )
    noise_on: str = setting(
        "all",
        "These splits get the noise: all, train, or eval (validation and test).",
        metavar="SPLITS",
        choices=("all", "train", "eval"),
    )
    noise_seed: int = setting(
        0, "The noise is drawn from this seed.", metavar="N", low=0, why="it seeds a generator"
    )
    evaluation_frames: int = setting(
        5000,
        "At most N frames of a split are measured; probes learn from at most 3 N training frames.",
        metavar="N",
        low=50,
        why="metrics are computed from frames",
    )

    clusters: int | None = setting(
        None,
        "KMeans looks for K clusters (default: as many as there are classes; recordings without labels need "
        "it).",
        metavar="K",
        low=2,
        why="one cluster has no score",
    )

    @property
    def dataset_name(self) -> str:
        """As in results: of a TOML file, its name without folder and ending."""
        return Path(self.dataset).stem if self.dataset.endswith(".toml") else self.dataset


@dataclass(frozen=True, kw_only=True)
class DataConfig(DatasetSettings):
    """All that decides the frames of one training."""

    split_seed: int = setting(
        0,
        "This seed decides which subjects belong to training, validation and test.",
        metavar="N",
        low=0,
        why="it seeds a generator",
    )
    spectrum_scale: str = hyperparameter(
        "magnitude",
        "The encoder sees magnitudes, or log(1 + magnitude / typical magnitude). Pseudo-labels always use "
        "magnitudes.",
        metavar="KIND",
        choices=("magnitude", "log"),
        formerly="framing",
    )
    snr_db: float | None = hyperparameter(
        None,
        "Noise is added to the signals at this signal-to-noise ratio, in decibels.",
        title="SNR (dB)",
        metavar="DB",
        low=-100,
        high=100,
        why="it is a ratio in decibels",
    )
