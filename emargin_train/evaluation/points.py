"""Embeddings as they lie: an array on a CPU, a tensor on any other device. What both can do, by one name."""

import numpy as np
import torch
from torch import Tensor

Points = np.ndarray | Tensor  # (n, D), a row a frame


def to_host(x: Points) -> np.ndarray:
    return x.cpu().numpy() if isinstance(x, Tensor) else x


def to_device(x: Points, device: str | torch.device) -> Tensor:
    return (x if isinstance(x, Tensor) else torch.from_numpy(x)).to(device)


def rows(h: Points, index: np.ndarray) -> Points:
    """The rows of h at index (m,): (m, D)."""
    return h[to_device(index, h.device)] if isinstance(h, Tensor) else h[index]


def wide(h: Points) -> Points:
    """h in float64."""
    return h.double() if isinstance(h, Tensor) else h.astype(np.float64)


def mean(h: Points) -> Points:
    """Of all rows: (D,) float64."""
    if isinstance(h, Tensor):
        return h.mean(0, dtype=torch.float64)
    return h.mean(0, dtype=np.float64)


def centred(h: Points) -> Points:
    """h less its mean: (n, D) float64."""
    return h - mean(h)


def largest(h: Points) -> float:
    """max |h_ij|."""
    return float(h.abs().max() if isinstance(h, Tensor) else np.abs(h).max())


def covariance(h: Points) -> np.ndarray:
    """(D, D) float64, on the host."""
    x = centred(h)
    return to_host(x.T @ x / len(h))


def unit(h: Points) -> Points:
    """z = h/|h|: (n, D); a zero vector stays zero, as in the objectives."""
    if isinstance(h, Tensor):
        norm = torch.linalg.vector_norm(h, dim=1, keepdim=True)
        return h / torch.where(norm > 0, norm, 1)
    length = np.linalg.norm(h, axis=1, keepdims=True)
    return h / np.where(length > 0, length, 1)


def distinct(h: Points) -> Points:
    """Different rows, each once, in lexicographic order: (m, D)."""
    return torch.unique(h, dim=0) if isinstance(h, Tensor) else np.unique(h, axis=0)


def scaled(h: Points, exponent: int) -> Points:
    """h times 2^exponent, exact but for what leaves float32."""
    if isinstance(h, Tensor):
        return (h.double() * 2.0**exponent).float()
    return np.ldexp(h, exponent)
