"""Terms that see class labels."""

import torch
from torch import Tensor
from torch.nn import functional as F

from emargin_train.data.recording import UNLABELLED


def supervised_contrastive(h: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Khosla et al. 2020, equation 2 (`L_out`), over the n labelled frames of the batch.

        P(i) = other frames of i's class
        l_i = -1 / |P(i)| sum_{p in P(i)} log( e^{S_ip / tau} / sum_{j != i} e^{S_ij / tau} )

    h: (B, T, D), any scale; labels: (B, T), -1 = not labelled.
    Returns the mean over frames with another of their class: a scalar, finite; 0 where there is none.
    """
    known = labels != UNLABELLED
    z, y = F.normalize(h[known], dim=-1), labels[known]  # (n, D), (n,)
    logits = z @ z.T / temperature
    own = torch.eye(len(y), dtype=torch.bool, device=h.device)
    positive = (y[:, None] == y) & ~own
    rows = positive.any(-1)
    logits, own, positive = logits[rows], own[rows], positive[rows]
    every = logits.masked_fill(own, torch.finfo(h.dtype).min).logsumexp(-1)
    near = (logits * positive).sum(-1) / positive.sum(-1)
    return (every - near).sum() / rows.sum().clamp_min(1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of -log softmax(logits)[label] over labelled frames; 0 where there is none.

    logits: (B, T, C); labels: (B, T), -1 = not labelled.
    """
    known = labels != UNLABELLED
    return F.cross_entropy(logits[known], labels[known], reduction="sum") / known.sum().clamp_min(1)
