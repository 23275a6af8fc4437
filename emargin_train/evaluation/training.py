"""The training data of every probe: embeddings, their classes, and the subject of each frame."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from emargin_train.evaluation.points import largest, mean, moved

Scores = Callable[[Tensor], np.ndarray]
"""From embeddings (n, D) to log-probabilities up to a constant (n, K)."""


@dataclass(frozen=True)
class Training:
    """Training frames in the natural mixture of classes, in recording order.

    h: (n, D) float32, finite; y: (n,) int64, 0 to K-1, every class present; subject: (n,) str
    """

    h: Tensor
    y: np.ndarray
    subject: np.ndarray

    @cached_property
    def share(self) -> np.ndarray:
        """p(c), the share of each class: (K,), sums to 1."""
        return np.bincount(self.y) / len(self.y)

    @cached_property
    def weight(self) -> np.ndarray:
        """One-hot classes, with weights so that every class sums to 1/K: (n, K) float32."""
        count = np.bincount(self.y)
        return np.eye(len(count), dtype=np.float32)[self.y] / (len(count) * count).astype(np.float32)

    @cached_property
    def standardised(self) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """(features with mean 0 and deviation 1 over the training frames, (n, D) float32; the scaling)."""
        scale = standardise(self.h)
        return scale(self.h), scale


def standardise(h: Tensor) -> Callable[[Tensor], Tensor]:
    """A function that scales to mean 0, deviation 1 over the training frames; constant features become 0."""
    middle = mean(h)
    deviation = moved(h, middle).square_().mean(0, dtype=torch.float64).sqrt()
    constant = deviation <= 1e-6 * largest(h)
    factor = torch.where(constant, 0, 1 / torch.where(constant, 1, deviation)).float()
    return lambda x: moved(x, middle).mul_(factor)


def folds(subject: np.ndarray, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return n pairs of (inside, left out) indices, fewer with fewer subjects. Each subject is left out once.

    As in scikit-learn's GroupKFold, the subject with the most frames comes first, and each one goes to the
    fold with the fewest. A single subject is cut into n stretches in recording order instead.
    """
    names, groups = np.unique(subject, return_inverse=True)
    if len(names) == 1:
        groups = np.arange(len(subject)) * n // len(subject)
    sizes = np.bincount(groups)
    fold, filled = np.empty(len(sizes), int), np.zeros(min(n, len(sizes)), int)
    for group in np.argsort(sizes)[::-1]:
        fold[group] = filled.argmin()
        filled[fold[group]] += sizes[group]
    left_out = [fold[groups] == number for number in range(len(filled))]
    return [(np.flatnonzero(~out), np.flatnonzero(out)) for out in left_out]
