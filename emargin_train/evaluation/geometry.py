"""The shape of a cloud of embeddings: how many directions it fills, and how evenly."""

import numpy as np
import torch
from torch import Tensor

from emargin_train.evaluation.degenerate import Degenerate, need_spread
from emargin_train.evaluation.distances import Pairs, all_pairs
from emargin_train.evaluation.points import centred, distinct, largest, unit

CANDIDATES = 8  # the nearest points by float32 products; among them, the two nearest are found exactly


def spectrum(h: Tensor) -> np.ndarray:
    """Eigenvalues of the covariance of h, largest first: (min(n, D),) float64, >= 0.

    Since they come from the covariance, singular values below 1e-8 of the largest are lost; that is two
    decimals below the rounding of float32 embeddings. Raises Degenerate for constant h.
    """
    x = centred(h)
    covariance = (x.T @ x if h.shape[1] <= len(h) else x @ x.T) / len(h)  # both have the same eigenvalues
    variance = torch.linalg.eigvalsh(covariance).cpu().numpy()[::-1].clip(min=0)
    need_spread(float(variance.sum()), largest(h), len(h))
    return variance


def effective_rank(variance: np.ndarray) -> float:
    """exp(-sum p log p), p = singular values (roots of `variance`) over their sum; 1 to D.

    Roy & Vetterli 2007; as a measure of collapse: RankMe, Garrido et al. 2023.
    """
    p = np.sqrt(variance)
    p = p[p > 0] / p.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def participation_ratio(variance: np.ndarray) -> float:
    """(sum l)^2 / sum l^2 of the eigenvalues of the covariance; 1 to D (Gao et al. 2017)."""
    return float(variance.sum() ** 2 / (variance**2).sum())


def mean_cosine(h: Tensor) -> float:
    """Mean cosine over all pairs of different frames, in closed form: (|sum z|^2 - sum |z|^2) / (n (n - 1)).

    Raises Degenerate where all embeddings are zero.
    """
    z = unit(h.double())
    if not bool(z.any()):
        raise Degenerate(f"all {len(h)} embeddings are zero: they have no direction")
    n = len(z)
    return float(((z.sum(0) ** 2).sum() - (z**2).sum()) / (n * (n - 1)))


def alignment(h: Tensor, following: Tensor) -> float:
    """Mean |z_i - z_(i+1)|^2 over adjacent frames; 0 to 4 (Wang & Isola 2020, alpha = 2)."""
    return float(((unit(h) - unit(following)) ** 2).sum(1).mean())


def uniformity(h: Tensor, pairs: Pairs | None = None) -> float:
    """log mean exp(-2 |z_i - z_j|^2) over pairs of different frames; -8 to 0 (Wang & Isola 2020, t = 2).

    pairs: a pass over the pairs of z with its potential, if there was one before
    """
    pairs = pairs or all_pairs(unit(h), potential=True)
    assert pairs.potential is not None
    return float(np.log(pairs.potential / (len(h) * (len(h) - 1))))


def intrinsic_dimension(h: Tensor, pairs: Pairs | None = None) -> float:
    """TwoNN (Facco et al. 2017), from mu, the ratio of a point's second to its first neighbour distance.

    As published, the dimension is the slope of a line through the origin, fitted to -log(1 - F(mu)) against
    log mu without the largest 10 %. Repeated points count once. Raises Degenerate for fewer than 10 different
    points.

    pairs: a pass over the pairs of h with its `CANDIDATES` nearest, if there was one before
    """
    once = distinct(h)
    n = len(once)
    if n < 10:
        raise Degenerate(f"{n} distinct embeddings are too few for an intrinsic dimension")
    if pairs is None or n < len(h):
        h = h[torch.from_numpy(once).to(h.device)]
        pairs = all_pairs(h, near=min(CANDIDATES, n - 1))
    first, second = _two_nearest(h.double(), pairs.near)
    log_mu = np.sort(np.log(second / first))[: int(0.9 * n)]
    if not log_mu.any():
        raise Degenerate("first and second neighbours are equally far everywhere")
    expected = -np.log1p(-np.arange(1, len(log_mu) + 1) / n)
    return float((log_mu * expected).sum() / (log_mu**2).sum())


def _two_nearest(h: Tensor, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact distances (n,) of each row to the nearest and second nearest of its candidates near (n, k)."""
    others = torch.from_numpy(near.T.copy()).to(h.device)
    distance = torch.stack([torch.linalg.vector_norm(h[o] - h, dim=1) for o in others], 1).cpu().numpy()
    two = np.partition(distance, 1, axis=1)
    return two[:, 0], two[:, 1]


def class_centroid_spread(h: Tensor, classes: np.ndarray) -> float:
    """Share of the variance of h that lies between class centroids, weighted by their frames; 0 to 1.

    Raises Degenerate for constant h.
    """
    x = centred(h)
    total = float((x**2).sum())
    need_spread(total / len(h), largest(h), len(h))
    code, size = np.unique(classes, return_inverse=True, return_counts=True)[1:]
    own = torch.from_numpy(np.eye(len(size))[code]).to(h.device)  # (n, K)
    centre = (own.T @ x) / own.sum(0)[:, None]
    return float((own.sum(0)[:, None] * centre**2).sum()) / total
