"""`harth`: the Human Activity Recognition Trondheim dataset (UCI 779; Logacjov et al., Sensors 2021).

One CSV file per subject: `timestamp`, accelerations of back and thigh in g at 50 Hz, `label`. Steps of
more than five samples between time stamps are gaps and break a recording.
"""

from functools import partial
from pathlib import Path

import numpy as np

from emargin_train.data import download, table_labels, timeline
from emargin_train.data.columns import Words, read_columns
from emargin_train.data.recording import UNLABELLED, Part, Recording
from emargin_train.data.settings import DataConfig
from emargin_train.data.versions import READERS
from emargin_train.errors import UserError

RATE_HZ = 50.0
GAP_S = 5 / RATE_HZ
CHANNELS = ("back_x", "back_y", "back_z", "thigh_x", "thigh_y", "thigh_z")
ACTIVITIES = {
    "1": "walking",
    "2": "running",
    "3": "shuffling",
    "4": "stairs (ascending)",
    "5": "stairs (descending)",
    "6": "standing",
    "7": "sitting",
    "8": "lying",
    "13": "cycling (sit)",
    "14": "cycling (stand)",
    "130": "cycling (sit, inactive)",
    "140": "cycling (stand, inactive)",
}
CLASS_NAMES = tuple(ACTIVITIES.values())


def parts(config: DataConfig) -> list[Part]:
    """One part per subject, in order of their names."""
    folder = download.folder("harth", config)
    files = sorted(folder.rglob("S[0-9][0-9][0-9].csv"))
    if not files:
        raise UserError(
            f"{folder} holds no file like S006.csv: give the folder of HARTH's CSV files as --data-dir"
        )
    return [
        Part(partial(read, file), (file,), f"harth {READERS['harth']}") for file in files[: config.subjects]
    ]


def read(file: Path) -> list[Recording]:
    """The stretches of one subject without gaps."""
    values, (labels,), (time_s,) = read_columns(file, CHANNELS, ["label"], ["timestamp"])
    stretches = timeline.stamped_stretches(values, time_s, RATE_HZ, GAP_S, labels.codes)
    if not stretches:
        raise UserError(f"{file} has no two samples in a row: it is damaged, get it again")
    index = class_index(labels)
    recordings = []
    for stretch in stretches:
        n = int((stretch.end_s - stretch.start_s) * RATE_HZ + 1e-3)
        track = table_labels.of_samples(stretch, labels.words)
        recordings.append(
            Recording(
                timeline.at_rate(stretch, stretch.start_s, n, RATE_HZ),
                RATE_HZ,
                index[track.at(stretch.start_s, n, RATE_HZ)],
                CLASS_NAMES,
                subject=file.stem,
                record=file.stem,
                channels=CHANNELS,
                units=("g",) * len(CHANNELS),
                start=max(0, round((stretch.start_s - stretches[0].start_s) * RATE_HZ)),
            )
        )
    return recordings


def class_index(labels: Words) -> np.ndarray:
    """(words + 1,) int16: class of each label code in the file; of others, and of none: unlabelled."""
    codes = list(ACTIVITIES)
    return np.array(
        [*(codes.index(w) if w in ACTIVITIES else UNLABELLED for w in labels.words), UNLABELLED], np.int16
    )
