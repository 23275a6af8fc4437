"""What every probe is given: training embeddings, their classes, and whom they come from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import GroupKFold
from torch import Tensor

from emargin_train.evaluation.points import Points, largest, mean

Scores = Callable[[Points], np.ndarray]  # embeddings (n, D) -> (n, K) log-probabilities but for a constant


@dataclass(frozen=True)
class Training:
    """Training frames in the natural mixture of classes, in recording order.

    h: (n, D) float32, finite; y: (n,) int64, 0 to K-1, every class present; subject: (n,) str
    """

    h: Points
    y: np.ndarray
    subject: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """p(c), the share of each class: (K,), sums to 1."""
        return np.bincount(self.y) / len(self.y)

    @property
    def weight(self) -> np.ndarray:
        """One-hot classes, so weighed that every class sums to 1/K: (n, K) float32."""
        count = np.bincount(self.y)
        return np.eye(len(count), dtype=np.float32)[self.y] / (len(count) * count).astype(np.float32)


def standardise(h: Points) -> Callable[[Points], Points]:
    """Shift and scale to mean 0 and deviation 1 over the training frames; constant features become 0."""
    middle = mean(h)
    if isinstance(h, Tensor):
        width = h.double().std(0, correction=0)
        same = width <= 1e-6 * largest(h)
        factor: Points = torch.where(same, 0, 1 / torch.where(same, 1, width))
    else:
        deviation = h.std(0, dtype=np.float64)
        constant = deviation <= 1e-6 * largest(h)
        factor = np.where(constant, 0, 1 / np.where(constant, 1, deviation))

    def scale(x: Points) -> Points:
        scaled = (x - middle) * factor
        return scaled.float() if isinstance(scaled, Tensor) else scaled.astype(np.float32)

    return scale


def folds(subject: np.ndarray, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """n pairs of (inside, left out) indices, fewer with fewer subjects; no subject is on both sides.

    A single subject is cut into n stretches in recording order instead.
    """
    names, groups = np.unique(subject, return_inverse=True)
    if len(names) == 1:
        groups = np.arange(len(subject)) * n // len(subject)
    return list(GroupKFold(min(n, len(names)) if len(names) > 1 else n).split(groups, groups=groups))
