"""SimMTM's masked copies: a random chain keeps and masks frames in turn, in runs of random length."""

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
    """(x and its masked copies, originals first; True where entries are kept): both ((copies + 1) B, T, F).

    Masked entries are 0. As published, a single chain runs along time within a feature, then through the
    other features, then through the other series.

    x: (B, T, F); ratio: r, the share that is masked, 0 < r < 1
    length: l, the mean length of a run of masked frames, 1 or more
    """
    n, n_frames, n_features = x.shape
    size = copies * n * n_frames * n_features
    u = torch.rand(size + 1, generator=generator, device=generator.device).to(x.device)
    keep = keep_chain(u, ratio=ratio, length=length).view(copies * n, n_features, n_frames).transpose(1, 2)
    keep = torch.cat([keep.new_ones(x.shape), keep])
    return torch.where(keep, x.repeat(copies + 1, 1, 1), 0), keep


def keep_chain(uniform: Tensor, *, ratio: float = 0.5, length: float = 3.0) -> Tensor:
    """True where an entry is kept: (L,) from L + 1 uniform draws.

    The chain starts masked with probability r. It leaves "masked" with probability 1/l, and "kept" with (1/l)
    r / (1 - r), but at most 1. A draw below both probabilities switches any state; a draw between them always
    leads to the same state; a draw above both changes nothing. So a state follows from the last draw between
    them, and is switched once for each later draw below both.
    """
    leave_masked = 1 / length
    leave_kept = min(leave_masked * ratio / (1 - ratio), 1.0)
    low, high = sorted((leave_masked, leave_kept))
    start, u = uniform[0] >= ratio, uniform[1:-1]
    switch = torch.cat([start.new_zeros(1), u < low]).cumsum(0)
    between = torch.cat([start.new_ones(1), (u >= low) & (u < high)])
    entry = torch.arange(len(between), device=u.device)
    last = torch.where(between, entry, 0).cummax(0).values
    after = torch.where(last == 0, start, leave_masked > leave_kept)  # the state after the last draw between
    return after ^ ((switch - switch[last]) & 1).bool()
