"""How well embeddings fall into clusters: KMeans as published, and what is needed to judge its score."""

import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import (
    adjusted_rand_score,
    calinski_harabasz_score,
    davies_bouldin_score,
    normalized_mutual_info_score,
)

BLOCK = 1024  # rows of the distance matrix held at once
NULL_DRAWS = 4


class Degenerate(ValueError):
    """A metric has no value on these embeddings; the message says why."""


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

    h: (n, D); labellings: (n,) int each. Distances in float32 after centring:
    equal to scikit-learn within 1e-4.
    Raises Degenerate where a labelling has fewer than two clusters, or as many as points.
    """
    onehots = []
    for labels in labellings:
        _, codes = np.unique(labels, return_inverse=True)
        clusters = codes.max() + 1
        if not 2 <= clusters < len(h):
            raise Degenerate(f"{clusters} clusters among {len(h)} frames have no Silhouette")
        onehots.append(np.eye(clusters, dtype=np.float32)[codes])  # (n, K)
    scores = [np.empty(len(h)) for _ in labellings]
    centred = (h - h.mean(0, dtype=np.float64)).astype(np.float32)
    square = np.einsum("nd,nd->n", centred, centred)
    stacked = np.concatenate(onehots, axis=1)
    for low in range(0, len(h), BLOCK):
        rows = slice(low, min(low + BLOCK, len(h)))
        distance = centred[rows] @ centred.T  # (block, n)
        distance *= -2
        distance += square
        distance += square[rows, None]
        np.maximum(distance, 0, out=distance)
        np.sqrt(distance, out=distance)
        distance[np.arange(rows.stop - low), np.arange(low, rows.stop)] = 0
        totals = (distance @ stacked).astype(np.float64)  # (block, sum of K)
        column = 0
        for score, onehot in zip(scores, onehots, strict=True):
            total = totals[:, column : column + onehot.shape[1]]
            column += onehot.shape[1]
            score[rows] = _silhouette_of_rows(total, onehot[rows].argmax(1), onehot.sum(0, dtype=np.float64))
    return [float(score.mean()) for score in scores]


def _silhouette_of_rows(total: np.ndarray, own: np.ndarray, size: np.ndarray) -> np.ndarray:
    """total: (rows, K) summed distances to each cluster; own: (rows,) cluster; size: (K,)."""
    row = np.arange(len(own))
    alone = size[own] == 1
    a = total[row, own] / np.maximum(size[own] - 1, 1)
    mean = total / size
    mean[row, own] = np.inf
    b = mean.min(1)
    larger = np.maximum(a, b)
    return np.where(alone | (larger == 0), 0.0, (b - a) / np.where(larger == 0, 1, larger))


def davies_bouldin(h: np.ndarray, labels: np.ndarray) -> float:
    """Mean over clusters of the worst (spread_i + spread_j) / centroid distance; 0 and above, low is good."""
    return float(davies_bouldin_score(h, labels))


def calinski_harabasz(h: np.ndarray, labels: np.ndarray) -> float:
    """Between- to within-cluster variance, each by its degrees of freedom; above 0, high is good."""
    return float(calinski_harabasz_score(h, labels))


def largest_cluster_share(labels: np.ndarray) -> float:
    """Share of frames in the largest cluster; near 1, a high Silhouette only says that few lie apart."""
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def agreement(labels: np.ndarray, classes: np.ndarray) -> tuple[float, float]:
    """(NMI, ARI) of clusters and classes; both 1 for equal partitions, ARI 0 and NMI near 0 by chance."""
    return float(normalized_mutual_info_score(classes, labels)), float(adjusted_rand_score(classes, labels))


def silhouette_null(h: np.ndarray, clusters: int, *, seed: int = 1, draws: int = NULL_DRAWS) -> float:
    """Mean Silhouette that the same KMeans reaches on Gaussian data with the covariance of h.

    Drawn in the eigenbasis of the covariance: neither KMeans nor Silhouette changes under rotation, and
    directions holding less than 1e-6 of the variance are left out.
    Raises Degenerate for constant h.
    """
    centred = (h - h.mean(0, dtype=np.float64)).astype(np.float64)
    variance = np.linalg.eigvalsh(centred.T @ centred / len(h))
    variance = variance[variance > 1e-6 * variance.sum()]
    if not len(variance):
        raise Degenerate(f"all {len(h)} embeddings are equal: they have no spread")
    rng = np.random.default_rng(seed)
    reached = []
    for draw in range(draws):
        x = (rng.standard_normal((len(h), len(variance))) * np.sqrt(variance)).astype(np.float32)
        reached += silhouettes(x, kmeans(x, clusters, seed=seed + draw))
    return float(np.mean(reached))
