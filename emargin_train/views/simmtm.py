"""SimMTM's masked copies: a chain that keeps and masks by turns, in runs of random length."""

import torch
from torch import Tensor


def masked_copies(
    x: Tensor,
    generator: torch.Generator,
    *,
    copies: int = 3,
    ratio: float = 0.5,
    length: float = 3.0,
) -> tuple[Tensor, Tensor]:
    """(x and its masked copies, originals first; what was kept, bool): both ((copies + 1) B, T, F).

    Masked entries are 0. As published, one chain runs along time within a feature, from feature to feature,
    and from series to series.

    x: (B, T, F); ratio: r, share that is masked, 0 < r < 1; length: l, mean run of masked frames, 1 or more
    """
    n, n_frames, n_features = x.shape
    size = copies * n * n_frames * n_features
    u = torch.rand(size + 1, generator=generator, device=generator.device).to(x.device)
    keep = keep_chain(u, ratio=ratio, length=length).view(copies * n, n_features, n_frames).transpose(1, 2)
    keep = torch.cat([keep.new_ones(x.shape), keep])
    return torch.where(keep, x.repeat(copies + 1, 1, 1), 0), keep


def keep_chain(uniform: Tensor, *, ratio: float = 0.5, length: float = 3.0) -> Tensor:
    """True where an entry is kept: (L,) from L + 1 uniform draws.

    The chain starts masked with probability r, leaves "masked" with 1/l and "kept" with (1/l) r / (1 - r),
    at most 1. A draw below both switches any state, one between them leads to one state, one above both
    changes nothing: so a state is that of the last draw between, switched once for each draw below after it.
    """
    leave_masked = 1 / length
    leave_kept = min(leave_masked * ratio / (1 - ratio), 1.0)
    low, high = sorted((leave_masked, leave_kept))
    start, u = uniform[0] >= ratio, uniform[1:-1]
    switch = torch.cat([start.new_zeros(1), u < low]).cumsum(0)
    between = torch.cat([start.new_ones(1), (u >= low) & (u < high)])
    entry = torch.arange(len(between), device=u.device)
    last = torch.where(between, entry, 0).cummax(0).values
    after = torch.where(last == 0, start, leave_masked > leave_kept)  # the state that the last one led to
    return after ^ ((switch - switch[last]) % 2 == 1)
