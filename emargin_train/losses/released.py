"""The losses of the released code with their faults, for reproduction only.

The batch is treated as one stream of N frames: the last frame of a sequence and the first of the next count
as adjacent. Nothing is masked or kept in log space. Terms are subtracted from sums of which they may not be
part, so the loss can be negative, infinite or not a number. `tests/emargin_train/losses/test_golden.py`
compares it with the numbers of the released code; docs/methods.md lists the faults.

Letters: z = normalised rows, S = z z^T, d_t = S_{t+1,t}, tau = temperature, m = margin, y = labels.
C_j = sum_{i != j} E_ij is the sum of column j of E without its diagonal.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

GAMMA = 0.05


def infonce_released(h: Tensor, *, temperature: float, neighbours: int = 2) -> Tensor:
    """The contrastive baselines of the release, with E = e^{S / tau}.

        neighbours = 1:  mean_t -log( e^{d_t / tau} / (C_t - e^{d_t / tau}) ),           t = 0 .. N-2
        neighbours = 2:  `_both_neighbours` with E

    h: (B, T, D) or (N, D), any scale. Returns a scalar of any sign; NaN or infinite at times.
    """
    s = _cosines(h)
    e = torch.exp(s / temperature)
    positive = torch.exp(s.diagonal(1) / temperature)  # (N-1,)
    column = _column_sums(e)
    if neighbours == 2:
        return _both_neighbours(positive, column, own_in_denominator=False)
    return -(positive / (column[:-1] - positive)).log().mean()


def emargin_released(
    h: Tensor, dissimilar: Tensor, *, margin: float, temperature: float, neighbours: int = 2
) -> Tensor:
    """The margin losses of the release. Column j of the kernel has the label of frame j.

        neighbours = 1:  S_tt = 0,  K_ij = (1 - y_j) S_ij^2 / 2 + y_j max(0, m - S_ij)^2 / 2
                         mean_t -log( e^{d_t / tau} / (sum_i e^{K_it} - e^{d_t / tau}) ),  t = 0 .. N-2
        neighbours = 2:  K_ij = -(1 - y_j) S_ij^2 / 2 + y_j max(0, m - S_ij)^2 / 2
                         `_both_neighbours` with E = e^{0.05 K / tau}

    h: (B, T, D) or (N, D), any scale; dissimilar: y of 0 and 1, (B, T) or (N,); that of the last frame is
    not used. Returns a scalar of any sign; often NaN or infinite.
    """
    s = _cosines(h)
    y = dissimilar.flatten().to(s.dtype)
    positive = torch.exp(s.diagonal(1) / temperature)
    if neighbours == 2:
        kernel = -(1 - y) * s.square() / 2 + y * (margin - s).clamp_min(0).square() / 2
        column = _column_sums(torch.exp(GAMMA * kernel / temperature))
        return _both_neighbours(positive, column, own_in_denominator=True)
    s = s * (1 - torch.eye(len(s), dtype=s.dtype, device=s.device))
    kernel = (1 - y) * s.square() / 2 + y * (margin - s).clamp_min(0).square() / 2
    column = torch.exp(kernel[:, :-1]).sum(0)  # i = t included
    return -(positive / (column - positive)).log().mean()


def _both_neighbours(positive: Tensor, column: Tensor, *, own_in_denominator: bool) -> Tensor:
    """The loss of anchor k+1 with both neighbours; its denominator is mixed with frame k's, k = 0 .. N-3:

    n_k = e^{d_k / tau} + e^{d_{k+1} / tau},   D_k = (C_k - e^{d_k / tau}) + (C_{k+1} - n_k)
    mean_k -log( n_k / D_k )     or, own_in_denominator, mean_k -log( n_k / (D_k + n_k) )
    """
    n = positive[:-1] + positive[1:]
    d = (column[:-2] - positive[:-1]) + (column[1:-1] - n)
    return -(n / (d + n if own_in_denominator else d)).log().mean()


def _cosines(h: Tensor) -> Tensor:
    z = F.normalize(h.flatten(0, -2), dim=-1)
    return z @ z.T


def _column_sums(e: Tensor) -> Tensor:
    return e.sum(0) - e.diagonal()
