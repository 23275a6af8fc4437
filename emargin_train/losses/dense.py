"""The costly part of every contrast on a GPU: the same as `negatives`, with all cosines of a batch at once.

No shape depends on a value, and no value passes between device and host, so that a step can be captured in a
CUDA graph. K members of a stack can be computed together, each with its own kernels. Each member needs the
memory of three N x N matrices.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from emargin_train.losses.kernels import Kernel, Linear, Parabola


def far_and_adjacent(
    h: Tensor, kernels: tuple[Kernel, ...], kind: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As `negatives.far_and_adjacent`, with leading dimensions: (..., B, T) and (..., B, T - 1).

    h: (..., B, T, D); kernels: their numbers are floats, or tensors (..., 1, 1); kind: (..., B, T)
    """
    norm = h.norm(dim=-1, keepdim=True)
    z = h / norm.masked_fill(norm == 0, 1) * (norm != 0)
    adjacent = (z[..., :-1, :] * z[..., 1:, :]).sum(-1)
    rows = None if kind is None else kind.flatten(-2).bool()
    far = _Far.apply(z.flatten(-3, -2), kernels, rows, h.shape[-2])
    return far.unflatten(-1, h.shape[-3:-1]), adjacent


class _Far(torch.autograd.Function):
    """z (..., N, D) of unit length -> far (..., N); letters and gradient as in `negatives`."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, kernels: tuple[Kernel, ...], kind: Tensor | None, n_frames: int
    ) -> Tensor:
        u, factor, slope = _logits(z @ z.mT, kernels, kind)
        _leave_out(u, n_frames)
        top = u.amax(-1, keepdim=True)
        top = top.masked_fill(top == -torch.inf, 0)  # an anchor may have no far negative
        e = u.sub_(top).exp_()
        sums = e.sum(-1)
        ctx.save_for_backward(z, sums, slope, e if factor is None else factor.mul_(e))
        return sums.log() + top[..., 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        z, sums, slope, kept = ctx.saved_tensors
        m = kept * (slope * g / sums).masked_fill(sums == 0, 0)[..., None]
        return m @ z + m.mT @ z, None, None, None


def _logits(
    s: Tensor, kernels: tuple[Kernel, ...], kind: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor]:
    """u(s), and u'(s) as factor (None = 1) times slope (..., N). This overwrites s."""
    first, second = kernels[0], kernels[-1]
    if isinstance(first, Linear):
        assert kind is None
        slope = 1 / _number(first.temperature, s)
        return s.mul_(slope[..., None]), None, slope
    assert isinstance(second, Parabola)
    if kind is None:
        kind = s.new_zeros(s.shape[-1], dtype=torch.bool)
    c = torch.where(kind, _number(second.c, s), _number(first.c, s))
    t = s.sub_(torch.where(kind, _number(second.centre, s), _number(first.centre, s))[..., None])
    most = torch.where(kind, _highest(second, s), _highest(first, s))
    torch.minimum(t, most[..., None], out=t)
    return t.square().mul_(c[..., None]), t, 2 * c


def _highest(kernel: Parabola, like: Tensor) -> Tensor:
    """The largest value of s minus the centre."""
    return _number(0.0 if kernel.one_sided else torch.inf, like)


def _number(value: float | Tensor, like: Tensor) -> Tensor:
    """The value as (..., 1), which broadcasts to the rows of anchors."""
    if isinstance(value, Tensor):
        return value[..., 0]
    return torch.full((1,), value, dtype=like.dtype, device=like.device)  # no copy from the host


def _leave_out(u: Tensor, n_frames: int) -> None:
    """Set pairs that are not far negatives to -inf: a frame with itself, and with adjacent frames."""
    u.diagonal(0, -2, -1).fill_(-torch.inf)
    last = torch.arange(1, u.shape[-1], device=u.device) % n_frames == 0  # the next frame starts a sequence
    for side in (-1, 1):
        u.diagonal(side, -2, -1).masked_fill_(~last, -torch.inf)
