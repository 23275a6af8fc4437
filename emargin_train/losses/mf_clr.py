"""MF-CLR: features are divided into groups, and each group guides the one before (Duan et al., ICML 2024).

With f the guide of both views, norms over (T, channels), M = max(0.01, max_kl |f_k - f_l|):

    L_quad = (1/B^2) sum_ij ( delta |f_i - f_j| / M - |z1_i - z2_j| )^2
    L = (1 - beta) [ alpha L_inst(z1, z2) + (1 - alpha) L_temp(z1, z2) ] + beta L_quad

L_inst and L_temp are in `two_views`. At beta = 1 the official code leaves out the factor 1 - beta; so do we.
"""

import torch
from torch import Tensor

from emargin_train.errors import UserError
from emargin_train.losses.two_views import instance_contrast, temporal_contrast

SMALLEST_SPREAD = 0.01


def guide_loss(z1: Tensor, z2: Tensor, guide: Tensor, *, delta: float = 1.0) -> Tensor:
    """L_quad: a scalar >= 0. z1, z2: (B, T, D); guide: f, (B, T, C), and C may be 0."""
    apart = _apart(guide)
    return (delta * apart - _distances(z1, z2)).square().mean()


def soft_guide_loss(
    z1: Tensor, z2: Tensor, guide: Tensor, *, delta: float = 1.0, temperature: float = 0.5
) -> Tensor:
    """The official code's unused alternative, shapes as in `guide_loss`:

    t log (1/B^2) sum_ij exp((delta (1 - s_ij) - |z1_i - z2_j|)^2 / t),  s_ij = (1 - |f_i - f_j| / M)^2
    """
    s = (1 - _apart(guide)).square()
    off = (delta * (1 - s) - _distances(z1, z2)).square() / temperature
    return temperature * (off.flatten().logsumexp(0) - torch.tensor(off.numel(), dtype=off.dtype).log())


def mf_clr_loss(z1: Tensor, z2: Tensor, guide: Tensor, *, alpha: float = 1.0, beta: float = 1e-5) -> Tensor:
    """L: a scalar. z1, z2: (B, T, D); guide: f, (B, T, C); alpha, beta: 0 to 1."""
    loss = z1.new_zeros(())
    if alpha > 0:
        loss = loss + alpha * instance_contrast(z1, z2)
    if alpha < 1:
        loss = loss + (1 - alpha) * temporal_contrast(z1, z2)
    if beta < 1:
        loss = (1 - beta) * loss
    return loss + beta * guide_loss(z1, z2, guide) if beta > 0 else loss


def released_loss(z1: Tensor, z2: Tensor) -> Tensor:
    """The loss of the eMargin release: the guide is empty, and embeddings are transposed, so that the
    contrast compares embedding channels, by inner products over time.

    z1, z2: (B, T, D)
    """
    z1, z2 = z1.transpose(1, 2), z2.transpose(1, 2)
    return mf_clr_loss(z1, z2, z1.new_zeros(*z1.shape[:2], 0))


def feature_groups(n_channels: int, n_bins: int, n_groups: int) -> list[list[int]]:
    """Indices of the features of each group: the bins of every channel in equal parts, lowest first.

    Features are channel by channel, each channel's bins in order of frequency.
    """
    if n_bins < n_groups:
        raise UserError(
            f"MF-CLR needs {n_groups} groups of frequency bins, but a frame has {n_bins} bins a channel: "
            f"give longer frames, or at most {n_bins} groups"
        )
    edges = [round(n_bins * i / n_groups) for i in range(n_groups + 1)]
    return [
        [channel * n_bins + b for channel in range(n_channels) for b in range(start, stop)]
        for start, stop in zip(edges, edges[1:], strict=False)
    ]


def _apart(guide: Tensor) -> Tensor:
    """|f_i - f_j| / M: (B, B)."""
    d = _distances(guide, guide)
    return d / d.max().clamp_min(SMALLEST_SPREAD)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """(B, B) distances of all pairs, from differences, so that views that are close lose no digits."""
    return torch.cdist(a.flatten(1), b.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
