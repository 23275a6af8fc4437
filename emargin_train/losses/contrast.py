"""InfoNCE, eMargin and its adjacent variant: a frame against all other frames of the batch.

Letters: B sequences of T frames, D dimensions of the embedding; S_ij = cosine of h_i and h_j for all
B T frames; P(i) = frames adjacent to i in its sequence (neighbours = 2: both, neighbours = 1: the
next); tau = temperature, m = margin, sigma = similar_sign, rho = dissimilar_sign.

Adjacent pairs are computed here, one cosine each. All other pairs are computed in `negatives`, or in `dense`
on a GPU and for several members of a stack: then h is (K, B, T, D), hyper-parameters are (K, 1, 1), and the
loss is (K,).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from emargin_train.losses import dense, negatives
from emargin_train.losses.kernels import Kernel, Linear, Parabola


def infonce(h: Tensor, *, temperature: float, neighbours: int = 2) -> Tensor:
    """InfoNCE: a frame's positives are its neighbours in the same sequence (van den Oord et al. 2018).

        l_i = -log( sum_{p in P(i)} e^{S_ip / tau} / sum_{j != i} e^{S_ij / tau} )

    h: (B, T, D), any scale.
    Returns the mean over frames having positives: a scalar, finite and >= 0.
    """
    far, before, after = _cosines(h, (Linear(temperature),))
    if neighbours == 1:
        return _mean_loss([after / temperature], [far, before / temperature])
    return _mean_loss([before / temperature, after / temperature], [far])


def emargin(
    h: Tensor,
    dissimilar: Tensor,
    *,
    margin: float,
    temperature: float,
    neighbours: int = 2,
    similar_sign: int = -1,
    dissimilar_sign: int = 1,
    gamma: float = 0.05,
) -> Tensor:
    """eMargin: InfoNCE in which the logits of negatives go through the margin kernel of their anchor.

        k_i(s) = (1 - y_i) sigma s^2 / 2 + y_i rho max(0, m - s)^2 / 2
        n_i = sum_{p in P(i)} e^{S_ip / tau}
        l_i = -log [ n_i / ( n_i + sum_{j not in P(i), j != i} e^{gamma k_i(S_ij) / tau} ) ]

    With rho = 1 this is a well-posed form of the released loss (arXiv:2507.14828). It is not InfoNCE in any
    limit. With rho = -1 the hinge repels: the loss rises with every cosine below m.

    h: (B, T, D), any scale; dissimilar: y, (B, T) of 0 and 1.
    Returns the mean over frames having positives: a scalar, finite and >= 0.
    """
    c = gamma / (2 * temperature)
    kernels = Parabola(c * similar_sign), Parabola(c * dissimilar_sign, centre=margin, one_sided=True)
    far, before, after = _cosines(h, kernels, dissimilar)
    if neighbours == 1:
        kernel = margin_kernel(
            before,
            dissimilar,
            margin=margin,
            similar_sign=similar_sign,
            dissimilar_sign=dissimilar_sign,
        )
        negative = (gamma * kernel / temperature).masked_fill(before == -torch.inf, -torch.inf)
        return _mean_loss([after / temperature], [far, negative])
    return _mean_loss([before / temperature, after / temperature], [far])


def margin_kernel(
    s: Tensor, dissimilar: Tensor, *, margin: float, similar_sign: int = -1, dissimilar_sign: int = 1
) -> Tensor:
    """k(s) = (1 - y) sigma s^2 / 2 + y rho max(0, m - s)^2 / 2 of cosines s and labels y, same shape."""
    hinge = (margin - s).clamp_min(0).square() / 2
    return torch.where(dissimilar.bool(), dissimilar_sign * hinge, similar_sign * s.square() / 2)


def emargin_adjacent(
    h: Tensor, dissimilar: Tensor, *, margin: float, temperature: float, neighbours: int = 2
) -> Tensor:
    """eMargin as the paper's words say: adjacent frames that differ are pushed apart.

        Q(i) = those of P(i) across a step called dissimilar (y_t = 1: from t to t + 1)
        n_i = sum_{p in P(i) - Q(i)} e^{S_ip / tau}
        a_i = sum_{q in Q(i)} e^{(S_iq + m) / tau} + sum_{j not in P(i), j != i} e^{S_ij / tau}
        l_i = -log( n_i / (n_i + a_i) )

    Equals InfoNCE where no step is dissimilar.

    h: (B, T, D), any scale
    dissimilar: y, (B, T) of 0 and 1; the y of a last frame is not used
    margin: in units of a cosine, 0 to 1
    Returns the mean over frames that still have a positive: a scalar, finite and >= 0; 0 where there is none.
    """
    far, before, after = _cosines(h, (Linear(temperature),))
    across_after = dissimilar.bool()
    across_before = across_after.roll(1, dims=-1)  # the value of a first frame is not used
    none = torch.full_like(after, -torch.inf)
    positive = [torch.where(across_after, none, after / temperature)]
    negative = [far, torch.where(across_after, (after + margin) / temperature, none)]
    if neighbours == 1:
        negative += [before / temperature]
    else:
        positive += [torch.where(across_before, none, before / temperature)]
        negative += [torch.where(across_before, (before + margin) / temperature, none)]
    return _mean_loss(positive, negative)


def _cosines(
    h: Tensor, kernels: tuple[Kernel, ...], kind: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """far, and the cosines with the frames before and after: (B, T) each, -inf where there is no frame."""
    far, cosine = (dense if is_dense(h) else negatives).far_and_adjacent(h, kernels, kind)
    return far, F.pad(cosine, (1, 0), value=-torch.inf), F.pad(cosine, (0, 1), value=-torch.inf)


def _mean_loss(positive: list[Tensor], negative: list[Tensor]) -> Tensor:
    """Mean of -log( sum e^positive / (sum e^positive + sum e^negative) ) over anchors that have positives.

    Each list has logits (B, T), -inf where there is none. The mean is 0 if no anchor has a positive.
    """
    near = torch.stack(positive)
    rows = (near != -torch.inf).any(0)  # NaN is not left out
    near = near.masked_fill(~rows, 0).logsumexp(0)
    away = torch.stack(negative)
    away = away.clamp_min(torch.finfo(away.dtype).min).logsumexp(0)  # no negative at all: gradient 0, not NaN
    loss = F.softplus(away - near, threshold=40)  # log(1 + e^x), exact in float64
    return loss.masked_fill(~rows, 0).sum((-2, -1)) / rows.sum((-2, -1)).clamp_min(1)


def is_dense(h: Tensor) -> bool:
    """Whether all cosines are computed at once: for several members, and on a GPU as long as they fit."""
    n = h.shape[-3] * h.shape[-2]
    return h.dim() > 3 or (h.is_cuda and n * n * h.element_size() <= negatives.KEEP_BYTES)
