"""The costly part of every contrast on a GPU: the same as `negatives`, with all cosines of a batch at once.

No shape depends on a value, and no value passes between device and host, so that a step can be captured in a
CUDA graph. K members of a stack can be computed together, each with its own kernels.

Letters and gradient are those of `negatives`. What is not a matrix product is in `dense_torch`, and for GPUs
once more in `dense_triton`, where each part goes through memory once.
"""

from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from emargin_train.losses import dense_torch
from emargin_train.losses.dense_torch import Anchors
from emargin_train.losses.kernels import Kernel, Linear, Parabola


def far_and_adjacent(
    h: Tensor, kernels: tuple[Kernel, ...], kind: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As `negatives.far_and_adjacent`, with leading dimensions: (..., B, T) and (..., B, T - 1).

    h: (..., B, T, D); kernels: their numbers are floats, or tensors (..., 1, 1); kind: (..., B, T)
    """
    far, adjacent = _FarAndAdjacent.apply(h, anchors(h.flatten(-3, -2)[..., 0], kernels, kind))
    return far, adjacent[..., :-1]


def anchors(like: Tensor, kernels: tuple[Kernel, ...], kind: Tensor | None) -> Anchors:
    """The kernels of all anchors, (..., N) as `like`; kind as in `far_and_adjacent`."""
    first, second = kernels[0], kernels[-1]

    def number(value: float | Tensor) -> Tensor:
        if isinstance(value, Tensor):
            return value[..., 0]
        return torch.full((1,), value, dtype=like.dtype, device=like.device)  # no copy from the host

    if isinstance(first, Linear):
        assert kind is None
        c = (1 / number(first.temperature)).expand_as(like).contiguous()
        return Anchors(c, c, c, linear=True)
    assert isinstance(second, Parabola)
    is_second = like.new_zeros(like.shape, dtype=torch.bool) if kind is None else kind.flatten(-2).bool()

    def each(one: float | Tensor, other: float | Tensor) -> Tensor:
        return torch.where(is_second, number(other), number(one)).contiguous()

    highest = [0.0 if kernel.one_sided else torch.inf for kernel in (first, second)]
    return Anchors(each(first.c, second.c), each(first.centre, second.centre), each(*highest), linear=False)


class _FarAndAdjacent(torch.autograd.Function):
    """h (..., B, T, D) -> far (..., B, T), and each frame's cosine with the next one of its sequence."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, kernels: Anchors) -> tuple[Tensor, Tensor]:
        parts = _parts(h)
        z, scale, adjacent = parts.unit_rows(h.contiguous())
        rows = z.flatten(-3, -2)
        sums, top, kept = parts.exponentials(rows @ rows.mT, kernels, h.shape[-2])
        slope = kernels.c if kernels.linear else 2 * kernels.c
        ctx.save_for_backward(z, scale, sums, slope, kept)
        return (sums.log() + top).view(h.shape[:-1]), adjacent

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_far: Tensor, g_adjacent: Tensor) -> tuple[Tensor, None]:
        z, scale, sums, slope, kept = ctx.saved_tensors
        parts = _parts(z)
        w = (slope * g_far.flatten(-2) / sums).masked_fill(sums == 0, 0)
        grad = (parts.both_ways(kept, w) @ z.flatten(-3, -2)).view_as(z)
        return parts.of_rows(grad, z, scale, g_adjacent.contiguous()), None


def _parts(h: Tensor) -> ModuleType:
    if h.is_cuda and find_spec("triton") is not None:  # all of PyTorch's CUDA builds for Linux bring it
        from emargin_train.losses import dense_triton

        return dense_triton
    return dense_torch
