"""The contrast of two views that TS2Vec, SoftCLT, CoST, InfoTS and MF-CLR share, in closed form.

A stack U has n vectors of one view and, below them, the same n of the other view; p(a) is the other view of
a:

    C(U) = (1/2n) sum_a [ log sum_{c != a} e^{u_a . u_c} - u_a . u_p(a) ]

With soft targets w (n, n), where i(a) is the index of a within its view:

    C_w(U) = (1/2n) sum_a sum_{c != a} w_{i(a) i(c)} [ log sum_{c' != a} e^{u_a . u_c'} - u_a . u_c ]

C is C_w for the unit matrix. Vectors are used without normalisation and without a temperature. Leading
dimensions, written `...`, are members of a stack of trainings, or several stacks of vectors.

Letters: B sequences, T frames, D dimensions.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from emargin_train.losses.exponentials import exp_below_top_

HALVED_FROM = 256  # for fewer vectors in a stack, halving the product gains nothing (measured)


def contrast(u1: Tensor, u2: Tensor, weights: Tensor | None = None) -> Tensor:
    """C, or C_w, of each stack: (...,). It is 0 for n = 1.

    The gradient is closed-form; only the first derivative exists. Memory: two (2n, 2n) matrices a stack.

    u1, u2: (..., n, D), the two views
    weights: w, of a shape that broadcasts to (..., n, n); rows belong to anchors
    """
    return _Contrast.apply(u1, u2, weights)


def instance_contrast(z1: Tensor, z2: Tensor, weights: Tensor | None = None) -> Tensor:
    """Contrast each frame with the same frame of the other sequences, mean over frames: (...,); 0 for B = 1.

    z1, z2: (..., B, T, D); weights: (..., B, B)
    """
    weights = None if weights is None else weights.unsqueeze(-3)
    return contrast(z1.transpose(-3, -2), z2.transpose(-3, -2), weights).mean(-1)


def temporal_contrast(z1: Tensor, z2: Tensor, weights: Tensor | None = None) -> Tensor:
    """Contrast each frame with the other frames of its sequence, mean over sequences: (...,); 0 for T = 1.

    z1, z2: (..., B, T, D); weights: (..., T, T)
    """
    weights = None if weights is None else weights.unsqueeze(-3)
    return contrast(z1, z2, weights).mean(-1)


def value_and_gradient(
    u: Tensor, weights: Tensor | None, *, with_gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """(C of each stack (...,), its gradient with respect to u or None).

    u: (..., 2n, D); weights: (..., n, n) or None
    """
    n = u.shape[-2] // 2
    s = gram(u)
    if weights is None:
        reward = 2 * s.diagonal(n, -2, -1).sum(-1)
        mass = None
    else:
        both = weights.repeat(*[1] * (weights.dim() - 2), 2, 2)
        both.diagonal(0, -2, -1).zero_()
        reward = (s * both).sum((-2, -1))
        mass = both.sum(-1, keepdim=True)
    s.diagonal(0, -2, -1).fill_(-torch.inf)
    top = s.amax(-1, keepdim=True)
    e = exp_below_top_(s.sub_(top))
    total = e.sum(-1, keepdim=True)
    every = top + total.log()
    value = ((every if mass is None else mass * every).sum((-2, -1)) - reward) / (2 * n)
    if not with_gradient:
        return value, None
    if mass is None:
        e.div_(total)
        e.diagonal(n, -2, -1).sub_(1)
        e.diagonal(-n, -2, -1).sub_(1)
    else:
        e.mul_(mass / total).sub_(both)
    return value, ((e + e.mT) @ u).div_(2 * n)


def gram(u: Tensor) -> Tensor:
    """u u^T of each stack: (..., N, D) -> (..., N, N).

    On a CPU, the lower left quarter of a large product is copied from the upper right one.
    """
    n = u.shape[-2]
    if n < HALVED_FROM or u.device.type != "cpu":
        return u @ u.mT
    half = n // 2
    s = u.new_empty(*u.shape[:-1], n)
    s[..., :half, :] = u[..., :half, :] @ u.mT
    s[..., half:, half:] = u[..., half:, :] @ u[..., half:, :].mT
    s[..., half:, :half] = s[..., :half, half:].mT
    return s


class _Contrast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u1: Tensor, u2: Tensor, weights: Tensor | None) -> Tensor:
        u = torch.cat([u1, u2], dim=-2)
        value, gradient = value_and_gradient(u, weights, with_gradient=any(ctx.needs_input_grad))
        ctx.gradient = gradient
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        first, second = (ctx.gradient * g[..., None, None]).chunk(2, dim=-2)
        return first, second, None
