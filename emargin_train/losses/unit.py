"""Vectors of length 1."""

from torch import Tensor


def unit(x: Tensor) -> Tensor:
    """x / |x| along the last dimension; zeros stay zeros, with a finite gradient."""
    norm = x.norm(dim=-1, keepdim=True)
    return x / norm.masked_fill(norm == 0, 1)
