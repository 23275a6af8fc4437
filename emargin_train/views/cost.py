"""CoST's views: sequences that are scaled, shifted and jittered."""

import torch
from torch import Tensor


def augment(
    x: Tensor, generator: torch.Generator, *, sigma: float | Tensor = 0.5, probability: float = 0.5
) -> Tensor:
    """One view: x times 1 + sigma e_f, plus sigma e_f, plus sigma e_tf, with new normal draws e in each step.

    x: (B, T, F), standardised; where it is not, sigma is a tensor (F,), one value for each feature
    probability: of each of the three steps, drawn for each sequence
    """
    n, n_frames, n_features = x.shape

    def noise(t: int) -> Tensor:
        drawn = torch.rand(n, 1, 1, generator=generator, device=x.device) < probability
        e = torch.randn(n, t, n_features, generator=generator, device=x.device, dtype=x.dtype)
        return torch.where(drawn, e, 0) * sigma

    x = x * (1 + noise(1))
    x = x + noise(1)
    return x + noise(n_frames)
