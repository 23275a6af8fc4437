"""`describe --check`: what is doubtful in each recording, with the key of the description that settles it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from emargin_train.data.dataset import Dataset
from emargin_train.data.recording import UNLABELLED, Recording
from emargin_train.data.sequences import checked, read_all
from emargin_train.data.settings import DataConfig
from emargin_train.data.text_tables import MISSING

FLAT_S = 1.0  # a channel that does not change for so long is flat
FLAT_SHARE = 0.01  # of a recording, above which flat stretches are doubtful
CLIPPED_SHARE = 0.001  # samples at one of both ends of the values, likewise
RANGE_SLACK = 0.01  # of the physical range; resampling overshoots a little
POINTS = 240  # of a picture


@dataclass
class Checked:
    """One record: all of its stretches together. Counts are of samples at `rate_hz`."""

    record: str
    subject: str
    rate_hz: float
    units: tuple[str, ...]
    class_names: tuple[str, ...]
    stated_hz: float | None = None
    derived_hz: float | None = None
    merged: int = 0
    stretches: int = 0
    samples: int = 0
    unlabelled: int = 0
    changes: int = 0
    outside: int = 0
    clipped: int = 0
    flat: int = 0
    doubts: list[str] = field(default_factory=list)
    picture: list[tuple[float, float]] = field(default_factory=list)  # lowest and highest of POINTS pieces

    def add(self, recording: Recording) -> None:
        signal, source = recording.signal, recording.source
        self.stretches += 1
        self.samples += signal.shape[1]
        self.unlabelled += int((recording.labels == UNLABELLED).sum())
        self.changes += int((np.diff(recording.labels) != 0).sum())
        self.stated_hz, self.derived_hz, self.merged = source.stated_hz, source.derived_hz, source.merged
        self.flat += int(flat(signal, recording.rate_hz).sum())
        self.clipped += int(clipped(signal).sum())
        if len(source.lowest) == len(signal):
            self.outside += int(outside(signal, source.lowest, source.highest).sum())
        self.doubts = list(dict.fromkeys([*self.doubts, *source.doubts]))
        if signal.shape[1] > 1 and len(self.picture) < 4 * POINTS:
            size = max(1, signal.shape[1] // POINTS)
            whole = signal[0, : signal.shape[1] // size * size].reshape(-1, size)
            self.picture += list(zip(whole.min(1).tolist(), whole.max(1).tolist(), strict=True))

    def all_doubts(self) -> list[str]:
        """One line each."""
        lines = list(self.doubts)
        n = max(1, self.samples)
        if self.outside:
            lines.append(
                f"{self.outside:,} samples lie outside the physical range of the header: check units, or "
                "leave the record out of files"
            )
        if self.flat > FLAT_SHARE * n:
            lines.append(
                f"{self.flat / n:.1%} of the samples are flat for {FLAT_S:g} s or longer: leave the record "
                "out of files, or these stretches unlabelled"
            )
        if self.clipped > CLIPPED_SHARE * n:
            lines.append(
                f"{self.clipped / n:.1%} of the samples sit at an end of the range (clipped): leave the "
                "record out of files, or these stretches unlabelled"
            )
        if self.unlabelled == self.samples:
            lines.append("no sample has a label: check [labels], or leave the record out of files")
        return lines

    def line(self) -> str:
        n, seconds = max(1, self.samples), self.samples / self.rate_hz
        rates = f"{self.rate_hz:g} Hz"
        if self.stated_hz is not None or self.derived_hz is not None:
            stated = "not stated" if self.stated_hz is None else f"stated {self.stated_hz:g}"
            derived = "" if self.derived_hz is None else f", derived {self.derived_hz:g}"
            rates += f" ({stated}{derived})"
        unit = "/".join(dict.fromkeys(self.units)) or "-"
        return (
            f"  {self.record:<24} {seconds:>10,.1f} s  {rates}  {unit}  gaps {self.stretches - 1}, merged "
            f"{self.merged}, unlabelled {self.unlabelled / n:.1%}, changes {self.changes}, "
            f"outside {self.outside}, flat {self.flat / self.rate_hz:,.1f} s, clipped {self.clipped / n:.2%}"
        )


def check(dataset: Dataset, config: DataConfig) -> list[Checked]:
    """Every record, in order of reading; the whole set is read once."""
    found: dict[str, Checked] = {}
    for _, recording in checked(dataset, read_all(dataset.parts(config), config.subjects)):
        own = found.setdefault(
            recording.record,
            Checked(
                recording.record,
                recording.subject,
                recording.rate_hz,
                recording.units,
                recording.class_names,
            ),
        )
        own.add(recording)
    return list(found.values())


def of_classes(class_names: tuple[str, ...]) -> Iterator[str]:
    """Classes that may be a missing value."""
    for name in class_names:
        if name in MISSING or name.lower() in ("none", "unknown", "?"):
            yield (
                f"class '{name}' may stand for a missing value: leave it out of classes or labels.map "
                "to have it unlabelled"
            )


def flat(signal: np.ndarray, rate_hz: float) -> np.ndarray:
    """(n,) bool: samples of stretches in which some channel does not change for FLAT_S."""
    least = max(2, round(FLAT_S * rate_hz))
    out = np.zeros(signal.shape[1], bool)
    for channel in signal:
        edges = np.flatnonzero(np.diff(channel, prepend=np.nan, append=np.nan) != 0)
        for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if b - a >= least:
                out[a:b] = True
    return out


def clipped(signal: np.ndarray) -> np.ndarray:
    """(n,) bool: samples at the lowest or highest value of a channel, next to another one there."""
    out = np.zeros(signal.shape[1], bool)
    for channel in signal:
        if len(channel) and channel.min() < channel.max():
            for end in (channel.min(), channel.max()):
                at = channel == end
                out[1:] |= at[1:] & at[:-1]
    return out


def outside(signal: np.ndarray, lowest: tuple[float, ...], highest: tuple[float, ...]) -> np.ndarray:
    """(n,) bool: samples of which some channel lies outside its physical range."""
    low, high = np.array(lowest)[:, None], np.array(highest)[:, None]
    slack = RANGE_SLACK * (high - low)
    return ((signal < low - slack) | (signal > high + slack)).any(0)
