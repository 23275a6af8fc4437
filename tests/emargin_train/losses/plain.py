"""Slow versions of the losses: loops over anchors and pairs, written directly from the equations.

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
    dissimilar_sign: int,
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
                k = dissimilar_sign * 0.5 * torch.clamp(margin - s, min=0) ** 2
            else:
                k = similar_sign * 0.5 * s**2
            away.append(gamma * k / temperature)
        losses.append(log_sum(top + away) - log_sum(top))
    return mean_loss(losses)


def emargin_of_cosines(
    s: Tensor,
    y: Tensor,
    n_frames: int,
    *,
    margin: float,
    temperature: float,
    gamma: float,
    dissimilar_sign: int = 1,
) -> Tensor:
    """l_i of every anchor from cosines s (N, N) as free variables; sequences of n_frames, both neighbours."""
    n = len(s)
    losses = []
    for i in range(n):
        near = [j for j in (i - 1, i + 1) if 0 <= j < n and j // n_frames == i // n_frames]
        top = [s[i, p] / temperature for p in near]
        away = []
        for j in range(n):
            if j != i and j not in near:
                hinge = dissimilar_sign * 0.5 * torch.clamp(margin - s[i, j], min=0) ** 2
                k = hinge if y[i] else -0.5 * s[i, j] ** 2
                away.append(gamma * k / temperature)
        losses.append(log_sum(top + away) - log_sum(top))
    return torch.stack(losses)


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


def supervised_contrastive(h: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    z, where = anchors(h)
    known = [i for i, at in enumerate(where) if labels[at] >= 0]
    losses = []
    for i in known:
        same = [j for j in known if j != i and labels[where[j]] == labels[where[i]]]
        if same:
            every = log_sum([z[i] @ z[j] / temperature for j in known if j != i])
            losses.append(sum(every - z[i] @ z[p] / temperature for p in same) / len(same))
    return mean_loss(losses)


def released_parts(h: Tensor, temperature: float) -> tuple[list[list[float]], list[float], int]:
    """S, e^{d_t / tau}, N of the batch as one stream."""
    z, _ = anchors(h)
    s = [[float(a @ b) for b in z] for a in z]
    return s, [math.exp(s[t + 1][t] / temperature) for t in range(len(z) - 1)], len(z)


def minus_log(x: float) -> float:
    return -math.log(x) if x > 0 else math.nan


def infonce_released(h: Tensor, *, temperature: float, neighbours: int) -> float:
    s, d, n = released_parts(h, temperature)
    c = [sum(math.exp(s[i][j] / temperature) for i in range(n) if i != j) for j in range(n)]
    if neighbours == 1:
        terms = [minus_log(d[t] / (c[t] - d[t])) for t in range(n - 1)]
    else:
        both = [d[k] + d[k + 1] for k in range(n - 2)]
        terms = [minus_log(both[k] / ((c[k] - d[k]) + (c[k + 1] - both[k]))) for k in range(n - 2)]
    return sum(terms) / len(terms)


def emargin_released(h: Tensor, y: Tensor, *, margin: float, temperature: float, neighbours: int) -> float:
    s, d, n = released_parts(h, temperature)
    label = [bool(v) for v in y.flatten()]

    def kernel(i: int, j: int, sign: int) -> float:
        return 0.5 * max(0.0, margin - s[i][j]) ** 2 if label[j] else sign * 0.5 * s[i][j] ** 2

    if neighbours == 1:
        for i in range(n):
            s[i][i] = 0.0
        c = [sum(math.exp(kernel(i, t, 1)) for i in range(n)) for t in range(n - 1)]
        terms = [minus_log(d[t] / (c[t] - d[t])) for t in range(n - 1)]
    else:
        c = [
            sum(math.exp(0.05 * kernel(i, j, -1) / temperature) for i in range(n) if i != j) for j in range(n)
        ]
        both = [d[k] + d[k + 1] for k in range(n - 2)]
        away = [(c[k] - d[k]) + (c[k + 1] - both[k]) for k in range(n - 2)]
        terms = [minus_log(both[k] / (away[k] + both[k])) for k in range(n - 2)]
    return sum(terms) / len(terms)
