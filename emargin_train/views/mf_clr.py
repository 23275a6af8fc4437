"""MF-CLR's view: each series is warped along a random monotone alignment, by one frame at most.

An alignment walks from (0, 0) to (T-1, T-1) through cells (old frame i, new frame j). Its steps go up (i +
1), right (j + 1) or diagonally (both). Its lag i - j stays in {-1, 0, 1}: steps that lower |i - j| have
weight 738, diagonal steps 100, and steps that would leave this range 0; at lag 0 all three have the same
weight. A step right cannot directly follow a step up, nor the reverse. We keep a mistake of the official code
here: it remembers a step by its place among the steps that were allowed. So after a step right, a diagonal
step counts as a step up, and a second step right counts as a diagonal one. A new frame is the mean of its old
frames. All series walk at once, one new frame at a time, as a Markov chain with six states.
"""

import torch
from torch import Tensor

INWARD, STRAIGHT = 738.0, 100.0
SPREAD = 0.05

# The states on entering a new frame, by lag and by the remembered step:
#   0: lag 0, diagonal   1: lag 0, up         2: lag 0, right
#   3: lag 1, diagonal   4: lag -1, right     5: lag -1, another
# A row has the probabilities of the next state. Steps up happen within a frame (`CELLS`).
_IN = INWARD / (INWARD + STRAIGHT)
NEXT = torch.tensor(
    [
        [1 / 3, 0, 0, 1 / 3, 1 / 3, 0],  # diagonal; up, then diagonal; right
        [1 / 2, 0, 0, 1 / 2, 0, 0],  # no right: diagonal; up, then diagonal
        [0, 1 / 2, 0, 0, 0, 1 / 2],  # no up: diagonal, which counts as up; right, which counts as diagonal
        [0, 0, _IN, 1 - _IN, 0, 0],  # inward is right
        [0, 0, 0, 0, 0, 1],  # inward would be up, which may not follow a right
        [_IN / 2, 0, 0, _IN / 2, 0, 1 - _IN],  # inward is up, then diagonal, or up once more and diagonal
    ],
    dtype=torch.float64,
)
LAG = torch.tensor([0, 0, 0, 1, -1, -1])
CELLS = torch.ones(6, 6, dtype=torch.int32)  # number of old frames between one state and the next
CELLS[0, 3] = CELLS[1, 3] = CELLS[5, 0] = 2
CELLS[5, 3] = 3


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """The warped copy of x (B, T, F). Every sequence and feature has a separate alignment.

    As in the official code, a spacing of a random partition of [0, 0.05 mean(x)] is added to each old value;
    for the first value of a new frame its sign is random.
    """
    n, n_frames, n_features = x.shape
    series = x.transpose(0, 1).flatten(1)  # (T, S)
    first, cells = draw_alignments(n_frames, series.shape[1], generator)
    total = series.gather(0, first)
    spacing = _exponential(total, generator)
    sign = 1 - 2 * torch.randint(2, total.shape, generator=generator, device=x.device, dtype=torch.int8)
    added, whole = spacing * sign, spacing.sum(0)
    for k in (1, 2):
        frame, which = torch.nonzero(cells > k, as_tuple=True)
        total.index_put_((frame, which), series[first[frame, which] + k, which], accumulate=True)
        spacing = _exponential(frame.to(total.dtype), generator)
        added.index_put_((frame, which), spacing, accumulate=True)
        whole.index_put_((which,), spacing, accumulate=True)
    total += added * (SPREAD * series.mean(0) / whole)
    return (total / cells).unflatten(1, (n, n_features)).transpose(0, 1)


def draw_alignments(n_frames: int, n_series: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(first old frame int64, count of old frames int32) of each new frame: both (T, S).

    The last new frame ends with the last old one.
    """
    device = generator.device
    u = torch.rand(n_frames, n_series, generator=generator, device=device)
    maps = _maps(u)
    states = torch.zeros(n_frames + 1, n_series, dtype=torch.int32, device=device)  # times 3
    for t in range(n_frames):
        torch.bitwise_and(maps[t] >> states[t], 7, out=states[t + 1]).mul_(3)
    now, then = states[:-1] // 3, states[1:] // 3
    frame = torch.arange(n_frames, device=device)[:, None]
    first = (frame + LAG.to(device)[now]).clamp_(0, n_frames - 1)
    cells = CELLS.flatten().to(device)[now * len(CELLS) + then]
    cells = torch.minimum(cells, (n_frames - first).int())
    cells[-1] = n_frames - first[-1]
    return first, cells


def _maps(u: Tensor) -> Tensor:
    """For each draw, the next state of every state, in three bits each: int32 of the shape of u."""
    edges = torch.cat([NEXT.new_zeros(len(NEXT), 1), NEXT.cumsum(1)], dim=1).to(u.device, u.dtype)
    cuts = edges[:, 1:-1].unique()  # between two cuts all draws have one map
    inside = torch.cat([cuts.new_zeros(1), cuts])
    table = torch.zeros(len(inside), dtype=torch.int32, device=u.device)
    for state, row in enumerate(edges):
        target = torch.searchsorted(row[1:-1].contiguous(), inside, right=True)
        table |= (target << (3 * state)).int()
    return table[torch.bucketize(u, cuts, right=True, out_int32=True)]


def _exponential(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.empty_like(like).exponential_(generator=generator)
