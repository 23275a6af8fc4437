"""MF-CLR's view: each series along a random monotone alignment with itself, never more than one frame off.

An alignment walks from (0, 0) to (T-1, T-1) through cells (old frame i, new frame j) by steps up (i + 1),
right (j + 1) and diagonal. Its lag i - j stays in {-1, 0, 1}: inward steps have weight 738, straight ones 100,
outward ones 0; at lag 0 all three have the same. No right follows an up, and no up a right. A new frame is
the mean of its old ones. All series walk at once, one new frame at a time, as a chain with five states.
"""

import torch
from torch import Tensor

INWARD, STRAIGHT = 738.0, 100.0
SPREAD = 0.05

# States on entering a new frame, by lag and by the step that led there:
#   0: lag 0, diagonal   1: lag 0, right   2: lag 1, diagonal   3: lag -1, right   4: lag -1, diagonal
# A row: cumulative probabilities of the next state. Steps up happen within a frame (`CELLS`).
_IN = INWARD / (INWARD + STRAIGHT)
NEXT = torch.tensor(
    [
        [1 / 3, 0, 1 / 3, 1 / 3, 0],  # diagonal; up, then diagonal; right
        [1 / 2, 0, 0, 1 / 2, 0],  # after a right no up: diagonal or right
        [0, _IN, 1 - _IN, 0, 0],  # inward is right
        [0, 0, 0, 0, 1],  # inward would be up, which may not follow a right
        [_IN / 2, 0, _IN / 2, 0, 1 - _IN],  # inward is up, then diagonal, or up once more and diagonal
    ],
    dtype=torch.float64,
)
LAG = torch.tensor([0, 0, 1, -1, -1])
CELLS = torch.ones(5, 5, dtype=torch.long)  # old frames met on the way from one state to the next
CELLS[0, 2] = CELLS[4, 0] = 2
CELLS[4, 2] = 3


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """The warped copy of x (B, T, F), each (sequence, feature) along an alignment of its own.

    To each met value is added a spacing of a random partition of [0, 0.05 mean(x)], the sign of a new frame's
    first one at random, as the official code does.
    """
    n, n_frames, n_features = x.shape
    series = x.transpose(0, 1).flatten(1)  # (T, S)
    first, cells = draw_alignments(n_frames, series.shape[1], generator)
    spacing = -torch.rand(3, *series.shape, generator=generator, device=x.device).clamp_min(1e-12).log()
    total = torch.zeros_like(series)
    met = [k < cells for k in range(3)]
    whole = sum((spacing[k] * met[k]).sum(0) for k in range(3))
    unit = (SPREAD * series.mean(0) / whole).to(x.dtype)
    sign = 1 - 2 * torch.randint(2, series.shape, generator=generator, device=x.device)
    for k in range(3):
        old = series.gather(0, (first + k).clamp_max(n_frames - 1))
        added = spacing[k].to(x.dtype) * unit * (sign if k == 0 else 1)
        total += (old + added) * met[k]
    return (total / cells).unflatten(1, (n, n_features)).transpose(0, 1)


def draw_alignments(n_frames: int, n_series: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(first old frame, count of old frames) of each new frame: both (T, S) int64.

    The last new frame ends with the last old one.
    """
    device = generator.device
    u = torch.rand(n_frames, n_series, generator=generator, device=device)
    thresholds = NEXT.cumsum(1).to(device, u.dtype)
    packed = torch.zeros(n_frames, n_series, dtype=torch.int32, device=device)
    for state in range(5):  # the map from state to next state of each draw, three bits a state
        target = torch.bucketize(u, thresholds[state, :4].contiguous(), right=True, out_int32=True)
        packed |= target << (3 * state)
    states = torch.zeros(n_frames + 1, n_series, dtype=torch.int32, device=device)
    for t in range(n_frames):
        torch.bitwise_and(packed[t] >> (3 * states[t]), 7, out=states[t + 1])
    now, then = states[:-1].long(), states[1:].long()
    frame = torch.arange(n_frames, device=device)[:, None]
    first = (frame + LAG.to(device)[now]).clamp_max(n_frames - 1)
    cells = CELLS.to(device)[now, then]
    cells = torch.minimum(cells, n_frames - first)
    cells[-1] = n_frames - first[-1]
    return first, cells
