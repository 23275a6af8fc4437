"""`sleepeeg`: Sleep-EDF Expanded (PhysioNet sleep-edfx; Kemp et al., IEEE Trans Biomed Eng 2000).

Nights of two files, SC4001E0-PSG.edf and SC4001EC-Hypnogram.edf: record SC4001, second to last digits the
subject and the last one the night; the letter before the dash is the scorer. One channel, Fpz-Cz, at 100
Hz; stages scored in epochs of 30 s by Rechtschaffen and Kales, 3 and 4 taken together as N3.
"""

from functools import partial
from pathlib import Path

import numpy as np

from emargin_train.data import download, edf_files
from emargin_train.data.recording import UNLABELLED, Part, Recording, unbroken
from emargin_train.data.settings import DataConfig
from emargin_train.data.versions import READERS
from emargin_train.errors import UserError

RATE_HZ = 100.0
CHANNEL = "EEG Fpz-Cz"
CLASS_NAMES = ("W", "N1", "N2", "N3", "REM")
STAGES = {
    "Sleep stage W": 0,
    "Sleep stage 1": 1,
    "Sleep stage 2": 2,
    "Sleep stage 3": 3,
    "Sleep stage 4": 3,
    "Sleep stage R": 4,
    "Sleep stage ?": UNLABELLED,
    "Movement time": UNLABELLED,
}
WAKE_S = 30 * 60  # what remains of wake before the first and after the last sleep


def parts(config: DataConfig, *, trimmed: bool = True) -> list[Part]:
    """One part per night, in order of their names; `config.subjects` takes the first so many subjects."""
    folder = download.folder("sleepeeg", config)
    signals = sorted(folder.rglob("S[CT][0-9][0-9][0-9][0-9]*-PSG.edf"))
    if not signals:
        raise UserError(
            f"{folder} holds no file like SC4001E0-PSG.edf: give the folder of Sleep-EDF as --data-dir"
        )
    subjects = sorted({subject_of(path) for path in signals})[: config.subjects]
    found = []
    for signal in signals:
        if subject_of(signal) in subjects:
            files = (signal, hypnogram_of(signal))
            found.append(
                Part(
                    partial(read, *files, trimmed=trimmed),
                    files,
                    f"sleepeeg {READERS['sleepeeg']} trimmed={trimmed}",
                )
            )
    return found


def subject_of(path: Path) -> str:
    """SC400 of SC4001E0-PSG.edf: all nights of one person share it."""
    return path.name[:5]


def hypnogram_of(signal: Path) -> Path:
    """The hypnogram of that night, in the folder of its signal."""
    matches = sorted(signal.parent.glob(f"{signal.name[:6]}*-Hypnogram.edf"))
    if len(matches) != 1:
        what = "no" if not matches else f"{len(matches)} files"
        raise UserError(
            f"{signal.parent} holds {what} {signal.name[:6]}*-Hypnogram.edf: each night needs one"
        )
    return matches[0]


def read(signal: Path, hypnogram: Path, *, trimmed: bool) -> list[Recording]:
    """One night, from half an hour before sleep to half an hour after it where `trimmed`."""
    values, rate_hz, _, units, source = edf_files.channels(signal, [CHANNEL])
    if rate_hz != RATE_HZ:
        raise UserError(f"{signal} has {CHANNEL} at {rate_hz:g} Hz, not {RATE_HZ:g}: give files of Sleep-EDF")
    labels = stages(hypnogram, signal, values.shape[1])
    first, end = sleep_span(labels, hypnogram) if trimmed else (0, len(labels))
    return [
        Recording(
            np.ascontiguousarray(values[:, i:j]),
            RATE_HZ,
            labels[i:j],
            CLASS_NAMES,
            subject_of(signal),
            signal.name[:6],
            (CHANNEL.removeprefix("EEG "),),
            tuple(units),
            start=i,
            source=source,
        )
        for a, b in unbroken(values[:, first:end])
        for i, j in [(first + a, first + b)]
    ]


def stages(hypnogram: Path, signal: Path, n: int) -> np.ndarray:
    """(n,) int16: the stage of each of the signal's samples, -1 where none was scored."""
    notes, clock = edf_files.notes(hypnogram)
    offset_s = edf_files.offset_s(hypnogram, clock, signal, edf_files.clock_of(signal))
    labels = np.full(n, UNLABELLED, np.int16)
    for note in notes:
        if note.text not in STAGES or note.seconds is None or note.seconds < 0:
            raise UserError(
                f"{hypnogram} has '{note.text[:40]}' for {note.seconds} s, which is not a sleep stage: "
                "it is damaged"
            )
        a = round((note.start_s + offset_s) * RATE_HZ)
        b = round((note.start_s + note.seconds + offset_s) * RATE_HZ)
        labels[max(0, a) : max(0, b)] = STAGES[note.text]
    return labels


def sleep_span(labels: np.ndarray, hypnogram: Path) -> tuple[int, int]:
    """First and end sample of sleep with half an hour around."""
    asleep = np.flatnonzero(labels > 0)
    if len(asleep) == 0:
        raise UserError(f"{hypnogram} scores no sleep during the signal: leave this night out")
    around = int(WAKE_S * RATE_HZ)
    return max(0, int(asleep[0]) - around), min(len(labels), int(asleep[-1]) + 1 + around)
