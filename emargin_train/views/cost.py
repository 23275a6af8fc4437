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


def released_view(x: Tensor, generator: torch.Generator, *, sigma: float = 0.5) -> Tensor:
    """The key's view in the eMargin release: each step is drawn once for the whole batch, on magnitudes as
    they are; scale and shift are alike for all its sequences.

    x: (B, T, F)
    """

    def noise(*shape: int) -> Tensor:
        is_drawn = torch.rand((), generator=generator, device=x.device) < 0.5
        e = torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype)
        return torch.where(is_drawn, e, 0) * sigma

    x = x * (1 + noise(x.shape[-1]))
    x = x + noise(x.shape[-1])
    return x + noise(*x.shape)
