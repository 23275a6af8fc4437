"""Every dataset by name: how to read, frame and label it, and the paper's settings for it.

To add one, write a module with a function `parts(config: DataConfig) -> list[Part]` (recording.py) that
lists what there is without reading signals, and register it below. Import heavy libraries inside the
functions that need them. Families of datasets (`ucr:<name>`, `my.toml`) build their `Dataset` in `find`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from emargin_train.data import ecg, harth, simulated_activity, simulated_ecg, simulated_sleep, sleepeeg
from emargin_train.data.recording import Part
from emargin_train.data.released import Pack, or_packed, packed_parts
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError, nearest


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One dataset and its defaults; frames are given in seconds, so that any sampling rate keeps them."""

    name: str
    title: str
    parts: Callable[[DataConfig], list[Part]]
    frame_seconds: float
    hop_seconds: float
    sequence_length: int  # T, frames
    normalise: str = "none"  # none | channel: mean 0, deviation 1 per channel, by training data alone
    released_share: float = 0.8  # `split = released`: share of the sequences that is for training
    class_names: tuple[str, ...] | None = None  # None: as the recordings say
    simulated: bool = False
    twin: str | None = None  # its simulated counterpart
    iterations: int = 600
    margin: float = 5.0
    temperature: float = 0.1

    def frame_and_hop(self, rate_hz: float) -> tuple[int, int]:
        """Both in samples at this rate."""
        frame, hop = round(self.frame_seconds * rate_hz), round(self.hop_seconds * rate_hz)
        if frame < 2 or hop < 1:
            raise UserError(
                f"frames of {self.frame_seconds:g} s, {self.hop_seconds:g} s apart, are {frame} and {hop} "
                f"samples at {rate_hz:g} Hz, but need 2 and 1: give longer frames"
            )
        return frame, hop


DATASETS: dict[str, Dataset] = {}


def register(dataset: Dataset) -> None:
    """Make a dataset known by its name."""
    assert dataset.name not in DATASETS, dataset.name
    DATASETS[dataset.name] = dataset


def find(name: str) -> Dataset:
    """The dataset of that name; `ucr:<name>` and paths ending in `.toml` are made on the spot."""
    if name.endswith(".toml"):
        from emargin_train.data import table

        return table.dataset(name)
    if name.startswith("ucr:"):
        from emargin_train.data import ucr

        return ucr.dataset(name)
    if name not in DATASETS:
        known = [*DATASETS, "ucr:<name>", "<path>.toml"]
        raise UserError(f"dataset is '{name}': {nearest(name, known)}")
    return DATASETS[name]


for name, trimmed in (("sleepeeg", True), ("sleepeeg-untrimmed", False)):
    register(
        Dataset(
            name=name,
            title="Sleep-EDF Expanded: nights, Fpz-Cz at 100 Hz, 5 stages; "
            + (
                "wake beyond half an hour around sleep left out"
                if trimmed
                else "wake before and after sleep whole"
            ),
            parts=or_packed(partial(sleepeeg.parts, trimmed=trimmed), Pack(100.0, sleepeeg.CLASS_NAMES)),
            class_names=sleepeeg.CLASS_NAMES,
            twin="sleepeeg-sim",
            frame_seconds=1.78,
            hop_seconds=1.78,
            sequence_length=200,
        )
    )
register(
    Dataset(
        name="sleepeeg-sim",
        title="Simulated sleep EEG: 10 nights of 3 hours, one channel at 100 Hz, 5 stages",
        parts=simulated_sleep.parts,
        class_names=simulated_sleep.STAGES,
        simulated=True,
        frame_seconds=1.78,
        hop_seconds=1.78,
        sequence_length=200,
    )
)
register(
    Dataset(
        name="ecg",
        title="ECG rhythms: MIT-BIH AFDB, or WFDB records annotated like it",
        parts=or_packed(ecg.parts, Pack(250.0, ecg.CLASS_NAMES)),
        class_names=ecg.CLASS_NAMES,
        twin="ecg-sim",
        frame_seconds=6.0,
        hop_seconds=3.0,
        sequence_length=200,
        iterations=200,
        margin=100.0,
        temperature=0.5,
    )
)
register(
    Dataset(
        name="harth",
        title="HARTH: back and thigh accelerations at 50 Hz, 12 activities",
        parts=harth.parts,
        class_names=harth.CLASS_NAMES,
        twin="harth-sim",
        frame_seconds=1.0,
        hop_seconds=0.5,
        sequence_length=119,
        normalise="channel",
        released_share=0.5,
        temperature=0.05,
    )
)
register(
    Dataset(
        name="packed",
        title="The paper code's packed files, whatever they hold: a window is a frame",
        parts=partial(packed_parts, pack=Pack(None, None)),
        frame_seconds=1.0,
        hop_seconds=1.0,
        sequence_length=20,
    )
)
register(
    Dataset(
        name="harth-sim",
        title="Simulated activities: 12 half hours, back and thigh accelerations at 50 Hz, 12 classes",
        parts=simulated_activity.parts,
        class_names=simulated_activity.CLASS_NAMES,
        simulated=True,
        frame_seconds=1.0,
        hop_seconds=0.5,
        sequence_length=119,
        normalise="channel",
        released_share=0.5,
        temperature=0.05,
    )
)
register(
    Dataset(
        name="ecg-sim",
        title="Simulated ECG: 12 records of 40 minutes, two leads at 250 Hz, rhythms AFIB, AFL, J, N",
        parts=simulated_ecg.parts,
        class_names=ecg.CLASS_NAMES,
        simulated=True,
        frame_seconds=6.0,
        hop_seconds=3.0,
        sequence_length=200,
        iterations=200,
        margin=100.0,
        temperature=0.5,
    )
)
