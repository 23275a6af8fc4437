"""Silhouette of KMeans on simple shapes: the clustering score of data without clusters.

KMeans cuts any shape into k pieces, and Silhouette rewards the cut: a segment of uniform density reaches more
than 0.5 for every k, although it has no clusters. Charts show these curves with the trials, over effective
rank.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import davies_bouldin_score, silhouette_score
from threadpoolctl import threadpool_limits

POINTS = 400
Shape = Callable[[np.random.Generator, int], np.ndarray]


def segment(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 2) uniform on a straight line."""
    return np.column_stack([rng.uniform(0, 1, n), np.zeros(n)])


def arc(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 2) uniform on half a circle."""
    angle = rng.uniform(0, np.pi, n)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def spiral(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 2) two turns of an Archimedean spiral, uniform along its length."""
    angle = 4 * np.pi * np.sqrt(rng.uniform(0, 1, n))  # length grows as the square of the angle
    return angle[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])


def gaussian(dimension: int) -> Shape:
    """(n, dimension) standard normal."""
    return lambda rng, n: rng.normal(size=(n, dimension))


SHAPES: dict[str, Shape] = {
    "segment": segment,
    "arc": arc,
    "spiral": spiral,
    **{f"Gaussian, {d} dimensions": gaussian(d) for d in (2, 3, 5, 10, 20, 50)},
}


def effective_rank(x: np.ndarray) -> float:
    """Exponential of the entropy of the centred points' normalised singular values (Roy & Vetterli 2007)."""
    values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    share = values[values > 1e-12 * values[0]] / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


@cache
def reference_curves(n_clusters: int = 5, draws: int = 4, seed: int = 0) -> pd.DataFrame:
    """Scores of KMeans with n_clusters clusters on each shape, as means over some draws.

    Columns: shape, effective_rank, silhouette, davies_bouldin.
    """
    rng = np.random.default_rng(seed)
    rows = []
    with threadpool_limits(1):  # for so few points, several threads would be slower
        for name, shape in SHAPES.items():
            scores = np.mean([_scores(shape(rng, POINTS), n_clusters) for _ in range(draws)], axis=0)
            rows.append((name, *scores))
    return pd.DataFrame(rows, columns=["shape", "effective_rank", "silhouette", "davies_bouldin"])


def _scores(x: np.ndarray, n_clusters: int) -> tuple[float, float, float]:
    labels = KMeans(n_clusters, n_init=3, random_state=1).fit_predict(x)
    return effective_rank(x), float(silhouette_score(x, labels)), float(davies_bouldin_score(x, labels))
