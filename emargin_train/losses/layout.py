"""How the N x N cosines of a batch are cut into strips. All anchors (rows) of a strip are of one kind."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

STRIP = 400  # anchors of a strip, at most


@dataclass(frozen=True)
class Strip:
    """Some rows, anchors of one kind, and all columns from the first of these rows to the last frame.

    kind: the kind of the rows and of the first `own` columns, which begin with the rows themselves; later
        columns are of the other kind
    left_out: indices into the flattened strip of the pairs that are not far negatives
    left_out_of_other: the same for the flattened part of the strip with columns of the other kind
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
    near: (N, 3) columns that are not far negatives of a row: its own frame and adjacent ones, -1 = none
    starts: first row of each kind, followed by N
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
        """(kind, rows) of each strip: at most STRIP rows, and about as many in all strips of a kind."""
        found = []
        for kind, (start, stop) in enumerate(zip(self.starts, self.starts[1:], strict=False)):
            count = -(-(stop - start) // STRIP)
            edges = [start + (stop - start) * i // count for i in range(count)] + [stop]
            found += [(kind, slice(*edge)) for edge in zip(edges, edges[1:], strict=False)]
        return found

    @cached_property
    def strips(self) -> list[Strip]:
        """Strips with all pairs of rows. Each pair occurs once, or twice in the squares on the diagonal."""
        n, found = self.starts[-1], []
        for kind, rows in self.pieces:
            stop = self.starts[kind + 1]
            left_out = [self.left_out(rows, slice(first, n)) for first in (rows.start, stop)]
            found.append(Strip(kind, rows, stop - rows.start, *left_out))
        return found

    def left_out(self, rows: slice, cols: slice) -> Tensor:
        """Indices into the flattened block of these rows and columns: pairs that are not far negatives."""
        near = self.near[rows]
        row = torch.arange(len(near), device=near.device)[:, None]
        flat = row * (cols.stop - cols.start) + near - cols.start
        return flat[(near >= cols.start) & (near < cols.stop)]


@lru_cache(maxsize=16)
def in_time(n: int, n_frames: int, device: torch.device) -> Layout:
    """The layout if all anchors are of one kind."""
    order = torch.arange(n, device=device)
    return Layout(order, order, _near(order, order, n_frames), (0, n))


def by_kind(kind: Tensor, n_frames: int) -> Layout:
    """The layout with anchors sorted by kind. kind: (N,) bool"""
    order = torch.argsort(kind.byte(), stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(kind), device=kind.device)
    n_second = int(kind.sum())
    return Layout(order, place, _near(order, place, n_frames), (0, len(kind) - n_second, len(kind)))


def _near(order: Tensor, place: Tensor, n_frames: int) -> Tensor:
    before = place[order - 1].masked_fill(order % n_frames == 0, -1)
    after = place[(order + 1) % len(order)].masked_fill(order % n_frames == n_frames - 1, -1)
    return torch.stack([place[order], before, after], dim=1)
