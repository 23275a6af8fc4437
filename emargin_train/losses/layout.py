"""How the N x N cosines of a batch are cut into strips, each of anchors of one kind."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

STRIP = 400  # anchors at a time, at most


@dataclass(frozen=True)
class Strip:
    """Some rows, anchors of one kind, against the columns from the first of these rows on.

    kind: of the rows and of the first `own` columns, the foremost of which are the rows themselves; the
    columns after those are of the other kind
    left_out, left_out_of_other: indices into the flattened strip, and into the flattened part of it with
    columns of the other kind, of the pairs that are not far negatives
    """

    kind: int
    rows: slice
    own: int
    left_out: Tensor
    left_out_of_other: Tensor

    @property
    def n(self) -> int:
        return self.rows.stop - self.rows.start


@dataclass(frozen=True)
class Layout:
    """Frames sorted by kind of anchor, and by time within a kind.

    order: (N,) frame of each row; place: (N,) row of each frame; the same tensor where nothing was sorted
    near: (N, 3) columns that are no far negatives of a row: itself and those adjacent to it, -1 = none
    starts: first row of each kind, and N
    """

    order: Tensor
    place: Tensor
    near: Tensor
    starts: tuple[int, ...]

    @property
    def is_in_time(self) -> bool:
        return self.order is self.place

    @property
    def pieces(self) -> list[tuple[int, slice]]:
        """(kind, rows), at most STRIP rows at a time, those of a kind about as many each time."""
        found = []
        for kind, (start, stop) in enumerate(zip(self.starts, self.starts[1:], strict=False)):
            count = -(-(stop - start) // STRIP)
            edges = [start + (stop - start) * i // count for i in range(count)] + [stop]
            found += [(kind, slice(*edge)) for edge in zip(edges, edges[1:], strict=False)]
        return found

    @cached_property
    def strips(self) -> list[Strip]:
        """All pairs of rows, each once (twice in the squares on the diagonal)."""
        n, found = self.starts[-1], []
        for kind, rows in self.pieces:
            stop = self.starts[kind + 1]
            left_out = [self.left_out(rows, slice(first, n)) for first in (rows.start, stop)]
            found.append(Strip(kind, rows, stop - rows.start, *left_out))
        return found

    def left_out(self, rows: slice, cols: slice) -> Tensor:
        """Indices into the flattened block of these rows and columns of pairs that are not far negatives."""
        near = self.near[rows]
        row = torch.arange(len(near), device=near.device)[:, None]
        flat = row * (cols.stop - cols.start) + near - cols.start
        return flat[(near >= cols.start) & (near < cols.stop)]


@lru_cache(maxsize=16)
def in_time(n: int, n_frames: int, device: torch.device) -> Layout:
    """All anchors of one kind."""
    order = torch.arange(n, device=device)
    return Layout(order, order, _near(order, order, n_frames), (0, n))


def by_kind(kind: Tensor, n_frames: int) -> Layout:
    """kind: (N,) bool."""
    order = torch.argsort(kind.byte(), stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(kind), device=kind.device)
    n_second = int(kind.sum())
    return Layout(order, place, _near(order, place, n_frames), (0, len(kind) - n_second, len(kind)))


def _near(order: Tensor, place: Tensor, n_frames: int) -> Tensor:
    before = place[order - 1].masked_fill(order % n_frames == 0, -1)
    after = place[(order + 1) % len(order)].masked_fill(order % n_frames == n_frames - 1, -1)
    return torch.stack([place[order], before, after], dim=1)
