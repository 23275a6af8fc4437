"""All pairwise distances, a block of rows at a time: the pass that most metrics wait for."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

BLOCK = 1024  # rows of the distance matrix held at once


def squared_distances(a: np.ndarray, b: np.ndarray | None = None) -> Iterator[tuple[slice, Tensor]]:
    """Yield (rows of a, |a_i - b_j|^2 (block, m) float32) from the first row of a to the last.

        |a - b|^2 = |a|^2 + |b|^2 - 2 a.b   after both were moved by the mean of b

    A matrix product, so small distances between far-off points lose digits: the error is about 1e-7 of |a|^2.
    Without b, the points are compared with themselves and the diagonal is exactly 0.

    a: (n, D); b: (m, D)
    """
    other = a if b is None else b
    mean = other.mean(0, dtype=np.float64)
    to = torch.from_numpy((other - mean).astype(np.float32))
    of = to if b is None else torch.from_numpy((a - mean).astype(np.float32))
    to_square, of_square = to.square().sum(1), of.square().sum(1)
    for low in range(0, len(of), BLOCK):
        rows = slice(low, min(low + BLOCK, len(of)))
        squared = torch.addmm(to_square, of[rows], to.T, alpha=-2)  # (block, m)
        squared.add_(of_square[rows, None]).clamp_(min=0)
        if b is None:
            squared.diagonal(low).zero_()
        yield rows, squared


def nearest(a: np.ndarray, b: np.ndarray | None, k: int) -> np.ndarray:
    """Indices (n, k) into b of the k nearest to each row of a, in no order; without b, other rows of a."""
    found = []
    for rows, squared in squared_distances(a, b):
        if b is None:
            squared.diagonal(rows.start).fill_(torch.inf)
        found.append(squared.topk(k, largest=False, sorted=False).indices)
    return torch.cat(found).numpy()
