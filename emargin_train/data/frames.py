"""Recordings to frames: magnitude spectra in recording order, cut into sequences."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from emargin_train.data.recording import UNLABELLED
from emargin_train.data.signal_spec import SignalSpec
from emargin_train.errors import UserError


@dataclass(frozen=True, repr=False)
class Frames:
    """Sequences of spectra: all that later steps rely on.

    Row n of the other arrays describes sequence `store[rows[n]]`, so a selection copies no spectra.

    store: (M, T, F) float32, magnitudes >= 0, F = channels * bins (bins of a channel side by side);
        read-only, usually memory-mapped
    rows: (N,) int64, which sequences of `store` these are
    y: (N, T) int64, majority label of each frame, -1 = unlabelled
    subject: (N,) str, for splitting only
    record: (N,) str
    start: (N,) int64, index of the sequence's first frame within its record
    samples: gives the raw samples of the frames of `store`, (M, T, channels * samples of a frame); computed
        when it is first called for. None where frames were made without signals
    """

    store: np.ndarray
    rows: np.ndarray
    y: np.ndarray
    subject: np.ndarray
    record: np.ndarray
    start: np.ndarray
    samples: Callable[[], np.ndarray] | None = None

    def __post_init__(self) -> None:
        n, t = len(self.rows), self.store.shape[1]
        if self.store.ndim != 3 or self.store.dtype != np.float32:
            raise TypeError(f"store is {self.store.dtype} {self.store.shape}, not float32 (M, T, F)")
        if self.y.shape != (n, t):
            raise TypeError(f"y is {self.y.shape}, not {(n, t)}")
        for name in ("subject", "record", "start"):
            if getattr(self, name).shape != (n,):
                raise TypeError(f"{name} is {getattr(self, name).shape}, not {(n,)}")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, T, F)"""
        return len(self.rows), self.store.shape[1], self.store.shape[2]

    def __repr__(self) -> str:
        n, t, f = self.shape
        return f"Frames({n} sequences of {t} frames of {f} features, {len(np.unique(self.subject))} subjects)"

    def x(self, which: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Spectra of the chosen sequences, copied out of the store: (len, T, F) float32."""
        return self.store[self.rows[which]]

    def select(self, which: np.ndarray) -> "Frames":
        """The chosen sequences (indices or a mask), sharing the store."""
        return Frames(
            self.store,
            self.rows[which],
            self.y[which],
            self.subject[which],
            self.record[which],
            self.start[which],
            self.samples,
        )

    def of_samples(self) -> "Frames":
        """The same frames with their raw samples in place of their spectra."""
        if self.samples is None:
            raise UserError(
                "the method sees the raw samples of frames, but these frames hold spectra alone: give a "
                "method that sees spectra"
            )
        return replace(self, store=self.samples(), samples=None)


@dataclass(frozen=True)
class Splits:
    """Frames by split; no subject is in two of them (`split = subject`).

    test: None where there are too few subjects for a third split
    magnitude_scale: a typical training magnitude (the median over training sequences of each one's median
        magnitude above 0); `spectrum_scale = log` is log1p(x / magnitude_scale)
    n_dropped: frames in remainders shorter than a sequence, by reason
    described: the split subject by subject and what a user should know, one line each
    signal: what the recordings were; None where frames were made without recordings
    n_channels: channels whose bins the features of a frame are
    """

    train: Frames
    validation: Frames
    test: Frames | None
    class_names: tuple[str, ...]
    data_hash: str
    magnitude_scale: float
    n_dropped: dict[str, int]
    described: tuple[str, ...]
    signal: SignalSpec | None = None
    n_channels: int = 1

    def __str__(self) -> str:
        return "\n".join(self.described)

    def by_name(self) -> dict[str, Frames]:
        """Name of the split to its frames, without an absent test split."""
        found = {"train": self.train, "validation": self.validation}
        return found if self.test is None else {**found, "test": self.test}

    @property
    def subjects(self) -> dict[str, list[str]]:
        """Split to the names of its subjects, sorted; without an absent test split."""
        return {name: sorted(set(map(str, frames.subject))) for name, frames in self.by_name().items()}


def count_frames(samples: int, frame: int, hop: int) -> int:
    """How many whole frames of `frame` samples, `hop` apart, lie in so many samples."""
    return max(0, (samples - frame) // hop + 1)


def spectra(signal: np.ndarray, frame: int, hop: int) -> np.ndarray:
    """Magnitudes of the short-time Fourier transform, as the paper's code takes them.

        x[i, c * bins + k] = | sum_n hann(n) signal[c, i * hop + n] e^(-2 pi j k n / frame) |

    Periodic Hann window, no centring or padding, no scaling, bins = frame // 2 + 1.
    signal: (C, samples) float; returns (frames, C * bins) in the same precision.
    """
    n = count_frames(signal.shape[1], frame, hop)
    if n == 0:
        return np.empty((0, len(signal) * (frame // 2 + 1)), signal.dtype)
    pieces = _pieces(signal, frame, hop)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)
    windowed = pieces * window.astype(signal.dtype)
    return np.abs(scipy.fft.rfft(windowed)).transpose(1, 0, 2).reshape(n, -1)


def samples(signal: np.ndarray, frame: int, hop: int) -> np.ndarray:
    """Raw samples, channel by channel: x[i, c * frame + n] = signal[c, i * hop + n].

    signal: (C, samples) float; returns (frames, C * frame) in the same precision.
    """
    n = count_frames(signal.shape[1], frame, hop)
    if n == 0:
        return np.empty((0, len(signal) * frame), signal.dtype)
    return _pieces(signal, frame, hop).transpose(1, 0, 2).reshape(n, -1)


def _pieces(signal: np.ndarray, frame: int, hop: int) -> np.ndarray:
    """The samples of each frame: a view (C, frames, frame) of signals that have one."""
    return np.lib.stride_tricks.sliding_window_view(signal, frame, axis=1)[:, ::hop]


Cut = Callable[[np.ndarray, int, int], np.ndarray]  # `spectra` or `samples`


def majority(labels: np.ndarray, frame: int, hop: int, n_classes: int) -> np.ndarray:
    """Most frequent label of each frame; ties go to the lowest class, and to any class before unlabelled.

    labels: (samples,) int, -1 = unlabelled; returns (frames,) int16.
    """
    first = np.arange(count_frames(len(labels), frame, hop)) * hop
    counts = np.empty((n_classes + 1, len(first)), np.int64)  # unlabelled last, so argmax prefers a class
    for row, label in enumerate([*range(n_classes), UNLABELLED]):
        until = np.concatenate([[0], np.cumsum(labels == label)])
        counts[row] = until[first + frame] - until[first]
    best = counts.argmax(0)
    return np.where(best == n_classes, UNLABELLED, best).astype(np.int16)
