"""KMeans as scikit-learn's, its restarts side by side: one matrix product finds the nearest centres of all.

Letters: n points of D dimensions, R restarts of K clusters.
"""

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from emargin_train.evaluation.lloyd import lloyd, nearest
from emargin_train.evaluation.points import Points, to_host

RESTARTS = 10
MOST_STEPS = 300
TOLERANCE = 1e-4  # of the mean variance: a restart ends when all its centres moved less, squared and summed
EQUALLY_TIGHT = 1e-6  # relative difference of two inertias below which the first is kept


def kmeans(h: Points, clusters: int, *, seed: int) -> np.ndarray:
    """Cluster of each point, (n,) int: what `KMeans(clusters, n_init=10, random_state=seed)` finds.

    The same k-means++ starts, steps and ends as scikit-learn's, but for rounding. Where a cluster runs empty,
    as it may when many points lie on each other, scikit-learn itself is asked.

    h: (n, D) float32, with at least K distinct rows; a tensor's steps are those of `lloyd`
    """
    rng = np.random.RandomState(seed)
    if isinstance(h, Tensor):
        x, tolerance = h - h.mean(0), TOLERANCE * float(h.var(0, correction=0).mean())
        found = lloyd(x, starts(x, clusters, rng), tolerance, MOST_STEPS)
    else:
        x, tolerance = torch.from_numpy(h - h.mean(0)), TOLERANCE * float(np.var(h, axis=0).mean())
        found = _lloyd(x, starts(x, clusters, rng), tolerance)
    if found is None:
        return KMeans(clusters, n_init=RESTARTS, random_state=seed).fit_predict(to_host(h))
    labels, inertia = found[0], found[1].cpu().tolist()
    best = 0
    for restart in range(1, RESTARTS):
        if inertia[restart] < inertia[best] * (1 - EQUALLY_TIGHT):
            best = restart
    return labels[best].cpu().numpy()


def starts(x: Tensor, clusters: int, rng: np.random.RandomState) -> Tensor:
    """Centres chosen by greedy k-means++ (Arthur & Vassilvitskii 2007): (R, K, D).

    Random numbers are used in scikit-learn's order, and potentials are added up in its precision, on the
    host, so that the same points are chosen wherever x lies: K looks at the device for all restarts.
    """
    n, trials = len(x), 2 + int(np.log(clusters))
    even = np.full(n, 1 / n, np.float32)
    drawn = [(rng.choice(n, p=even), rng.uniform(size=(clusters - 1, trials))) for _ in range(RESTARTS)]
    wide = x.double()
    square = wide.square().sum(1)

    def squared_to(points: np.ndarray) -> np.ndarray:
        """Squared distances of all from these (R, m) points: (R, m, n)."""
        flat = torch.from_numpy(points.ravel()).to(x.device)
        far = torch.addmm(square, wide[flat], wide.T, alpha=-2).add_(square[flat, None]).clamp_(min=0)
        return far.to(x.dtype).cpu().numpy().reshape(*points.shape, n)

    one = np.ones(n, np.float32)
    chosen = np.empty((RESTARTS, clusters), np.int64)
    chosen[:, 0] = [first for first, _ in drawn]
    closest = list(squared_to(chosen[:, :1])[:, 0])
    potential = [own @ one for own in closest]
    for k in range(1, clusters):
        aims = [uniform[k - 1] * potential[r] for r, (_, uniform) in enumerate(drawn)]
        found = [np.searchsorted(np.cumsum(own), aim) for own, aim in zip(closest, aims, strict=True)]
        candidates = np.minimum(found, n - 1)  # (R, trials)
        for r, squared in enumerate(squared_to(candidates)):
            after = np.minimum(closest[r], squared)  # (trials, n)
            potentials = after @ one[:, None]
            best = int(np.argmin(potentials))
            chosen[r, k] = candidates[r, best]
            closest[r], potential[r] = after[best], potentials[best]
    return x[torch.from_numpy(chosen).to(x.device)]


def _lloyd(x: Tensor, centres: Tensor, tolerance: float) -> tuple[Tensor, Tensor] | None:
    """Labels (R, n) and inertias (R,) that the restarts end with; None where a cluster ran empty."""
    restarts, clusters, _ = centres.shape
    labels = torch.full((restarts, len(x)), -1)
    total = torch.zeros(centres.shape, dtype=torch.float64)  # of each cluster's points; kept up, not redone
    size = torch.zeros(restarts, clusters, dtype=torch.float64)
    columns = x.T.contiguous()
    active = list(range(restarts))
    for _ in range(MOST_STEPS):
        now, _ = nearest(columns, centres[active])
        going = []
        for r, new in zip(active, now, strict=True):
            moved = torch.nonzero(new != labels[r]).squeeze(1)
            _move(total[r], size[r], x[moved], labels[r, moved], new[moved])
            labels[r] = new
            if not size[r].all():
                return None
            before, centres[r] = centres[r].clone(), (total[r] / size[r, :, None]).to(x.dtype)
            if len(moved) and float((centres[r] - before).square().sum()) > tolerance:
                going.append(r)
        active = going
        if not active:
            break
    labels, score = nearest(columns, centres)
    if any(len(torch.unique(own)) < clusters for own in labels):
        return None
    return labels, score.sum(1, dtype=torch.float64) + x.square().sum(dtype=torch.float64)


def _move(total: Tensor, size: Tensor, x: Tensor, old: Tensor, new: Tensor) -> None:
    """Take points x (m, D) from their old clusters (-1: none) to new ones, in total (K, D) and size (K,)."""
    which = torch.arange(len(size))[:, None]
    change = (new == which).double() - (old == which).double()  # (K, m)
    total += change @ x.double()
    size += change.sum(1)
