"""SoftCLT's soft targets for TS2Vec's contrast (Lee, Park, Lee, ICLR 2024, arXiv:2312.16424).

This follows the paper's equations; the official code has no licence and is not used. With TS2Vec's levels d:

    L = (1/n) sum_d [ lambda L_inst(w_I) + (1 - lambda) 1[d >= u] L_temp(w_T^(d)) ]
    w_I,ij = 2 a / (1 + e^{tau_I d_ij}) for i != j, 1 for i = j          d: distances scaled to [0, 1]
    w_T,ts^(d) = 2 / (1 + e^{tau_T 2^d |t - s|})                         below 1e-6: 0
"""

from collections.abc import Callable

import torch
from torch import Tensor

from emargin_train.errors import UserError
from emargin_train.losses.ts2vec import hierarchical_contrast

SMALLEST_WEIGHT = 1e-6


def soft_contrast(
    z1: Tensor,
    z2: Tensor,
    *,
    instance_weights: Tensor | None = None,
    temporal_weights: Callable[[int, int], Tensor] | None = None,
    weight: float | Tensor = 0.5,
    temporal_unit: int = 0,
) -> Tensor:
    """L: (...,). A term without weights is TS2Vec's hard term; without any weights, L is TS2Vec's loss.

    z1, z2: (..., B, T, D); instance_weights: `instance_weights(...)` of the batch, (..., B, B)
    temporal_weights: one of `sigmoid`, `gaussian`, `window`, `threshold`
    weight: lambda, of the instance term
    """
    return hierarchical_contrast(
        z1,
        z2,
        alpha=weight,
        temporal_unit=temporal_unit,
        instance_weights=instance_weights,
        temporal_weights=temporal_weights,
    )


def released_contrast(z1: Tensor, z2: Tensor, instance_weights: Tensor) -> Tensor:
    """The loss of the eMargin release: it ignores the soft targets, so this is TS2Vec's hard loss."""
    del instance_weights
    return hierarchical_contrast(z1, z2)


def instance_weights(distances: Tensor, *, tau: float | Tensor, alpha: float = 0.5) -> Tensor:
    """w_I from distances scaled to [0, 1]: (..., N, N), diagonal 1, elsewhere at most alpha.

    distances: (..., N, N); tau: tau_I >= 0, a tensor (..., 1, 1) where members differ
    """
    weights = 2 * alpha * torch.sigmoid(-tau * distances)
    weights.diagonal(0, -2, -1).fill_(1)
    return weights


def sigmoid(tau: float | Tensor, like: Tensor, *, hierarchical: bool = True) -> Callable[[int, int], Tensor]:
    """w_T of each level; with `hierarchical=False` the same tau_T is used at every level.

    tau: tau_T >= 0, a tensor (..., 1, 1) where members differ; like: gives dtype and device
    """

    def weights(level: int, n_frames: int) -> Tensor:
        sharpness = tau * 2**level if hierarchical else tau
        return _finish(2 * torch.sigmoid(-sharpness * _apart(n_frames, like)))

    return weights


def gaussian(tau: float | Tensor, like: Tensor) -> Callable[[int, int], Tensor]:
    """e^{-|t - s|^2 / (2 sigma^2)}, sigma = tau / 2^d."""

    def weights(level: int, n_frames: int) -> Tensor:
        return _finish(torch.exp(-((_apart(n_frames, like) * 2**level / tau) ** 2) / 2))

    return weights


def window(tau: float | Tensor, ratio: float, like: Tensor) -> Callable[[int, int], Tensor]:
    """Like `sigmoid`, but 0 for frames that are further apart than `ratio` of the level's frames."""
    inner = sigmoid(tau, like)

    def weights(level: int, n_frames: int) -> Tensor:
        return inner(level, n_frames).masked_fill(_apart(n_frames, like) > n_frames * ratio, 0)

    return weights


def threshold(share: float, like: Tensor) -> Callable[[int, int], Tensor]:
    """1 for frames at most `share` of the level's frames apart, else 0."""
    return lambda level, n_frames: (_apart(n_frames, like) <= n_frames * share).to(like.dtype)


def cosine_distances(x: Tensor) -> Tensor:
    """1 - cosine of flattened sequences: (N, N) in [0, 2], diagonal 0. A sequence of zeros has 1 to others.

    x: (N, T, F). Time N^2 T F / 2.
    """
    flat = torch.nn.functional.normalize(x.flatten(1), dim=-1)
    return _symmetric(1 - flat @ flat.mT)


def euclidean_distances(x: Tensor) -> Tensor:
    """Euclidean distances of flattened sequences: (N, N), diagonal 0. x: (N, T, F)"""
    flat = x.flatten(1)
    return torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")


def dtw_distances(x: Tensor) -> Tensor:
    """Dynamic time warping of multivariate sequences, by aeon: (N, N). Time: N^2 T^2 F / 2, for small sets.

    x: (N, T, F)
    """
    from aeon.distances import dtw_pairwise_distance  # optional, and slow to import

    return torch.from_numpy(dtw_pairwise_distance(x.double().transpose(1, 2).numpy())).to(x.dtype)


def scaled(distances: Tensor, *, scaling: str = "matrix") -> Tensor:
    """Distances scaled to [0, 1] by the smallest and largest distance between different sequences.

    The diagonal counts as the smallest distance of the matrix, so it becomes 0. If all distances are equal,
    or N = 1, all become 0.

    distances: (N, N)
    scaling: `matrix` scales over all pairs, as in the paper, and is symmetric; `columns` scales each column
        by itself, as in the published code, and is not symmetric
    """
    if scaling not in ("matrix", "columns"):
        raise UserError(
            f"scaling is '{scaling}', but distances are scaled by 'matrix' or by 'columns': give one"
        )
    n = len(distances)
    if n < 2:
        return torch.zeros_like(distances)
    own = torch.eye(n, dtype=torch.bool, device=distances.device)
    d = distances.masked_fill(own, distances[~own].min())
    low, high = (d.amin(), d.amax()) if scaling == "matrix" else (d.amin(0), d.amax(0))
    return (d - low) / torch.where(high > low, high - low, 1)


def _apart(n_frames: int, like: Tensor) -> Tensor:
    t = torch.arange(n_frames, dtype=like.dtype, device=like.device)
    return (t[:, None] - t).abs()


def _finish(weights: Tensor) -> Tensor:
    return weights.masked_fill(weights < SMALLEST_WEIGHT, 0)


def _symmetric(d: Tensor) -> Tensor:
    d = ((d + d.mT) / 2).clamp_min_(0)  # a product of matrices is symmetric but for rounding
    d.diagonal().zero_()
    return d
