"""Embeddings of one side's chosen frames, computed once, and their parts."""

from collections.abc import Callable
from math import frexp

import numpy as np
import torch

from emargin_train.data.frames import Frames
from emargin_train.evaluation.degenerate import problem
from emargin_train.evaluation.points import Points, largest, rows, scaled, to_device

Encode = Callable[[Frames, np.ndarray], Points]  # frames, chosen (N, T) bool -> (n, D) float32


class Side:
    """Embeddings of the union of several masks.

    device: where they are to lie; on a CPU they stay what `encode` gave
    problem: why they cannot be measured; empty where they can
    exponent: every |h_ij| is below 2^exponent
    """

    def __init__(
        self, encode: Encode, frames: Frames, masks: dict[str, np.ndarray], device: str = "cpu"
    ) -> None:
        union = np.logical_or.reduce(list(masks.values()))
        self.frames, self.masks = frames, masks
        self._row = np.cumsum(union.reshape(-1)) - 1  # of each frame, in `_all`
        h = encode(frames, union)
        self._all: Points = h if torch.device(device).type == "cpu" else to_device(h, device)
        self.problem = problem(self._all)
        self.exponent = 0 if self.problem else frexp(largest(self._all))[1]

    def h(self, name: str, exponent: int = 0) -> Points:
        """Embeddings over 2^exponent: (n, D) float32, in row-major order of the mask."""
        return scaled(rows(self._all, self._row[np.flatnonzero(self.masks[name])]), -exponent)

    def y(self, name: str) -> np.ndarray:
        """Classes: (n,) int64."""
        return self.frames.y[self.masks[name]]

    def subject(self, name: str) -> np.ndarray:
        return self.frames.subject[np.nonzero(self.masks[name])[0]]

    def record(self, name: str) -> np.ndarray:
        return self.frames.record[np.nonzero(self.masks[name])[0]]

    def frame(self, name: str) -> np.ndarray:
        """Index of each frame within its record: (n,) int64."""
        row, t = np.nonzero(self.masks[name])
        return self.frames.start[row] + t
