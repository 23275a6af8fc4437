"""The parts of `dense` that are not matrix products, as PyTorch operations, which run on any device."""

from typing import NamedTuple

import torch
from torch import Tensor


class Anchors(NamedTuple):
    """The kernel of each anchor, (..., N) each: u(s) = c t^2 with t = min(s - centre, most), u' = 2 c t.

    linear: u(s) = c s and u' = c instead, and centre and most are not used
    """

    c: Tensor
    centre: Tensor
    most: Tensor
    linear: bool


def unit_rows(h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """h (..., T, D) -> z = h / |h|, 1 / |h| (..., T, 1), and the cosine of each frame with the next (..., T).

    Where |h| is 0, both are 0. The last frame's cosine is 0.
    """
    norm = h.norm(dim=-1, keepdim=True)
    scale = torch.where(norm > 0, 1 / norm, 0)
    z = h * scale
    adjacent = h.new_zeros(h.shape[:-1])
    adjacent[..., :-1] = torch.linalg.vecdot(z[..., :-1, :], z[..., 1:, :])
    return z, scale, adjacent


def exponentials(s: Tensor, anchors: Anchors, n_frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines s (..., N, N) -> sums, top (..., N) and kept (..., N, N). This may overwrite s.

    With u the logits of far negatives: top is the largest of an anchor (0 if it has none), sums = sum_j
    e^(u - top), and kept = e^(u - top) u' / slope, both 0 for pairs that are not far negatives.
    """
    if anchors.linear:
        t, u = None, s.mul_(anchors.c[..., None])
    else:
        t = torch.minimum(s.sub_(anchors.centre[..., None]), anchors.most[..., None])
        u = t.square().mul_(anchors.c[..., None])
    _leave_out(u, n_frames)
    top = u.amax(-1, keepdim=True)
    top = top.masked_fill(top == -torch.inf, 0)
    e = u.sub_(top).exp_()
    return e.sum(-1), top[..., 0], e if t is None else t.mul_(e)


def both_ways(kept: Tensor, w: Tensor) -> Tensor:
    """M_ij = kept_ij w_i + kept_ji w_j of kept (..., N, N) and w (..., N)."""
    m = kept * w[..., None]
    return m + m.mT


def of_rows(grad: Tensor, z: Tensor, scale: Tensor, g_adjacent: Tensor) -> Tensor:
    """The gradient of h, from that of z and that of the cosines with the next frame (..., T)."""
    g = g_adjacent[..., :-1, None]
    grad[..., :-1, :].addcmul_(z[..., 1:, :], g)
    grad[..., 1:, :].addcmul_(z[..., :-1, :], g)
    along = torch.linalg.vecdot(grad, z)[..., None]  # the part along z, since the length does not matter
    return grad.addcmul_(z, along, value=-1).mul_(scale)


def _leave_out(u: Tensor, n_frames: int) -> None:
    """Set pairs that are not far negatives to -inf: a frame with itself, and with adjacent frames."""
    u.diagonal(0, -2, -1).fill_(-torch.inf)
    last = torch.arange(1, u.shape[-1], device=u.device) % n_frames == 0  # the next frame starts a sequence
    for side in (-1, 1):
        u.diagonal(side, -2, -1).masked_fill_(~last, -torch.inf)
