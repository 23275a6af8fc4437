"""TNC: near frames against distant ones, which may be alike too (Tonekaboni et al., ICLR 2021,
arXiv:2106.00750).

From the equations; the official code carries no licence and is not used. A critic tells pairs apart,

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

ANCHORS = 16  # at a time; their pairs' hidden units fit a core's cache


@dataclass(frozen=True)
class Critic:
    """Parameters of d: W1 (H, 2D), b1 (H,), W2 (1, H), b2 (1,); H = 4D as published."""

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
    pair costs H additions. The gradient is closed-form, once, and computed in the forward pass, a few anchors
    at a time. Dropout after the relu draws one mask for each anchor, which all of its pairs share.

    h: (N, D), all frames of a batch; near, distant: (N, m) rows of h, the pairs of each anchor
    """
    d = h.shape[1]
    a = F.linear(h, critic.w1[:, :d], critic.b1)
    b = F.linear(h, critic.w1[:, d:])
    keep = None
    if dropout > 0:
        keep = torch.rand(a.shape, generator=generator, device=a.device, dtype=a.dtype).ge_(dropout)
        keep.div_(1 - dropout)
    return _Pairs.apply(a, b, critic.w2[0], critic.b2, near, distant, keep, weight)


class _Pairs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        w2: Tensor,
        b2: Tensor,
        near: Tensor,
        distant: Tensor,
        keep: Tensor | None,
        weight: float,
    ) -> Tensor:
        n_near, n_distant = near.numel(), distant.numel()
        other = torch.cat([near, distant], dim=1)
        grads = torch.empty_like(a), torch.zeros_like(b), torch.zeros_like(w2), torch.zeros_like(b2)
        total = a.new_zeros(())
        for start in range(0, len(a), ANCHORS):
            rows = slice(start, start + ANCHORS)
            index = other[rows]
            hidden = b.index_select(0, index.flatten()).view(*index.shape, -1)  # (rows, 2m, H)
            hidden.add_(a[rows, None]).relu_()
            out = w2.expand(len(index), -1) if keep is None else w2 * keep[rows]  # (rows, H)
            d = (hidden @ out[..., None])[..., 0] + b2  # (rows, 2m)
            p, q = d[:, : near.shape[1]], d[:, near.shape[1] :]
            total += F.softplus(-p).sum() / n_near
            total += ((1 - weight) * F.softplus(q).sum() + weight * F.softplus(-q).sum()) / n_distant
            slope = torch.cat(
                [
                    torch.sigmoid(-p).div_(-2 * n_near),
                    (torch.sigmoid(q) - weight).div_(2 * n_distant),
                ],
                dim=1,
            )
            through = (slope[:, None] @ hidden)[:, 0]  # (rows, H)
            grads[2].add_((through if keep is None else through * keep[rows]).sum(0))
            grads[3].add_(slope.sum())
            live = hidden.sign_().mul_(slope[..., None]).mul_(out[:, None])  # 1 where the unit is open
            grads[0][rows] = live.sum(1)
            grads[1].index_add_(0, index.flatten(), live.flatten(0, 1))
        ctx.grads = grads
        return total / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        return *(grad * g for grad in ctx.grads), None, None, None, None
