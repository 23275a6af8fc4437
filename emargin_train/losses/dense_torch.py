"""The parts of `dense` that are not matrix products, as PyTorch operations, which run on any device."""

from typing import NamedTuple

import torch
from torch import Tensor

from emargin_train.losses.unit import of_rows, unit_rows

__all__ = ["Anchors", "both_ways", "exponentials", "of_rows", "unit_rows"]


class Anchors(NamedTuple):
    """The kernel of each anchor, (..., N) each: u(s) = c t^2 with t = min(s - centre, most), u' = 2 c t.

    linear: u(s) = c s and u' = c instead, and centre and most are not used
    """

    c: Tensor
    centre: Tensor
    most: Tensor
    linear: bool


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


def _leave_out(u: Tensor, n_frames: int) -> None:
    """Set pairs that are not far negatives to -inf: a frame with itself, and with adjacent frames."""
    u.diagonal(0, -2, -1).fill_(-torch.inf)
    last = torch.arange(1, u.shape[-1], device=u.device) % n_frames == 0  # the next frame starts a sequence
    for side in (-1, 1):
        u.diagonal(side, -2, -1).masked_fill_(~last, -torch.inf)
