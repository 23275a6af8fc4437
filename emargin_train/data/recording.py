"""What every reader returns."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

UNLABELLED = -1


@dataclass(frozen=True)
class Native:
    """Samples of one sensor as its file has them, without a gap.

    values: (C, n) float32; rate_hz: None where samples come unevenly, as beats do
    lowest, highest: the physical range of each channel by the file's header; empty = not stated
    """

    values: np.ndarray
    rate_hz: float | None
    lowest: tuple[float, ...] = ()
    highest: tuple[float, ...] = ()


@dataclass(frozen=True)
class Source:
    """What a reader found in the files of a recording, for `describe` and its `--check`.

    channels: names in the file, where they are not those of the recording
    stated_hz, derived_hz: samples per second as a header or the description states, or as time stamps tell
    merged: samples that share their time stamp with another one and were averaged
    lowest, highest: the physical range of each channel by the file's header; empty = not stated
    zoned: whether dates state their time zone; None = there are none
    doubts: what the reader was unsure of, one line each, with the key that settles it
    native: all samples of the record as its files have them; empty = they are those of the recording
    """

    channels: tuple[str, ...] = ()
    stated_hz: float | None = None
    derived_hz: float | None = None
    merged: int = 0
    lowest: tuple[float, ...] = ()
    highest: tuple[float, ...] = ()
    zoned: bool | None = None
    doubts: tuple[str, ...] = ()
    native: tuple[Native, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Recording:
    """One continuous stretch of signal of one subject, with a label for each sample.

    A gap in the signal ends a recording: a reader returns the parts before and after it as two
    recordings with the same `record` and different `start`, so frames never cross a gap.

    signal: (C, samples) float32, finite, in `units`
    rate_hz: samples per second, above 0
    labels: (samples,) int16, index into `class_names`, or -1 = unlabelled
    start: index of the first sample within the record, at `rate_hz`
    clean: (C, samples) float32 or None; simulated data only: the signal before noise was added
    source: what the reader found in the files
    """

    signal: np.ndarray
    rate_hz: float
    labels: np.ndarray
    class_names: tuple[str, ...]
    subject: str
    record: str
    channels: tuple[str, ...]
    units: tuple[str, ...]
    start: int = 0
    clean: np.ndarray | None = None
    source: Source = Source()

    def __post_init__(self) -> None:
        where = f"record {self.record} of subject {self.subject}"
        if self.signal.ndim != 2 or self.signal.dtype != np.float32:
            raise TypeError(
                f"{where}: signal is {self.signal.dtype} {self.signal.shape}, not float32 (C, samples)"
            )
        if self.labels.shape != (self.signal.shape[1],) or self.labels.dtype != np.int16:
            raise TypeError(
                f"{where}: labels are {self.labels.dtype} {self.labels.shape}, not int16 (samples,)"
            )
        if not self.rate_hz > 0:
            raise ValueError(f"{where}: rate_hz is {self.rate_hz}, but must be above 0")
        if len(self.channels) != len(self.signal) or len(self.units) != len(self.signal):
            raise ValueError(f"{where}: {len(self.signal)} channels, named {self.channels}, in {self.units}")
        if self.labels.size and not (-1 <= self.labels.min() and self.labels.max() < len(self.class_names)):
            raise ValueError(f"{where}: labels from {self.labels.min()} to {self.labels.max()}")
        if not np.isfinite(self.signal).all():
            raise ValueError(f"{where}: the signal has values that are not finite")
        if self.clean is not None and self.clean.shape != self.signal.shape:
            raise ValueError(f"{where}: clean is {self.clean.shape}, signal {self.signal.shape}")

    @property
    def seconds(self) -> float:
        return self.signal.shape[1] / self.rate_hz


@dataclass(frozen=True)
class Part:
    """Recordings that are read together, often those of one file; a reader lists its parts unread.

    Only one part is in memory at a time, and none at all where its frames are in the cache.

    read: returns or yields the recordings, the same ones at every call
    files: what they are read from; name and content of each are in the cache's key
    settings: everything else that they depend on (codes, options, version of a simulator), as text
    split: "train", "validation" or "test" where the data bring their own split, else ""
    """

    read: Callable[[], Iterable[Recording]]
    files: tuple[Path, ...] = ()
    settings: str = ""
    split: str = ""


def unbroken(signal: np.ndarray) -> list[tuple[int, int]]:
    """First and end sample of each stretch in which all channels of `signal` (C, samples) are finite."""
    finite = np.isfinite(signal).all(0)
    edges = np.flatnonzero(np.diff(finite, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
