"""How well embeddings fall into clusters: KMeans as published, and what is needed to judge its score."""

import warnings

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import (
    adjusted_rand_score,
    calinski_harabasz_score,
    davies_bouldin_score,
    normalized_mutual_info_score,
)

from emargin_train.evaluation.degenerate import Degenerate, need_spread
from emargin_train.evaluation.distances import squared_distances

NULL_DRAWS = 3
NULL_POINTS = 2000


def unit(h: np.ndarray) -> np.ndarray:
    """z = h/|h|: (n, D); a zero vector stays zero, as in the objectives."""
    norm = np.linalg.norm(h, axis=1, keepdims=True)
    return h / np.where(norm > 0, norm, 1)


def kmeans(h: np.ndarray, clusters: int, *, seed: int = 1) -> np.ndarray:
    """Cluster of each frame: (n,) int. Ten k-means++ starts, the tightest kept, as published.

    Raises Degenerate where h has fewer distinct rows than clusters.
    """
    distinct = len({row.tobytes() for row in np.ascontiguousarray(h)})
    if distinct < clusters:
        raise Degenerate(
            f"{distinct} distinct embeddings among {len(h)} frames, fewer than {clusters} clusters"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            return KMeans(clusters, n_init=10, random_state=seed).fit_predict(h)
        except ConvergenceWarning as warning:
            raise Degenerate(f"KMeans: {' '.join(str(warning).split())}") from None


def silhouettes(h: np.ndarray, *labellings: np.ndarray) -> list[float]:
    """Mean Silhouette of each labelling of the same points, from one pass over their distances.

        s_i = (b_i - a_i) / max(a_i, b_i),  a_i: mean distance to the own cluster, b_i: to the nearest other;
        0 for a point alone in its cluster (Rousseeuw 1987)

    h: (n, D); labellings: (n,) int each. Distances in float32: equal to scikit-learn within 1e-4.
    Raises Degenerate where a labelling has fewer than two clusters, or as many as points.
    """
    codes = [np.unique(labels, return_inverse=True)[1] for labels in labellings]
    for code in codes:
        if not 2 <= code.max() + 1 < len(h):
            raise Degenerate(f"{code.max() + 1} clusters among {len(h)} frames have no Silhouette")
    members = [torch.from_numpy(np.eye(code.max() + 1, dtype=np.float32)[code]) for code in codes]  # (n, K)
    scores = [np.empty(len(h)) for _ in labellings]
    for rows, squared in squared_distances(h):
        distance = squared.sqrt_()
        for code, member, score in zip(codes, members, scores, strict=True):
            total = (distance @ member).double().numpy()  # (block, K)
            score[rows] = _silhouette_of_rows(total, code[rows], np.bincount(code))
    return [float(score.mean()) for score in scores]


def _silhouette_of_rows(total: np.ndarray, own: np.ndarray, size: np.ndarray) -> np.ndarray:
    """total: (rows, K) summed distances to each cluster; own: (rows,) cluster; size: (K,)."""
    row = np.arange(len(own))
    a = total[row, own] / np.maximum(size[own] - 1, 1)
    mean = total / size
    mean[row, own] = np.inf
    b = mean.min(1)
    larger = np.maximum(a, b)
    undefined = (size[own] == 1) | (larger == 0)
    return np.where(undefined, 0.0, (b - a) / np.where(larger == 0, 1, larger))


def published(h: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """(Davies-Bouldin, Calinski-Harabasz, share of the largest cluster) of clusters on h.

    Near a share of 1, a high Silhouette only says that few frames lie far from all others.
    """
    largest = np.unique(labels, return_counts=True)[1].max() / len(labels)
    return davies_bouldin_score(h, labels), calinski_harabasz_score(h, labels), float(largest)


def agreement(labels: np.ndarray, classes: np.ndarray) -> tuple[float, float]:
    """(NMI, ARI) of clusters and classes; both 1 for equal partitions, ARI 0 and NMI near 0 by chance."""
    return float(normalized_mutual_info_score(classes, labels)), float(adjusted_rand_score(classes, labels))


def silhouette_null(h: np.ndarray, clusters: int, *, seed: int = 1, draws: int = NULL_DRAWS) -> float:
    """Mean Silhouette that the same KMeans reaches on Gaussian data with the covariance of h.

    Drawn in the eigenbasis of the covariance: neither KMeans nor Silhouette changes under rotation, and
    directions holding less than 1e-6 of the variance are left out. A draw has at most 2,000 points; for
    spectra from flat to steep its Silhouette is at most 0.004 above that of 5,000 points.
    Raises Degenerate for constant h.
    """
    centred = h - h.mean(0, dtype=np.float64)
    variance = np.linalg.eigvalsh(centred.T @ centred / len(h))
    need_spread(float(variance.sum()), float(np.abs(h).max()), len(h))
    variance = variance[variance > 1e-6 * variance.sum()]
    deviation = np.sqrt(variance)
    rng = np.random.default_rng(seed)
    reached = []
    for draw in range(draws):
        x = (rng.standard_normal((min(len(h), NULL_POINTS), len(variance))) * deviation).astype(np.float32)
        reached += silhouettes(x, kmeans(x, clusters, seed=seed + draw))
    return float(np.mean(reached))
