"""The same objectives once more, slowly: loops over anchors and pairs, straight from the equations.

Numbers are Python floats or float64 tensors; nothing here is shared with the package.
"""

import math

import torch
from torch import Tensor


def positives(t: int, n_frames: int, neighbours: int) -> list[int]:
    """P of frame t within its sequence."""
    around = [t - 1, t + 1] if neighbours == 2 else [t + 1]
    return [p for p in around if 0 <= p < n_frames]


def log_sum(logits: list[Tensor]) -> Tensor:
    return torch.logsumexp(torch.stack(logits), 0) if logits else torch.tensor(-math.inf, dtype=torch.float64)


def anchors(h: Tensor) -> tuple[list[Tensor], list[tuple[int, int]]]:
    """Unit vectors and (sequence, time) of all frames."""
    n, t, _ = h.shape
    where = [(b, i) for b in range(n) for i in range(t)]
    return [h[b, i] / h[b, i].norm() for b, i in where], where


def mean_loss(losses: list[Tensor]) -> Tensor:
    return torch.stack(losses).mean() if losses else torch.tensor(0.0, dtype=torch.float64)


def infonce(h: Tensor, *, temperature: float, neighbours: int) -> Tensor:
    z, where = anchors(h)
    losses = []
    for i, (b, t) in enumerate(where):
        near = [(b, p) for p in positives(t, h.shape[1], neighbours)]
        if near:
            top = log_sum([z[i] @ z[where.index(p)] / temperature for p in near])
            every = log_sum([z[i] @ z[j] / temperature for j in range(len(z)) if j != i])
            losses.append(every - top)
    return mean_loss(losses)


def emargin(
    h: Tensor,
    y: Tensor,
    *,
    margin: float,
    temperature: float,
    neighbours: int,
    similar_sign: int,
    gamma: float,
) -> Tensor:
    z, where = anchors(h)
    losses = []
    for i, (b, t) in enumerate(where):
        near = [where.index((b, p)) for p in positives(t, h.shape[1], neighbours)]
        if not near:
            continue
        top = [z[i] @ z[p] / temperature for p in near]
        away = []
        for j in range(len(z)):
            if j == i or j in near:
                continue
            s = z[i] @ z[j]
            if y[b, t] == 1:
                k = 0.5 * torch.clamp(margin - s, min=0) ** 2
            else:
                k = similar_sign * 0.5 * s**2
            away.append(gamma * k / temperature)
        losses.append(log_sum(top + away) - log_sum(top))
    return mean_loss(losses)


def emargin_adjacent(h: Tensor, y: Tensor, *, margin: float, temperature: float, neighbours: int) -> Tensor:
    z, where = anchors(h)
    losses = []
    for i, (b, t) in enumerate(where):
        top, away = [], []
        near = positives(t, h.shape[1], neighbours)
        for j, (c, u) in enumerate(where):
            s = z[i] @ z[j]
            if j == i:
                continue
            if c == b and u in near:
                across = bool(y[b, min(t, u)])
                (away if across else top).append((s + margin * across) / temperature)
            else:
                away.append(s / temperature)
        if top:
            losses.append(log_sum(top + away) - log_sum(top))
    return mean_loss(losses)
