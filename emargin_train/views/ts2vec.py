"""TS2Vec's two overlapping crops and its timestamp mask."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Crops:
    """Two stretches of each sequence; the last `overlap` frames of one are the first of the other.

    offset: (B,) a shift for each sequence; a crop has the frames offset + [start, stop)
    first, second: (start, stop)
    """

    offset: Tensor
    first: tuple[int, int]
    second: tuple[int, int]
    overlap: int

    def cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, F) -> both crops, (B, T1, F) and (B, T2, F)."""
        return _taken(x, self.offset, *self.first), _taken(x, self.offset, *self.second)

    def align(self, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
        """Embedded crops -> the same frames of both, (B, overlap, D)."""
        return z1[..., -self.overlap :, :], z2[..., : self.overlap, :]


def draw_crops(
    n_sequences: int, n_frames: int, generator: torch.Generator, *, temporal_unit: int = 0
) -> Crops:
    """The crops of one step. All integers are uniform, with both ends included.

        l ~ {2^(u+1)..T}, left ~ {0..T-l}, eleft ~ {0..left}, eright ~ {left+l..T}
        first = [eleft, left+l), second = [left, eright), offset ~ {-eleft..T-eright} of each sequence

    Sequences shorter than 2^(u+1) frames are taken whole.
    """
    device = generator.device

    def draw(low: int, high: int, size: tuple[int, ...] = ()) -> Tensor:
        return torch.randint(low, high + 1, size, generator=generator, device=device)

    length = int(draw(min(2 ** (temporal_unit + 1), n_frames), n_frames))
    left = int(draw(0, n_frames - length))
    right = left + length
    outer_left, outer_right = int(draw(0, left)), int(draw(right, n_frames))
    offset = draw(-outer_left, n_frames - outer_right, (n_sequences,))
    return Crops(offset, (outer_left, right), (left, outer_right), length)


def timestamp_mask(
    n_sequences: int, n_frames: int, generator: torch.Generator, *, keep: float = 0.5
) -> Tensor:
    """(B, T) bool: True where a frame is kept, each with probability `keep`."""
    return torch.rand(n_sequences, n_frames, generator=generator, device=generator.device) < keep


def _taken(x: Tensor, offset: Tensor, start: int, stop: int) -> Tensor:
    frames = offset.to(x.device)[:, None] + torch.arange(start, stop, device=x.device)
    return x[torch.arange(len(x), device=x.device)[:, None], frames]
