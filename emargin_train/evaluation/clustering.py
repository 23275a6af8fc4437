"""How well embeddings form clusters: KMeans as published, and metrics that help to judge its score."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from emargin_train.evaluation.degenerate import Degenerate, need_spread
from emargin_train.evaluation.distances import all_pairs
from emargin_train.evaluation.geometry import spectrum
from emargin_train.evaluation.kmeans import kmeans as restarted
from emargin_train.evaluation.points import centred, distinct, largest

NULL_DRAWS = 3
NULL_POINTS = 2000


def kmeans(h: Tensor, clusters: int, *, seed: int = 1) -> np.ndarray:
    """Cluster of each frame: (n,) int. Ten k-means++ starts, the tightest kept, as published.

    Raises Degenerate where h has fewer distinct rows than clusters.
    """
    different = len(distinct(h))
    if different < clusters:
        raise Degenerate(
            f"{different} distinct embeddings among {len(h)} frames, fewer than {clusters} clusters"
        )
    return restarted(h, clusters, seed=seed)


def codes_of(labels: np.ndarray) -> np.ndarray:
    """Clusters numbered 0 to K-1, (n,). Raises Degenerate for fewer than 2 clusters, or as many as points."""
    code = np.unique(labels, return_inverse=True)[1]
    if not 2 <= code.max() + 1 < len(labels):
        raise Degenerate(f"{code.max() + 1} clusters among {len(labels)} frames have no Silhouette")
    return code


def silhouette(total: np.ndarray, code: np.ndarray) -> float:
    """Mean Silhouette, from summed distances to each cluster (`all_pairs`) and the cluster of each point.

        s_i = (b_i - a_i) / max(a_i, b_i), and 0 for a point alone in its cluster (Rousseeuw 1987)
        a_i: mean distance to the other points of its cluster; b_i: to the points of the nearest other cluster

    total: (n, K); code: (n,), 0 to K-1. Distances are in float32: equal to scikit-learn within 1e-4.
    """
    size, row = np.bincount(code), np.arange(len(code))
    a = total[row, code] / np.maximum(size[code] - 1, 1)
    mean = total / size
    mean[row, code] = np.inf
    b = mean.min(1)
    larger = np.maximum(a, b)
    undefined = (size[code] == 1) | (larger == 0)
    return float(np.where(undefined, 0.0, (b - a) / np.where(larger == 0, 1, larger)).mean())


def silhouettes(h: Tensor, *labellings: np.ndarray) -> list[float]:
    """`silhouette` of each labelling (n,) of the points h (n, D). Raises Degenerate as `codes_of`."""
    codes = [codes_of(labels) for labels in labellings]
    return [silhouette(total, code) for total, code in zip(all_pairs(h, *codes).total, codes, strict=True)]


def published(h: Tensor, labels: np.ndarray) -> tuple[float, float, float]:
    """(Davies-Bouldin, Calinski-Harabasz, share of the largest cluster) of clusters on h.

        DB = mean_k max_(l != k) (w_k + w_l) / |c_k - c_l|
        CH = (sum_k n_k |c_k|^2 / (K - 1)) / (sum_i |x_i - c_(k_i)|^2 / (n - K))

    with x: h less its mean, c: centres, w: mean distance of a cluster's points to its centre.

    If no cluster has any width, DB is 0 and CH is 1, as in scikit-learn.
    If the share is near 1, a high Silhouette only means that a few frames lie far from all others.
    """
    code = np.unique(labels, return_inverse=True)[1]
    x, size = centred(h), np.bincount(code)
    own = torch.from_numpy(np.eye(len(size))[code]).to(h.device)  # (n, K)
    centre = (own.T @ x) / own.sum(0)[:, None]
    squared = (x - centre[torch.from_numpy(code).to(h.device)]).square().sum(1)
    within = torch.stack([own.T @ squared.sqrt(), own.T @ squared]).cpu().numpy()
    c = centre.cpu().numpy()
    width, apart = within[0] / size, np.linalg.norm(c[:, None] - c, axis=2)
    if np.allclose(width, 0) or np.allclose(apart, 0):
        davies = 0.0
    else:
        apart[apart == 0] = np.inf
        davies = float(((width[:, None] + width) / apart).max(1).mean())
    inside, between = within[1].sum(), (size * (c**2).sum(1)).sum()
    calinski = 1.0 if inside == 0 else float(between * (len(code) - len(size)) / (inside * (len(size) - 1)))
    return davies, calinski, float(size.max() / len(code))


def agreement(labels: np.ndarray, classes: np.ndarray) -> tuple[float, float]:
    """(NMI, ARI) of clusters and classes. Equal partitions give 1; by chance ARI is 0 and NMI near 0.

        NMI = 2 I / (H_clusters + H_classes)
        ARI = 2 (t u - f g) / ((t + g)(g + u) + (t + f)(f + u))   of pairs of points

    with t: pairs in one cluster and one class, u: in neither, f: in one cluster only, g: in one class only.
    """
    a, b = (np.unique(labelling, return_inverse=True)[1] for labelling in (labels, classes))
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1)
    n, of_a, of_b = len(a), joint.sum(1), joint.sum(0)
    entropy_a, entropy_b, both = (entropy(counts / n) for counts in (of_a, of_b, joint.ravel()))
    shared = max(0.0, entropy_a + entropy_b - both)
    nmi = 1.0 if entropy_a + entropy_b == 0 else 2 * shared / (entropy_a + entropy_b)
    t, in_a, in_b = ((counts**2).sum() - n for counts in (joint, of_a, of_b))
    f, g = in_a - t, in_b - t
    u = n**2 - n - t - f - g
    ari = 1.0 if f == g == 0 else 2 * (t * u - f * g) / ((t + g) * (g + u) + (t + f) * (f + u))
    return float(nmi), float(ari)


def entropy(p: np.ndarray) -> float:
    """- sum p log p."""
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def silhouette_null(
    h: Tensor, clusters: int, *, seed: int = 1, draws: int = NULL_DRAWS, variance: np.ndarray | None = None
) -> float:
    """Mean Silhouette that the same KMeans reaches on Gaussian data with the covariance of h.

    The points are drawn in the eigenbasis of the covariance, since neither KMeans nor Silhouette changes
    under rotation; directions with less than 1e-6 of the variance are left out. A draw has at most 2,000
    points; for spectra from flat to steep, its Silhouette is at most 0.004 above that of 5,000 points. Raises
    Degenerate for constant h.

    variance: `geometry.spectrum` of h where it is already known
    """
    variance = np.sort(spectrum(h) if variance is None else variance)
    deviation = np.sqrt(variance[variance > 1e-6 * variance.sum()])
    n, d = min(len(h), NULL_POINTS), len(deviation)
    normals = _normals(seed, draws * n * d).reshape(draws, n, d)
    reached = []
    for draw in range(draws):
        x = torch.from_numpy((normals[draw] * deviation).astype(np.float32)).to(h.device)
        reached += silhouettes(x, kmeans(x, clusters, seed=seed + draw))
    return float(np.mean(reached))


def silhouette_permuted(h: Tensor, clusters: int, *, seed: int = 1) -> float:
    """Silhouette that the same KMeans reaches when the principal scores of h are permuted independently.

    The permuted cloud has the spectrum of h and, along each principal axis, its very values with all tails
    and outliers; only what ties the axes to each other is gone. Where this cloud reaches a score that a
    Gaussian does not, heavy tails explain it. One draw of at most 2,000 points, with directions left out as
    in `silhouette_null`. Raises Degenerate for constant h.
    """
    rng = np.random.default_rng([seed, 1])
    x = centred(h)
    if len(x) > NULL_POINTS:
        x = x[torch.from_numpy(np.sort(rng.permutation(len(x))[:NULL_POINTS])).to(x.device)]
    variance, axes = torch.linalg.eigh(x.T @ x / len(x))
    need_spread(float(variance.clamp_min(0).sum()), largest(h), len(h))
    scores = (x @ axes[:, variance > 1e-6 * variance.sum()]).cpu().numpy()
    permuted = rng.permuted(scores, axis=0).astype(np.float32)
    drawn = torch.from_numpy(permuted).to(h.device)
    return silhouettes(drawn, kmeans(drawn, clusters, seed=seed))[0]


def _normals(seed: int, n: int) -> np.ndarray:
    """n standard normals, from a kept power of two of them, since the next encoder needs the same."""
    return _kept_normals(seed, 1 << (n - 1).bit_length())[:n]


@lru_cache(maxsize=1)
def _kept_normals(seed: int, n: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal(n)
    drawn.flags.writeable = False
    return drawn
