"""InfoTS: sequences against sequences, segments against segments (Luo et al., AAAI 2023, arXiv:2303.11911).

This follows the equations; the official code has no licence and is not used.

    m_b = max over t of z[b, t];  L_global = C({m1_b} and {m2_b})                           (C: `two_views`)
    s_r = max over t in [o + r c, o + (r + 1) c) of z1[b, t],  c = floor(T / k),  r = 0..k-1
    p(r) = r + 1, p(k - 1) = k - 2;  X(r) = {r - 1, r, r + 1}, and 2 if r = 0, and k - 3 if r = k - 1
    L_local = (1/k) sum_r [ log( e^{s_r . s_p(r)} + sum_{q not in X(r)} e^{s_r . s_q} ) - s_r . s_p(r) ]
    L = L_global + beta L_local
"""

import torch
from torch import Tensor

from emargin_train.errors import UserError
from emargin_train.losses.two_views import contrast


def global_contrast(z1: Tensor, z2: Tensor, *, pooling: str = "max", temperature: float = 1.0) -> Tensor:
    """L_global: a scalar >= 0, and 0 for B = 1.

    z1, z2: (B, T, D); pooling: `max` or `mean` over time; temperature: divides inner products
    """
    if pooling == "max":
        m1, m2 = z1.amax(1), z2.amax(1)
    elif pooling == "mean":
        m1, m2 = z1.mean(1), z2.mean(1)
    else:
        raise UserError(f"pooling is '{pooling}', but sequences are pooled by 'max' or 'mean': give one")
    scale = temperature**-0.5
    return contrast(m1 * scale, m2 * scale)


def local_contrast(z1: Tensor, *, k: int = 8, start: int = 0) -> Tensor:
    """L_local, mean over the sequences of z1: a scalar >= 0. It is 0 for k = 2 and 3, without negatives.

    The official code uses only the first sequence of a batch: give z1[:1] for that.

    z1: (B, T, D); k: segments, 2 to T; start: o, from 0 to T - k floor(T / k), see `draw_start`
    """
    check_segments(k, z1.shape[1])
    c = z1.shape[1] // k
    s = z1[:, start : start + k * c].unflatten(1, (k, c)).amax(2)  # (B, k, D)
    products = s @ s.mT
    r = torch.arange(k, device=z1.device)
    positive = torch.where(r < k - 1, r + 1, k - 2)
    left_out = (r[:, None] - r).abs() <= 1
    left_out[0, min(2, k - 1)] = True
    left_out[k - 1, max(k - 3, 0)] = True
    own = products[:, r, positive]
    left_out[r, positive] = False
    return (products.masked_fill(left_out, -torch.inf).logsumexp(-1) - own).mean()


def infots_loss(
    z1: Tensor, z2: Tensor, *, k: int = 8, start: int = 0, beta: float = 1.0, first_only: bool = False
) -> Tensor:
    """L of an augmented view z1 and the raw one z2: a scalar >= 0.

    z1, z2: (B, T, D); first_only: segments of the batch's first sequence alone, as the official code and the
    eMargin release do
    """
    local = local_contrast(z1[:1] if first_only else z1, k=k, start=start)
    return global_contrast(z1, z2) + beta * local


def draw_start(n_frames: int, k: int, generator: torch.Generator) -> int:
    """o, uniform on 0..T - k floor(T / k)."""
    check_segments(k, n_frames)
    return int(torch.randint(n_frames % k + 1, (), generator=generator, device=generator.device))


def check_segments(k: int, n_frames: int) -> None:
    """Raises UserError unless sequences of so many frames can be cut into k segments."""
    if not 2 <= k <= n_frames:
        raise UserError(
            f"InfoTS cuts sequences into k = {k} segments, but they have {n_frames} frames: give sequences "
            "of 2 frames or more, and a k from 2 to their number of frames"
        )
