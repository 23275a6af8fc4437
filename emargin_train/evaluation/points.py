"""Operations on embeddings that several metrics share. Embeddings are tensors (n, D) on any device."""

import numpy as np
import torch
from torch import Tensor


def mean(h: Tensor) -> Tensor:
    """Return the mean row of h: (D,) float64."""
    return h.mean(0, dtype=torch.float64)


def centred(h: Tensor) -> Tensor:
    """Return h minus its mean: (n, D) float64."""
    return h - mean(h)


def moved(h: Tensor, by: Tensor) -> Tensor:
    """Return h - by in float32, rounded from a subtraction in float64. by: (D,) float64."""
    if h.dtype == torch.float64:
        return (h - by).float()
    high = by.float()
    return (h - high).sub_((by - high).float())


def largest(h: Tensor) -> float:
    """Return max |h_ij|."""
    return float(h.abs().max())


def unit(h: Tensor) -> Tensor:
    """Return z = h/|h|: (n, D); a zero vector stays zero, as in the loss functions."""
    norm = torch.linalg.vector_norm(h, dim=1, keepdim=True)
    return h / torch.where(norm > 0, norm, 1)


def scaled(h: Tensor, exponent: int) -> Tensor:
    """Return h times 2^exponent. This is exact except for values outside float32's range."""
    half = exponent // 2  # 2^exponent may lie outside float32's range
    return h if exponent == 0 else (h * 2.0**half) * 2.0 ** (exponent - half)


def distinct(h: Tensor) -> np.ndarray:
    """Return the indices of the first occurrence of each different row: (m,) int64, ascending."""
    rows = np.ascontiguousarray((h + 0.0).cpu().numpy())  # + 0.0 turns -0.0 into 0.0
    if rows.shape[1] == 0:
        return np.arange(min(1, len(rows)))
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    return np.sort(np.unique(keys, return_index=True)[1])
