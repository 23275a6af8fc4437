"""KMeans like scikit-learn's, for all restarts together: one product finds the nearest centres of all.

Letters: n points of D dimensions, R restarts of K clusters.
"""

import warnings

import numpy as np
import torch
from torch import Tensor

from emargin_train.evaluation.degenerate import Degenerate

RESTARTS = 10
MOST_STEPS = 300
TOLERANCE = 1e-4  # share of the mean variance: a restart ends when its centres' squared moves sum to less
EQUALLY_TIGHT = 1e-6  # if two inertias differ relatively by less, the first restart is kept


def kmeans(h: Tensor, clusters: int, *, seed: int) -> np.ndarray:
    """Cluster of each point, (n,) int: what `KMeans(clusters, n_init=10, random_state=seed)` finds.

    The k-means++ starts, the steps and the ends are those of scikit-learn, up to rounding. If a cluster
    becomes empty, which may happen when many points are equal, scikit-learn computes the clusters instead.

    h: (n, D) float32, with at least K distinct rows
    """
    x, tolerance = h - h.mean(0), TOLERANCE * float(h.var(0, correction=0).mean())
    found = lloyd(x, starts(x, clusters, np.random.RandomState(seed)), tolerance)
    if found is None:
        return by_scikit_learn(h.cpu().numpy(), clusters, seed)
    labels, inertia = found[0], found[1].cpu().tolist()
    best = 0
    for restart in range(1, RESTARTS):
        if inertia[restart] < inertia[best] * (1 - EQUALLY_TIGHT):
            best = restart
    return labels[best].cpu().numpy()


def by_scikit_learn(h: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Cluster of each point. Raises Degenerate where scikit-learn warns that it found fewer clusters."""
    from sklearn.cluster import KMeans  # it takes a second to load, and is seldom needed
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            return KMeans(clusters, n_init=RESTARTS, random_state=seed).fit_predict(h)
        except ConvergenceWarning as warning:
            raise Degenerate(f"KMeans: {' '.join(str(warning).split())}") from None


def starts(x: Tensor, clusters: int, rng: np.random.RandomState) -> Tensor:
    """Centres chosen by greedy k-means++ (Arthur & Vassilvitskii 2007): (R, K, D).

    Random numbers are used in scikit-learn's order, and potentials are added up in its precision on the host,
    so that the same points are chosen on every device. For all restarts together, the host reads from the
    device K times.
    """
    n, trials = len(x), 2 + int(np.log(clusters))
    even = np.full(n, 1 / n, np.float32)
    drawn = [(rng.choice(n, p=even), rng.uniform(size=(clusters - 1, trials))) for _ in range(RESTARTS)]
    wide = x.double()
    square = wide.square().sum(1)

    def squared_to(points: np.ndarray) -> np.ndarray:
        """Squared distances of all points from these (R, m) points: (R, m, n)."""
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


def nearest(columns: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest centre of each point, and its |c|^2 - 2 x.c: (R, n) each. columns: the points, (D, n)."""
    flat = centres.flatten(0, 1)
    score = torch.addmm(flat.square().sum(1)[:, None], flat, columns, alpha=-2)
    closest, labels = score.unflatten(0, centres.shape[:2]).min(1)
    return labels, closest


def lloyd(x: Tensor, centres: Tensor, tolerance: float) -> tuple[Tensor, Tensor] | None:
    """Return labels (R, n) and inertias (R,) at the end of all restarts; None if a cluster became empty.

    A restart ends once the squared moves of its centres in a step sum to `tolerance` or less. The sums of the
    clusters' points are not computed again in each step; only points that changed their cluster are moved.
    """
    restarts, clusters, _ = centres.shape
    columns, points = x.T.contiguous(), torch.cat([x, x.new_ones(len(x), 1)], 1)
    which = torch.arange(clusters, device=x.device)[:, None]
    labels = torch.full((restarts, len(x)), -1, device=x.device)
    total = torch.zeros(restarts, clusters, points.shape[1], dtype=torch.float64, device=x.device)
    centres, going = centres.clone(), torch.arange(restarts, device=x.device)
    for _ in range(MOST_STEPS):
        new, old = nearest(columns, centres[going])[0], labels[going]
        labels[going] = new
        some = torch.nonzero((new != old).any(0))[:, 0]  # (m,) points that changed cluster in any restart
        new, old = new[:, None, some], old[:, None, some]
        change = (new == which).double() - (old == which).double()  # (R, K, m)
        total[going] += (change.flatten(0, 1) @ points[some].double()).view(-1, *total.shape[1:])
        own = total[going]
        moved = (own[:, :, :-1] / own[:, :, -1:]).to(x.dtype)  # 0/0 in an empty cluster
        far = (moved - centres[going]).square().sum((1, 2)) > tolerance
        centres[going] = moved
        empty, far = bool(moved.isnan().any()), far & (new != old).any(2)[:, 0]
        if empty:
            return None
        going = going[far]
        if not len(going):
            break
    labels, score = nearest(columns, centres)
    if bool(((labels[:, None] == which).sum(2) == 0).any()):
        return None
    return labels, score.sum(1, dtype=torch.float64) + x.square().sum(dtype=torch.float64)
