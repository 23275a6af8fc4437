"""`describe --check` lists what is doubtful in each recording, and which key of a description settles it."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from emargin_train.data.dataset import Dataset
from emargin_train.data.recording import UNLABELLED, Native, Recording
from emargin_train.data.sequences import checked, read_all
from emargin_train.data.settings import DataConfig
from emargin_train.data.text_tables import MISSING

FLAT_S = 5.0  # a channel that does not change for so long is flat
COARSE = 100  # different values of a sensor with coarse steps, at most
FLAT_SAMPLES = 10  # that are alike, at least
FLAT_SHARE = 0.01  # of a recording, above which flat stretches are doubtful
CLIPPED_RUN = 3  # samples in a row at the lowest or highest value of a channel are clipped
CLIPPED_SHARE = 0.001  # of the samples, above which clipping is doubtful
CLIPPED_LEAST = 10  # samples
SENTINELS = 3  # samples of one value, far from all others, that may stand for missing ones
FAR = 10.0  # times as far from 0 as all others
OTHER_SCALE = 50.0  # by which a record may be larger or smaller than the others
FEWEST = 3  # records from which on they can be compared
RANGE_SLACK = 0.01  # of the physical range: scaling rounds
POINTS = 240  # of a picture


@dataclass
class Checked:
    """One record: all of its stretches together.

    samples, unlabelled, changes: at `rate_hz`
    read, read_s, outside, clipped, flat_s, sentinels: of the samples as the files have them
    sizes: by unit, the absolute value that a hundredth of the samples exceed
    """

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
    read: int = 0
    outside: int = 0
    clipped: int = 0
    flat_s: float = 0.0
    read_s: float = 0.0
    sentinels: dict[float, int] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)
    scales: list[str] = field(default_factory=list)  # doubts that follow from the other records
    doubts: list[str] = field(default_factory=list)
    picture: list[tuple[float, float]] = field(default_factory=list)  # lowest and highest of POINTS pieces

    def add(self, recording: Recording) -> None:
        signal, source = recording.signal, recording.source
        self.stretches += 1
        self.samples += signal.shape[1]
        self.unlabelled += int((recording.labels == UNLABELLED).sum())
        self.changes += int((np.diff(recording.labels) != 0).sum())
        self.stated_hz, self.derived_hz, self.merged = source.stated_hz, source.derived_hz, source.merged
        if not source.native:
            self.look_at(Native(signal, recording.rate_hz, source.lowest, source.highest))
        elif self.stretches == 1:  # the files hold all stretches
            for native in source.native:
                self.look_at(native)
        for unit, channel in zip(recording.units, signal, strict=True):
            size = float(np.quantile(np.abs(channel), 0.99)) if channel.size else 0.0
            self.sizes[unit] = max(self.sizes.get(unit, 0.0), size)
        self.doubts = list(dict.fromkeys([*self.doubts, *source.doubts]))
        if signal.shape[1] > 1 and len(self.picture) < 4 * POINTS:
            size = max(1, signal.shape[1] // POINTS)
            whole = signal[0, : signal.shape[1] // size * size].reshape(-1, size)
            self.picture += list(zip(whole.min(1).tolist(), whole.max(1).tolist(), strict=True))

    def look_at(self, native: Native) -> None:
        """Count what is odd in the samples of a file."""
        values, rate_hz = native.values, native.rate_hz
        self.read += values.shape[1]
        self.clipped += int(clipped(values).sum())
        if rate_hz is not None:
            self.read_s += values.shape[1] / rate_hz
            self.flat_s += float(flat(values, rate_hz).sum()) / rate_hz
        if len(native.lowest) == len(values):
            self.outside += int(outside(values, native.lowest, native.highest).sum())
        for value, count in sentinels(values).items():
            self.sentinels[value] = self.sentinels.get(value, 0) + count

    def all_doubts(self) -> list[str]:
        """One line each."""
        lines = [*self.doubts, *self.scales]
        n = max(1, self.read)
        if self.outside:
            lines.append(
                f"{self.outside:,} samples lie outside the physical range of the header: check units, or "
                "leave the record out of files"
            )
        if self.flat_s > FLAT_SHARE * self.read_s:
            lines.append(
                f"{self.flat_s / self.read_s:.1%} of its time is flat for {FLAT_S:g} s or longer: leave the "
                "record out of files, or these stretches unlabelled"
            )
        for value, count in self.sentinels.items():
            lines.append(
                f"{count:,} samples are {value:g}, far from all others: if that stands for a missing sample, "
                "leave these cells empty in its files"
            )
        if self.clipped > CLIPPED_SHARE * n and self.clipped >= CLIPPED_LEAST:
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
            f"outside {self.outside}, flat {self.flat_s:,.1f} s, "
            f"clipped {self.clipped / max(1, self.read):.2%}"
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
    records = list(found.values())
    compare_scales(records)
    return records


def compare_scales(records: list[Checked]) -> None:
    """Doubt records whose values are far larger or smaller than those of most, as in another unit."""
    if len(records) < FEWEST:
        return
    for unit in dict.fromkeys(unit for record in records for unit in record.sizes):
        usual = float(np.median([record.sizes.get(unit, 0.0) for record in records]))
        for record in records:
            own = record.sizes.get(unit, 0.0)
            if own > 0 and usual > 0 and not 1 / OTHER_SCALE < own / usual < OTHER_SCALE:
                record.scales.append(
                    f"its values{f' in {unit}' if unit else ''} are {own / usual:.3g} times as large as "
                    "those of most records: check units in [[signal]], and that its file has the same unit"
                )


def of_classes(class_names: tuple[str, ...]) -> Iterator[str]:
    """Classes that may be a missing value, or one class written in two ways."""
    alike: dict[str, str] = {}
    for name in class_names:
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        other = alike.setdefault(plain, name)
        if other != name:
            yield (
                f"classes '{other}' and '{name}' differ only in case, spaces or signs that look alike: if "
                "they are one class, join them by labels.map"
            )
        if name in MISSING or name.lower() in ("none", "unknown", "?"):
            yield (
                f"class '{name}' may stand for a missing value: leave it out of classes or labels.map "
                "to have it unlabelled"
            )


def flat(signal: np.ndarray, rate_hz: float) -> np.ndarray:
    """(n,) bool: samples of stretches in which some channel does not change for FLAT_S.

    A sensor with coarse steps holds a value for long where it rests: it is flat only if it never changes.
    """
    out = np.zeros(signal.shape[1], bool)
    for channel in signal:
        if not coarse(channel):
            out |= runs(channel) >= max(FLAT_SAMPLES, round(FLAT_S * rate_hz))
    return out


def coarse(channel: np.ndarray) -> bool:
    """Whether a channel has few values, and mostly the one that it had before."""
    if len(channel) < 2 or (np.diff(channel) == 0).mean() < 0.5:
        return False
    return 1 < len(np.unique(channel)) <= COARSE


def runs(channel: np.ndarray) -> np.ndarray:
    """(n,) int64: for each sample, how many samples in a row have its value."""
    edges = np.flatnonzero(np.diff(channel, prepend=np.nan, append=np.nan) != 0)
    lengths = np.diff(edges)
    return np.repeat(lengths, lengths)


def clipped(signal: np.ndarray) -> np.ndarray:
    """(n,) bool: samples at the lowest or highest value of a channel, CLIPPED_RUN in a row or more."""
    out = np.zeros(signal.shape[1], bool)
    for channel in signal:
        if len(channel) and channel.min() < channel.max() and not coarse(channel):
            out |= ((channel == channel.min()) | (channel == channel.max())) & (runs(channel) >= CLIPPED_RUN)
    return out


def sentinels(signal: np.ndarray) -> dict[float, int]:
    """Lowest or highest values that come SENTINELS times or more and are far from all others; how often."""
    found: dict[float, int] = {}
    for channel in signal:
        for end in (channel.min(), channel.max()) if channel.size else ():
            others = channel[channel != end]
            count = len(channel) - len(others)
            if count >= SENTINELS and 0 < FAR * np.abs(others).max(initial=0.0) < abs(end):
                found[float(end)] = found.get(float(end), 0) + count
    return found


def outside(signal: np.ndarray, lowest: tuple[float, ...], highest: tuple[float, ...]) -> np.ndarray:
    """(n,) bool: samples of which some channel lies outside its physical range."""
    low, high = np.array(lowest)[:, None], np.array(highest)[:, None]
    slack = RANGE_SLACK * (high - low)
    return ((signal < low - slack) | (signal > high + slack)).any(0)
