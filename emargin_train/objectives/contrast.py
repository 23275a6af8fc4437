"""InfoNCE and eMargin: frames against all other frames of the batch.

Letters: B sequences of T frames, N = B T frames in all, D dimensions of the embedding.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F


@lru_cache(maxsize=32)
def pair_masks(n_sequences: int, n_frames: int, neighbours: int, device: str) -> tuple[Tensor, Tensor]:
    """(own, positive), both (N, N) bool: pairs of a frame with itself, and anchor i with p in P(i)."""
    step = torch.arange(n_sequences * n_frames, device=device)
    same = step[:, None] // n_frames == step // n_frames
    ahead = step - step[:, None]
    near = ahead.abs() == 1 if neighbours == 2 else ahead == 1
    return ahead == 0, same & near


def infonce(h: Tensor, *, temperature: float, neighbours: int = 2) -> Tensor:
    """Baseline: a frame's positives are its neighbours in the same sequence.

        l_i = -log( sum_{p in P(i)} e^{S_ip / tau} / sum_{j != i} e^{S_ij / tau} )

    h: (B, T, D), any scale; S: cosines of all B*T frames.
    Returns the mean over frames having positives: a scalar, finite and >= 0.
    """
    z = F.normalize(h.flatten(0, 1), dim=-1)  # (N, D)
    own, positive = pair_masks(*h.shape[:2], neighbours, str(h.device))
    rows = positive.any(-1)  # neighbours = 1: a last frame has no successor
    logits = (z @ z.T / temperature)[rows]
    every = logits.masked_fill(own[rows], -torch.inf).logsumexp(-1)
    near = logits.masked_fill(~positive[rows], -torch.inf).logsumexp(-1)
    return (every - near).mean()


def emargin(
    h: Tensor,
    dissimilar: Tensor,
    *,
    margin: float,
    temperature: float,
    neighbours: int = 2,
    similar_sign: int = -1,
    gamma: float = 0.05,
) -> Tensor:
    """eMargin: InfoNCE whose negatives' logits go through the margin kernel of their anchor.

        k_i(s) = (1 - y_i) sigma s^2 / 2 + y_i max(0, m - s)^2 / 2
        n_i = sum_{p in P(i)} e^{S_ip / tau}
        l_i = -log [ n_i / ( n_i + sum_{j not in P(i), j != i} e^{gamma k_i(S_ij) / tau} ) ]

    h: (B, T, D), any scale; dissimilar: y, (B, T) of 0 and 1.
    Returns the mean over frames having positives: a scalar, finite and >= 0.
    """
    z = F.normalize(h.flatten(0, 1), dim=-1)  # (N, D)
    own, positive = pair_masks(*h.shape[:2], neighbours, str(h.device))
    rows = positive.any(-1)
    s = (z @ z.T)[rows]
    y = dissimilar.flatten().to(s.dtype)[rows, None]
    kernel = (1 - y) * similar_sign * s.square() / 2 + y * (margin - s).clamp_min(0).square() / 2
    near = torch.where(positive[rows], s, -torch.inf).div(temperature).logsumexp(-1)
    far = torch.where(positive[rows] | own[rows], -torch.inf, gamma * kernel / temperature).logsumexp(-1)
    return F.softplus(far - near).mean()
