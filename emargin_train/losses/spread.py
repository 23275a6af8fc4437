"""How unevenly the embeddings of a batch spread over their dimensions, as a loss term."""

import torch
from torch import Tensor

from emargin_train.losses.unit import unit


def unevenness(h: Tensor) -> Tensor:
    """log(D / PR): 0 where all D dimensions have the same variance, log D where one has all of it.

        C = covariance of the B T frames of the batch at unit length, D x D
        PR = (trace C)^2 / |C|_F^2        (participation ratio, 1 to D)

    The covariance penalty of VICReg (Bardes et al. 2022) sums the squares of C outside its diagonal. Losses
    of cosines do not see how long an embedding is, so beside them that sum falls when all embeddings shrink,
    and as a reward it has no bound. This ratio has the same aim, and neither property.

    h: (..., B, T, D), any scale; leading dimensions are the members of a stack.
    Returns (...), finite, >= 0 up to rounding; 0, with gradient 0, where all frames are equal.
    """
    z = unit(h).flatten(-3, -2)
    centred = z - z.mean(-2, keepdim=True)
    # The smaller Gram matrix has the same nonzero eigenvalues as the covariance.
    small = centred @ centred.mT if centred.shape[-2] < centred.shape[-1] else centred.mT @ centred
    trace = centred.square().sum((-2, -1))
    spread = trace > torch.finfo(h.dtype).eps
    ratio = small.square().sum((-2, -1)) / trace.square().masked_fill(~spread, 1)
    return torch.where(spread, (h.shape[-1] * ratio.masked_fill(~spread, 1)).log(), 0)
