"""Losses that use class labels. Unlabelled frames are masked, not removed: no shape depends on labels."""

import torch
from torch import Tensor
from torch.nn import functional as F

from emargin_train.data.recording import UNLABELLED


def supervised_contrastive(h: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Khosla et al. 2020, equation 2 (`L_out`), over the n labelled frames of the batch.

        P(i) = other frames of i's class
        l_i = -1 / |P(i)| sum_{p in P(i)} log( e^{S_ip / tau} / sum_{j != i} e^{S_ij / tau} )

    h: (B, T, D), any scale; labels: (B, T), -1 = not labelled.
    Returns the mean over frames whose class has another frame: a scalar, finite; 0 where there is none.
    """
    y = labels.flatten()
    z = F.normalize(h.flatten(0, 1), dim=-1)  # (N, D)
    logits = z @ z.T / temperature
    others = (y != UNLABELLED) & ~torch.eye(len(y), dtype=torch.bool, device=h.device)  # in whose sums j is
    positive = (y[:, None] == y) & others
    rows = positive.any(-1)
    every = logits.masked_fill(~others, torch.finfo(h.dtype).min).logsumexp(-1)
    near = (logits * positive).sum(-1) / positive.sum(-1).clamp_min(1)
    return (every - near).masked_fill(~rows, 0).sum() / rows.sum().clamp_min(1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of -log softmax(logits)[label] over labelled frames; 0 if there are none.

    logits: (B, T, C); labels: (B, T), -1 = not labelled.
    """
    total = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=UNLABELLED, reduction="sum")
    return total / (labels != UNLABELLED).sum().clamp_min(1)
