"""TimeDRL: two passes of one series rebuild its patches and predict each other (Chang et al., ICDE 2024,
arXiv:2312.04142).

    L_p = 1/2 sum_v MSE( decoded z^v, patches(x) )
    L_c = -1/2 [ mean cos(sg(i^1), q(i^2)) + mean cos(sg(i^2), q(i^1)) ]          sg: no gradient
    L = L_p + lambda L_c

z are token embeddings, i one embedding of a series, q a predictor's output.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from emargin_train.errors import UserError
from emargin_train.losses.unit import unit

INSTANCES = ("cls", "last", "gap", "all")


def normalised(x: Tensor) -> Tensor:
    """Standardise each series and channel over time; the mean and the deviation carry no gradient.

    x: (B, T, C). A constant channel becomes 0.
    """
    mean = x.mean(1, keepdim=True).detach()
    variance = x.var(1, keepdim=True, correction=0).detach()
    return (x - mean) / (variance + 1e-5).sqrt()


def patches(x: Tensor, length: int, stride: int, *, pad: int | None = None, joint: bool = True) -> Tensor:
    """Windows of `length` frames, one every `stride` frames, after `pad` copies of the last frame were added.

    With `joint`, the result is (B, T_p, C length), channel by channel; otherwise each channel is a series:
    (B C, T_p, length). T_p = (T + pad - length) // stride + 1.

    x: (B, T, C); pad: None = stride
    """
    pad = stride if pad is None else pad
    if x.shape[1] + pad < length:
        raise UserError(
            f"TimeDRL's patches have {length} frames, but a sequence has {x.shape[1]} and {pad} of padding: "
            "give shorter patches"
        )
    padded = F.pad(x.transpose(1, 2), (0, pad), mode="replicate") if pad else x.transpose(1, 2)
    cut = padded.unfold(2, length, stride)  # (B, C, T_p, length)
    return cut.transpose(1, 2).flatten(2) if joint else cut.flatten(0, 1)


def instance_embedding(z: Tensor, kind: str) -> Tensor:
    """(B, 1 + T_p, D) with [CLS] first -> i: `cls`, `last`, `gap` (B, D), or `all` (B, (1 + T_p) D)."""
    if kind == "cls":
        return z[:, 0]
    if kind == "last":
        return z[:, -1]
    if kind == "gap":
        return z[:, 1:].mean(1)
    if kind == "all":
        return z.flatten(1)
    raise UserError(
        f"instance is '{kind}', but TimeDRL takes one of {', '.join(INSTANCES)}: give one of them"
    )


def predictive_loss(decoded1: Tensor, decoded2: Tensor, target: Tensor) -> Tensor:
    """L_p: a scalar >= 0. All arguments have the same shape. The official target is the patches of raw x."""
    return (F.mse_loss(decoded1, target) + F.mse_loss(decoded2, target)) / 2


def instance_loss(i1: Tensor, i2: Tensor, q1: Tensor, q2: Tensor, *, stop_gradient: bool = True) -> Tensor:
    """L_c: a scalar from -1 to 1. i1, i2: (B, D); q1 = q(i1), q2 = q(i2): (B, D)."""
    if stop_gradient:
        i1, i2 = i1.detach(), i2.detach()
    one = (unit(i1) * unit(q2)).sum(-1).mean()
    other = (unit(i2) * unit(q1)).sum(-1).mean()
    return -(one + other) / 2


def positions(n_tokens: int, dim: int) -> Tensor:
    """Fixed sine and cosine positions: (n_tokens, dim)."""
    t = torch.arange(n_tokens)[:, None]
    angle = t * torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    found = torch.zeros(n_tokens, dim, dtype=angle.dtype)
    found[:, 0::2] = angle.sin()
    found[:, 1::2] = angle.cos()[:, : dim // 2]
    return found
