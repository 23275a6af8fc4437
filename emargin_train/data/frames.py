"""Recordings to frames: magnitude spectra in recording order, cut into sequences."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
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
    """

    store: np.ndarray
    rows: np.ndarray
    y: np.ndarray
    subject: np.ndarray
    record: np.ndarray
    start: np.ndarray

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

    def x(self, which: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Spectra of the chosen sequences, copied out of the store: (len, T, F) float32."""
        return self.store[self.rows[which]]

    def select(self, which: np.ndarray) -> "Frames":
        """The chosen sequences (indices or a mask), sharing the store."""
        return Frames(
            self.store, self.rows[which], self.y[which], self.subject[which], self.record[which], self.start[which]
        )


@dataclass(frozen=True)
class Splits:
    """Frames by side; no subject is on two sides (`split = subject`).

    test: None where there are too few subjects for a third side
    magnitude_scale: median of the training magnitudes above 0; `framing = log` is log1p(x / magnitude_scale)
    n_dropped: frames in remainders shorter than a sequence, by reason
    described: the split subject by subject and what a user should know, one line each
    """

    train: Frames
    validation: Frames
    test: Frames | None
    class_names: tuple[str, ...]
    data_hash: str
    magnitude_scale: float
    n_dropped: dict[str, int]
    described: tuple[str, ...]

    def sides(self) -> dict[str, Frames]:
        """Side name to frames, without an absent test side."""
        sides = {"train": self.train, "validation": self.validation}
        return sides if self.test is None else {**sides, "test": self.test}
