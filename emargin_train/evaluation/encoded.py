"""Embeddings of the chosen frames of one split: they are computed once, and each mask takes its part."""

from collections.abc import Callable
from math import frexp

import numpy as np
import torch
from torch import Tensor

from emargin_train.data.frames import Frames
from emargin_train.evaluation.degenerate import problem
from emargin_train.evaluation.points import largest, scaled

Encode = Callable[[Frames, np.ndarray], np.ndarray | Tensor]
"""Frames and a mask (N, T) bool -> embeddings (n, D) float32 of the masked frames, in row-major order."""


class EncodedSplit:
    """Embeddings of the union of several masks.

    masks: (N, T) bool, by name
    device: the device to which the embeddings are moved; with a CPU they stay where `encode` left them
    problem: the reason why the embeddings cannot be measured; empty where they can be
    exponent: every |h_ij| is below 2^exponent
    """

    def __init__(
        self, encode: Encode, frames: Frames, masks: dict[str, np.ndarray], device: str = "cpu"
    ) -> None:
        union = np.logical_or.reduce(list(masks.values()))
        self.frames, self.masks = frames, masks
        self._row = np.cumsum(union.reshape(-1)) - 1  # row of each frame in `_all`
        h = torch.as_tensor(encode(frames, union))
        self._all = h if torch.device(device).type == "cpu" else h.to(device)
        self.problem = problem(self._all)
        self.exponent = 0 if self.problem else frexp(largest(self._all))[1]

    def h(self, name: str, exponent: int = 0) -> Tensor:
        """Return the embeddings divided by 2^exponent: (n, D) float32, in row-major order of the mask."""
        index = torch.from_numpy(self._row[np.flatnonzero(self.masks[name])])
        return scaled(self._all[index.to(self._all.device)], -exponent)

    def y(self, name: str) -> np.ndarray:
        """Return the classes: (n,) int64, -1 for unlabelled frames."""
        return self.frames.y[self.masks[name]]

    def subject(self, name: str) -> np.ndarray:
        """Return the subject of each frame: (n,) str."""
        return self.frames.subject[np.nonzero(self.masks[name])[0]]

    def record(self, name: str) -> np.ndarray:
        """Return the record of each frame: (n,) str."""
        return self.frames.record[np.nonzero(self.masks[name])[0]]

    def frame(self, name: str) -> np.ndarray:
        """Return the index of each frame within its record: (n,) int64."""
        row, t = np.nonzero(self.masks[name])
        return self.frames.start[row] + t
