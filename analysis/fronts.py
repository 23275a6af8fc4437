"""Pareto fronts of two goals: functions of arrays.

Points are (n, 2); `best` has "max" or "min" for each goal. A point with a nan is on no front.
"""

from collections.abc import Sequence

import numpy as np


def upward(points: np.ndarray, best: Sequence[str]) -> np.ndarray:
    """The points with signs chosen so that more is better in every goal."""
    signs = np.array([{"max": 1.0, "min": -1.0}[end] for end in best])
    return np.asarray(points, dtype=float) * signs


def non_dominated(points: np.ndarray, best: Sequence[str]) -> np.ndarray:
    """(n,) bool: True where no other point is at least as good in both goals and better in one."""
    p = upward(points, best)
    valid = ~np.isnan(p).any(axis=1)
    mask = np.zeros(len(p), dtype=bool)
    if not valid.any():
        return mask
    q = p[valid]
    mask[valid] = _front(q)
    return mask


def _front(q: np.ndarray) -> np.ndarray:
    """Sweep down from the best x: a point stays if its y is better than all y at better x. O(n log n)."""
    order = np.lexsort((-q[:, 1], -q[:, 0]))
    x, y = q[order, 0], q[order, 1]
    seen = np.maximum.accumulate(y)
    before = np.concatenate([[-np.inf], seen[:-1]])
    twin = np.concatenate([[False], (x[1:] == x[:-1]) & (y[1:] == y[:-1])])
    keep = y > before
    for i in np.flatnonzero(twin):  # equal points are both on the front, or neither is
        keep[i] = keep[i - 1]
    mask = np.empty(len(q), dtype=bool)
    mask[order] = keep
    return mask


def hypervolume(points: np.ndarray, reference: Sequence[float], best: Sequence[str]) -> float:
    """Area between a reference point and the front of two goals (Zitzler & Thiele 1998); >= 0.

    Points that do not beat the reference in both goals add nothing.
    """
    p, r = upward(points, best), upward(np.asarray(reference), best)
    p = p[(p > r).all(axis=1)]  # nan compares false
    if len(p) == 0:
        return 0.0
    front = p[_front(p)]
    front = front[np.argsort(-front[:, 0], kind="stable")]
    heights = np.maximum.accumulate(front[:, 1]) - np.concatenate([[r[1]], front[:-1, 1]])
    return float(((front[:, 0] - r[0]) * heights).sum())


def hypervolume_course(points: np.ndarray, reference: Sequence[float], best: Sequence[str]) -> np.ndarray:
    """(n,) hypervolumes of the first 1, 2, … n points. They never fall."""
    course = np.zeros(len(points))
    front = np.empty((0, 2))
    for i, point in enumerate(np.asarray(points, dtype=float)):
        both = np.vstack([front, point])
        mask = non_dominated(both, best)
        if mask[-1]:
            front = both[mask]
            course[i] = hypervolume(front, reference, best)
        else:
            course[i] = course[i - 1] if i else 0.0
    return course


def expected_hypervolume(
    points: np.ndarray,
    reference: Sequence[float],
    best: Sequence[str],
    *,
    size: int,
    rng: np.random.Generator,
    draws: int = 200,
) -> float:
    """Mean hypervolume of `size` points drawn without replacement, which makes unequal budgets comparable."""
    points = np.asarray(points, dtype=float)
    if size >= len(points):
        return hypervolume(points, reference, best)
    chosen = (points[rng.choice(len(points), size, replace=False)] for _ in range(draws))
    return float(np.mean([hypervolume(part, reference, best) for part in chosen]))


def front_probability(
    means: np.ndarray,
    standard_errors: np.ndarray,
    degrees: np.ndarray,
    best: Sequence[str],
    *,
    rng: np.random.Generator,
    draws: int = 400,
) -> np.ndarray:
    """(n,) probability that each trial is on the front: the share of random draws of all true means.

    The true means of a trial are drawn from t distributions with its standard errors (n, goals) and degrees
    of freedom (n,), independently for the goals. This is the posterior of a normal mean under the usual flat
    prior. The probability is nan where the spread is unknown.
    """
    known = ~np.isnan(means).any(axis=1) & ~np.isnan(standard_errors).any(axis=1) & (degrees > 0)
    probability = np.full(len(means), np.nan)
    if not known.any():
        return probability
    m, s = means[known], standard_errors[known]
    draws = max(draws // (1 + len(m) // 5000), 50)  # for many trials fewer draws: still precise to 0.07
    t = rng.standard_t(degrees[known][None, :, None], size=(draws, *m.shape))
    probability[known] = np.mean([non_dominated(m + s * noise, best) for noise in t], axis=0)
    return probability


def knee(points: np.ndarray, best: Sequence[str]) -> int | None:
    """Index of the front's point farthest above the chord between its two ends, with goals scaled to [0, 1].

    None if the front has fewer than three points, or none is above the chord (Das 1999, normal-boundary
    intersection).
    """
    p = upward(points, best)
    front = np.flatnonzero(non_dominated(points, best))
    if len(front) < 3:
        return None
    low, high = p[front].min(axis=0), p[front].max(axis=0)
    if (low == high).any():
        return None
    above = ((p[front] - low) / (high - low)).sum(axis=1) - 1  # the chord joins (1, 0) and (0, 1)
    return int(front[above.argmax()]) if above.max() > 0 else None
