"""Slow versions of the baselines' losses: loops over anchors and pairs, written directly from the equations.

Nothing here is shared with the package. All functions take float64 tensors, and autograd works through them.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Weights = Callable[[int, int], float]  # of two indices


def log_sum(logits: list[Tensor]) -> Tensor:
    return torch.logsumexp(torch.stack(logits), 0)


def mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def contrast(u1: list[Tensor], u2: list[Tensor], w: Weights | None = None) -> Tensor:
    """C of two lists of n vectors; C_w with weights."""
    n = len(u1)
    u = u1 + u2
    losses = []
    for a in range(2 * n):
        others = [c for c in range(2 * n) if c != a]
        every = log_sum([u[a] @ u[c] for c in others])
        if w is None:
            losses.append(every - u[a] @ u[(a + n) % (2 * n)])
        else:
            losses.append(sum(w(a % n, c % n) * (every - u[a] @ u[c]) for c in others))
    return mean(losses)


def instance_contrast(z1: Tensor, z2: Tensor, w: Weights | None = None) -> Tensor:
    return mean([contrast(list(z1[:, t]), list(z2[:, t]), w) for t in range(z1.shape[1])])


def temporal_contrast(z1: Tensor, z2: Tensor, w: Weights | None = None) -> Tensor:
    return mean([contrast(list(z1[b]), list(z2[b]), w) for b in range(len(z1))])


def hierarchical_contrast(
    z1: Tensor,
    z2: Tensor,
    *,
    alpha: float = 0.5,
    temporal_unit: int = 0,
    instance: Weights | None = None,
    temporal: Callable[[int], Weights] | None = None,
) -> Tensor:
    """Levels pooled two by two; `temporal` gives the weights of a level."""
    terms, n_levels = [], math.floor(math.log2(z1.shape[1])) + 1
    for d in range(n_levels):
        term = torch.zeros((), dtype=z1.dtype)
        if len(z1) > 1:
            term = term + alpha * instance_contrast(z1, z2, instance)
        if z1.shape[1] > 1 and d >= temporal_unit:
            level = None if temporal is None else temporal(d)
            term = term + (1 - alpha) * temporal_contrast(z1, z2, level)
        terms.append(term)
        pairs = range(z1.shape[1] // 2)
        z1, z2 = (
            torch.stack([torch.maximum(z[:, 2 * t], z[:, 2 * t + 1]) for t in pairs], 1) if pairs else z
            for z in (z1, z2)
        )
    return sum(terms) / n_levels


def momentum_contrast(q: Tensor, k: Tensor, queue: Tensor, temperature: float) -> Tensor:
    losses = []
    for i in range(len(q)):
        own = q[i] @ k[i] / temperature
        losses.append(
            log_sum([own, *(q[i] @ queue[:, j] / temperature for j in range(queue.shape[1]))]) - own
        )
    return mean(losses)


def amplitude_and_phase(s: Tensor) -> tuple[Tensor, Tensor]:
    """By sums of cosines and sines."""
    n = s.shape[1]
    unit = s / s.norm(dim=-1, keepdim=True)
    t = torch.arange(n, dtype=s.dtype)
    found = []
    for f in range(n // 2 + 1):
        angle = 2 * math.pi * f * t / n
        sine = torch.zeros_like(t) if 2 * f in (0, n) else -angle.sin()  # exact: its sign would choose +-pi
        found.append([(unit * g[:, None]).sum(1) for g in (angle.cos(), sine)])
    real, imaginary = (torch.stack([part[i] for part in found], 1) for i in (0, 1))
    e = 1e-6
    return ((real + e) ** 2 + (imaginary + e) ** 2).sqrt(), torch.atan2(imaginary, real + e)


def trend(e: Tensor, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
    rows = []
    for t in range(e.shape[1]):
        total = torch.zeros(len(e), len(biases[0]), dtype=e.dtype)
        for w, b in zip(weights, biases, strict=True):
            kappa = w.shape[-1]
            total = total + b
            for m in range(kappa):
                if t - kappa + 1 + m >= 0:
                    total = total + e[:, t - kappa + 1 + m] @ w[:, :, m].T
        rows.append(total / len(weights))
    return torch.stack(rows, 1)


def local_contrast(z: Tensor, k: int, start: int) -> Tensor:
    """Of one sequence (T, D)."""
    c = len(z) // k
    s = [z[start + r * c : start + (r + 1) * c].max(0).values for r in range(k)]
    losses = []
    for r in range(k):
        positive = r + 1 if r < k - 1 else k - 2
        left_out = {r - 1, r, r + 1} | ({2} if r == 0 else set()) | ({k - 3} if r == k - 1 else set())
        own = s[r] @ s[positive]
        losses.append(log_sum([own, *(s[r] @ s[q] for q in range(k) if q not in left_out)]) - own)
    return mean(losses)


def guide_loss(z1: Tensor, z2: Tensor, f: Tensor, delta: float = 1.0) -> Tensor:
    n = len(z1)
    apart = {(i, j): (f[i] - f[j]).norm() for i in range(n) for j in range(n)}
    spread = max(0.01, max(v.item() for v in apart.values()))
    return mean([(delta * apart[i, j] / spread - (z1[i] - z2[j]).norm()) ** 2 for i, j in apart])


def softplus(v: Tensor) -> Tensor:
    return torch.log1p(torch.exp(-v.abs())) + v.clamp_min(0)


def neighbourhood_loss(
    h: Tensor, near: Tensor, distant: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, weight: float
) -> Tensor:
    def d(a: Tensor, b: Tensor) -> Tensor:
        return (w2 @ (w1 @ torch.cat([a, b]) + b1).clamp_min(0) + b2)[0]

    p = mean([softplus(-d(h[t], h[j])) for t in range(len(h)) for j in near[t]])
    n = mean([softplus(d(h[t], h[j])) for t in range(len(h)) for j in distant[t]])
    u = mean([softplus(-d(h[t], h[j])) for t in range(len(h)) for j in distant[t]])
    return (p + (1 - weight) * n + weight * u) / 2


def predictive_contrast(z: Tensor, queries: Tensor, temperature: float) -> Tensor:
    n, n_frames, _ = z.shape
    losses = []
    for k in range(1, len(queries) + 1):
        for b in range(n):
            for t in range(n_frames - k):
                q = queries[k - 1, b, t]
                every = log_sum([z[c, j] @ q / temperature for c in range(n) for j in range(n_frames)])
                losses.append(every - z[b, t + k] @ q / temperature)
    return mean(losses)


def contrast_and_rebuild(
    s: Tensor, y: Tensor, *, n_series: int, temperature: float, n_rebuilt: int
) -> tuple[Tensor, Tensor]:
    z = [row / row.norm() for row in s]
    losses, rebuilt = [], []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        every = log_sum([z[i] @ z[j] / temperature for j in others])
        same = [j for j in others if (j - i) % n_series == 0]
        losses.append(-sum(z[i] @ z[j] / temperature - every for j in same))
        if i < n_rebuilt:
            rebuilt.append(sum((z[i] @ z[j] / temperature - every).exp() * y[j] for j in others))
    return mean(losses), torch.stack(rebuilt)


def keep_chain(uniform: Tensor, ratio: float, length: float) -> list[bool]:
    leave = {False: 1 / length, True: 1 / length * ratio / (1 - ratio)}  # by whether it is kept
    state = bool(uniform[0] >= ratio)
    found = []
    for u in uniform[1:]:
        found.append(state)
        if u < leave[state]:
            state = not state
    return found
