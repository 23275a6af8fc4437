"""Vectors of length 1."""

import torch
from torch import Tensor


def unit(x: Tensor) -> Tensor:
    """x / |x| along the last dimension; zeros stay zeros, with a finite gradient."""
    norm = x.norm(dim=-1, keepdim=True)
    return x / norm.masked_fill(norm == 0, 1)


def unit_rows(h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """h (..., T, D) -> z = h / |h|, 1 / |h| (..., T, 1), and the cosine of each frame with the next (..., T).

    Where |h| is 0, both are 0. The last frame's cosine is 0.
    """
    norm = h.norm(dim=-1, keepdim=True)
    scale = torch.where(norm > 0, 1 / norm, 0)
    z = h * scale
    adjacent = h.new_zeros(h.shape[:-1])
    adjacent[..., :-1] = (z[..., :-1, :] * z[..., 1:, :]).sum(-1)
    return z, scale, adjacent


def of_rows(grad: Tensor, z: Tensor, scale: Tensor, g_adjacent: Tensor) -> Tensor:
    """The gradient of h, from that of z and that of the cosines with the next frame (..., T).

    z and scale are those of `unit_rows`. This overwrites grad.
    """
    g = g_adjacent[..., :-1, None]
    grad[..., :-1, :].addcmul_(z[..., 1:, :], g)
    grad[..., 1:, :].addcmul_(z[..., :-1, :], g)
    along = torch.linalg.vecdot(grad, z)[..., None]  # the part along z, since the length does not matter
    return grad.addcmul_(z, along, value=-1).mul_(scale)
