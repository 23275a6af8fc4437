"""Every dataset by name: how to read, frame and label it, and the paper's settings for it.

To add one, write a module with a function `parts(config: DataConfig) -> list[Part]` (recording.py) that
lists what there is without reading signals, and register it below. Import heavy libraries inside the
functions that need them. Families of datasets (`ucr:<name>`, `my.toml`) make their `Dataset` in `find`.
"""

from functools import partial

from emargin_train.data import (
    ecg,
    harth,
    simulated_activity,
    simulated_ecg,
    simulated_sleep,
    sleepeeg,
    table,
    ucr,
)
from emargin_train.data.dataset import Dataset
from emargin_train.data.released import Pack, or_packed, packed_parts
from emargin_train.errors import UserError, nearest

DATASETS: dict[str, Dataset] = {}


def register(dataset: Dataset) -> None:
    """Make a dataset known by its name."""
    assert dataset.name not in DATASETS, dataset.name
    DATASETS[dataset.name] = dataset


def find(name: str) -> Dataset:
    """The dataset of that name; `ucr:<name>` and paths ending in `.toml` are made on the spot."""
    if name.endswith(".toml"):
        return table.dataset(name)
    if name.startswith("ucr:"):
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
                "wake is left out beyond half an hour around sleep"
                if trimmed
                else "all wake before and after sleep is kept"
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
        title="ECG rhythms: WFDB records with rhythm annotations, as MIT-BIH AFDB has them",
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
