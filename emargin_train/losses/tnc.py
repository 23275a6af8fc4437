"""TNC: near frames against distant ones, which may be alike too (Tonekaboni et al., ICLR 2021,
arXiv:2106.00750).

This follows the equations; the official code has no licence and is not used. A critic scores pairs,

    d(a, b) = W2 relu(W1 [a; b] + b1) + b2

and with sp(v) = log(1 + e^v), l near t and k distant, the positive-unlabelled loss of weight w is

    L = 1/2 [ mean sp(-d(t, l)) + (1 - w) mean sp(d(t, k)) + w mean sp(-d(t, k)) ]
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

ANCHORS = 8  # anchors that are computed at a time, so that the hidden units of their pairs stay in the cache


@dataclass(frozen=True)
class Critic:
    """The parameters of d: W1 (H, 2D), b1 (H,), W2 (1, H), b2 (1,); H = 4D as published."""

    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """d of pairs, without dropout: (..., D) and (..., D) -> (...,)."""
        hidden = F.linear(torch.cat([a, b], dim=-1), self.w1, self.b1).relu()
        return F.linear(hidden, self.w2, self.b2)[..., 0]


def positive_unlabelled(near: Tensor, distant: Tensor, *, weight: float = 0.05) -> Tensor:
    """L from the critic's d of near and of distant pairs, any shapes: a scalar >= 0.

    weight: w, the share of distant pairs that may be alike, 0 to 1
    """
    apart = (1 - weight) * F.softplus(distant).mean() + weight * F.softplus(-distant).mean()
    return (F.softplus(-near).mean() + apart) / 2


def neighbourhood_loss(
    h: Tensor,
    near: Tensor,
    distant: Tensor,
    critic: Critic,
    *,
    weight: float = 0.05,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """L with every frame as an anchor: a scalar >= 0.

    The critic's first layer is split, W1 [a; b] = W1a a + W1b b, so that each frame is projected twice and a
    pair costs H additions. The gradient is closed-form and computed in the forward pass, a few anchors at a
    time; only the first derivative exists. Dropout after the relu draws one mask for each step, which all
    pairs share, so dropped units cost nothing.

    h: (N, D), all frames of a batch; near, distant: (N, m) rows of h, the pairs of each anchor
    """
    d = h.shape[1]
    w1, b1, w2 = critic.w1, critic.b1, critic.w2[0]
    if dropout > 0:
        kept = torch.rand(len(b1), generator=generator, device=h.device) >= dropout
        w1, b1, w2 = w1[kept], b1[kept], w2[kept] / (1 - dropout)
    a, b = F.linear(h, w1[:, :d], b1), F.linear(h, w1[:, d:])
    return _Pairs.apply(a, b, w2, critic.b2, near, distant, weight)


class _Pairs(torch.autograd.Function):
    """L of split projections a and b (N, H) of all frames."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, w2: Tensor, b2: Tensor, near: Tensor, distant: Tensor, weight: float
    ) -> Tensor:
        other = torch.cat([near, distant], dim=1)  # (N, m)
        n_near, m = near.shape[1], other.shape[1]
        d = a.new_empty(other.shape)
        g_a, g_b, g_w2 = torch.empty_like(a), torch.zeros_like(b), torch.zeros_like(w2)
        g_d = torch.empty_like(d)
        is_near = torch.arange(m, device=a.device) < n_near
        offset = torch.where(is_near, 1.0, weight).to(a.dtype)  # dL/dd = scale (sigmoid(d) - offset)
        scale = torch.where(is_near, 0.5 / near.numel(), 0.5 / distant.numel()).to(a.dtype)
        space = a.new_empty(ANCHORS * m, a.shape[1])
        for start in range(0, len(a), ANCHORS):
            rows = slice(start, start + ANCHORS)
            index = other[rows].flatten()
            pairs = torch.index_select(b, 0, index, out=space[: len(index)])  # (rows m, H)
            hidden = pairs.view(-1, m, pairs.shape[1])
            hidden.add_(a[rows, None]).relu_()
            d[rows] = torch.mv(pairs, w2).view(-1, m).add_(b2)
            slope = torch.sigmoid(d[rows]).sub_(offset).mul_(scale)
            g_d[rows] = slope
            g_w2.addmv_(pairs.T, slope.flatten())
            hidden.sign_().mul_(slope[..., None])  # the slope where the unit is active; w2 follows below
            torch.sum(hidden, 1, out=g_a[rows])
            g_b.index_add_(0, index, pairs)
        ctx.grads = g_a.mul_(w2), g_b.mul_(w2), g_w2, g_d.sum().view_as(b2)
        return positive_unlabelled(d[:, :n_near], d[:, n_near:], weight=weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        return *(grad * g for grad in ctx.grads), None, None, None
