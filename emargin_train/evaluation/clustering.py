"""How well embeddings fall into clusters: KMeans as published, and what is needed to judge its score."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import (
    adjusted_rand_score,
    calinski_harabasz_score,
    davies_bouldin_score,
    normalized_mutual_info_score,
)

from emargin_train.evaluation.degenerate import Degenerate, need_spread
from emargin_train.evaluation.distances import all_pairs
from emargin_train.evaluation.kmeans import kmeans as restarted

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
            return restarted(h, clusters, seed=seed)
        except ConvergenceWarning as warning:
            raise Degenerate(f"KMeans: {' '.join(str(warning).split())}") from None


def codes_of(labels: np.ndarray) -> np.ndarray:
    """Clusters as 0 to K-1, (n,). Raises Degenerate with fewer than two clusters, or as many as points."""
    code = np.unique(labels, return_inverse=True)[1]
    if not 2 <= code.max() + 1 < len(labels):
        raise Degenerate(f"{code.max() + 1} clusters among {len(labels)} frames have no Silhouette")
    return code


def silhouette(total: np.ndarray, code: np.ndarray) -> float:
    """Mean Silhouette, from summed distances to each cluster (`all_pairs`) and the points' own clusters.

        s_i = (b_i - a_i) / max(a_i, b_i),  a_i: mean distance to the own cluster, b_i: to the nearest other;
        0 for a point alone in its cluster (Rousseeuw 1987)

    total: (n, K); code: (n,), 0 to K-1. Distances in float32: equal to scikit-learn within 1e-4.
    """
    size, row = np.bincount(code), np.arange(len(code))
    a = total[row, code] / np.maximum(size[code] - 1, 1)
    mean = total / size
    mean[row, code] = np.inf
    b = mean.min(1)
    larger = np.maximum(a, b)
    undefined = (size[code] == 1) | (larger == 0)
    return float(np.where(undefined, 0.0, (b - a) / np.where(larger == 0, 1, larger)).mean())


def silhouettes(h: np.ndarray, *labellings: np.ndarray) -> list[float]:
    """`silhouette` of each labelling (n,) of the points h (n, D). Raises Degenerate as `codes_of`."""
    codes = [codes_of(labels) for labels in labellings]
    return [silhouette(total, code) for total, code in zip(all_pairs(h, *codes).total, codes, strict=True)]


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
