"""TS2Vec's hierarchical contrast of two crops (Yue et al., AAAI 2022, arXiv:2106.10466).

    z^(0) = z;  z^(d+1)_t = max(z^(d)_2t, z^(d)_2t+1) per dimension, an odd last frame dropped
    L = (1/n) sum_{d < n} [ alpha L_inst(z^(d)) + (1 - alpha) 1[d >= u] L_temp(z^(d)) ],  n = 1 + [log2 T]

L_inst and L_temp are `two_views.instance_contrast` and `temporal_contrast`. As in the official code the two
terms are weighted by alpha (the paper adds them), and the divisor counts every level.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from emargin_train.losses.two_views import value_and_gradient

TemporalWeights = Callable[[int, int], Tensor]  # (level d, its frames T_d) -> (..., T_d, T_d)


def hierarchical_contrast(
    z1: Tensor,
    z2: Tensor,
    *,
    alpha: float | Tensor = 0.5,
    temporal_unit: int = 0,
    instance_weights: Tensor | None = None,
    temporal_weights: TemporalWeights | None = None,
) -> Tensor:
    """L of overlapping frames of two views: (...,). Finite for B = 1 and for T = 1.

    All levels and their gradient are computed at once; only the gradient is kept for the backward pass.
    Multiplications: at most 8 B^2 T D + 5.3 B T^2 D forward, as many again for the gradient.

    z1, z2: (..., B, T, D); corresponding frames have the same time
    alpha: weight of the instance term, 0 to 1; a tensor (...,) where members differ
    temporal_unit: u, the first level with a temporal term
    instance_weights: (..., B, B); temporal_weights: a function of the level; these are SoftCLT's soft targets
    """
    return _Hierarchical.apply(z1, z2, alpha, temporal_unit, instance_weights, temporal_weights)


def released_contrast(z1: Tensor, z2: Tensor) -> Tensor:
    """The loss of the eMargin release for two crops. They are not cut to their overlap, so frame k of one is
    compared with frame k of the other, although their times differ; the shorter one is padded with zeros.

    z1: (B, T1, D); z2: (B, T2, D), the whole embedded crops
    """
    n = max(z1.shape[-2], z2.shape[-2])
    z1, z2 = (F.pad(z, (0, 0, 0, n - z.shape[-2])) for z in (z1, z2))
    return hierarchical_contrast(z1, z2)


class _Hierarchical(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z1: Tensor,
        z2: Tensor,
        alpha: float | Tensor,
        temporal_unit: int,
        instance_weights: Tensor | None,
        temporal_weights: TemporalWeights | None,
    ) -> Tensor:
        pair = torch.stack([z1, z2], dim=-4)
        n_levels = pair.shape[-2].bit_length()
        with_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        wi = None if instance_weights is None else instance_weights.unsqueeze(-3)

        def level(z: Tensor, d: int) -> tuple[Tensor, Tensor | None]:
            """Sum over levels d, d + 1, ... and its gradient with respect to z, (..., 2, B, T_d, D)."""
            n_frames = z.shape[-2]
            value = z.new_zeros(z.shape[:-4])
            gradient = torch.zeros_like(z) if with_gradient else None
            if z.shape[-3] > 1:
                u = z.movedim(-2, -4).flatten(-3, -2)  # (..., T, 2B, D)
                v, g = value_and_gradient(u, wi, with_gradient=with_gradient)
                value = value + alpha * v.mean(-1)
                if g is not None and gradient is not None:
                    g = g.unflatten(-2, (2, -1)).movedim(-4, -2)
                    gradient.add_(g.mul_(_column(alpha) / n_frames))
            if n_frames > 1 and d >= temporal_unit:
                wt = None if temporal_weights is None else temporal_weights(d, n_frames).unsqueeze(-3)
                u = z.movedim(-4, -3).flatten(-3, -2)  # (..., B, 2T, D)
                v, g = value_and_gradient(u, wt, with_gradient=with_gradient)
                value = value + (1 - alpha) * v.mean(-1)
                if g is not None and gradient is not None:
                    g = g.unflatten(-2, (2, -1)).movedim(-3, -4)
                    gradient.add_(g.mul_((1 - _column(alpha)) / z.shape[-3]))
            if n_frames > 1:
                stop = n_frames // 2 * 2
                even, odd = z[..., 0:stop:2, :], z[..., 1:stop:2, :]
                v, g = level(torch.maximum(even, odd), d + 1)
                value = value + v
                if g is not None and gradient is not None:
                    first = torch.where(even >= odd, g, 0)
                    gradient[..., 0:stop:2, :] += first
                    gradient[..., 1:stop:2, :] += g.sub_(first)
            return value, gradient

        value, gradient = level(pair, 0)
        ctx.gradient = None if gradient is None else gradient.div_(n_levels)
        return value / n_levels

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        first, second = (ctx.gradient * g[..., None, None, None, None]).unbind(-4)
        return first, second, None, None, None, None


def _column(alpha: float | Tensor) -> float | Tensor:
    """alpha in a shape that broadcasts to (..., 2, B, T, D)."""
    return alpha[..., None, None, None, None] if isinstance(alpha, Tensor) else alpha
