"""TNC's pairs: frames near an anchor, and distant ones.

`draw_pairs` is our way to draw pairs for every frame of a batch. `neighbour_centres` and `distant_range` are
the published draws for windows of one series, which the eMargin release uses with epsilon = 1.
"""

import torch
from torch import Tensor

from emargin_train.errors import UserError

DISTANT = 5  # distant frames are at least this many times the scale of a neighbourhood away


def draw_pairs(
    n_sequences: int, n_frames: int, generator: torch.Generator, *, scale: float = 5.0, count: int = 20
) -> tuple[Tensor, Tensor]:
    """(near, distant) frames of every frame of a batch, as rows of its B T frames: both (B T, count) int64.

    A near frame is the anchor's frame plus trunc(g scale), g ~ N(0, 1), within the sequence; where that is
    the anchor itself, an adjacent frame is taken. Distant frames are drawn uniformly from the frames of the
    sequence that are at least 5 scale away, on both sides; if there are none, from all frames of the other
    sequences.

    scale: frames, above 0
    """
    far = max(1, round(DISTANT * scale))
    if n_frames < 2:
        raise UserError(
            f"TNC pairs a frame with others of its sequence, but sequences have {n_frames} frame: give a "
            "sequence length of 2 or more"
        )
    if n_sequences == 1 and far > n_frames // 2:
        raise UserError(
            f"no frame is {far} frames away from the middle one of {n_frames}, and a batch has one sequence: "
            f"give a TNC scale of at most {n_frames // 2 / DISTANT:g}, or a larger batch"
        )
    device = generator.device
    t = torch.arange(n_frames, device=device).repeat(n_sequences)[:, None]
    own = torch.arange(n_sequences, device=device).repeat_interleave(n_frames)[:, None]
    shape = (len(t), count)

    g = torch.randn(shape, generator=generator, device=device)
    near = (t + (g * scale).trunc().long()).clamp_(0, n_frames - 1)
    side = torch.where(t == 0, 1, torch.where(t == n_frames - 1, -1, torch.where(g < 0, -1, 1)))
    near = torch.where(near == t, t + side, near)

    before = (t - far + 1).clamp_min(0)
    after = (n_frames - far - t).clamp_min(0)
    u = torch.rand(shape, generator=generator, device=device, dtype=torch.float64)
    pick = (u * (before + after)).long()
    distant = own * n_frames + torch.where(pick < before, pick, pick - before + t + far)
    if n_sequences > 1:
        elsewhere = (u * ((n_sequences - 1) * n_frames)).long()
        elsewhere = elsewhere + n_frames * (elsewhere >= own * n_frames)
        distant = torch.where(before + after > 0, distant, elsewhere)
    return own * n_frames + near, distant


def neighbour_centres(gauss: Tensor, centre: int, *, n_frames: int, window: int, epsilon: float) -> Tensor:
    """The published centres trunc(t + g epsilon W), cut to [W // 2 + 1, T - W // 2]. gauss: g, any shape."""
    near = (centre + gauss * epsilon * window).trunc().long()
    return near.clamp(window // 2 + 1, n_frames - window // 2)


def distant_range(centre: int, *, n_frames: int, window: int, delta: int) -> tuple[int, int]:
    """The published range [low, high) of the uniform centres of distant windows, on the longer side only."""
    if centre > n_frames / 2:
        low = window // 2
        return low, max(centre - delta + 1, window // 2 + 1)
    return min(centre + delta, n_frames - window - 1), n_frames - window // 2


def frames_around(stream: Tensor, centres: Tensor, window: int) -> Tensor:
    """Frames [c - W/2, c + W/2) of a stream (N, ...) around each centre c: (count, W, ...)."""
    at = centres[:, None] + torch.arange(-(window // 2), window - window // 2, device=stream.device)
    return stream[at]
