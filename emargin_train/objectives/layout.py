"""How the N x N cosines of a batch are cut into blocks, each meeting one kernel or two."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

STRIP = 200  # anchors at a time


@dataclass(frozen=True)
class Block:
    """Some rows against some columns, to the right of the diagonal but for a square on it.

    row_kind, col_kind: of the anchors; where they are the same, the first columns are the rows themselves
    left_out: indices into the flattened block of the pairs that are no far negatives
    """

    row_kind: int
    col_kind: int
    rows: slice
    cols: slice
    left_out: Tensor

    @property
    def square(self) -> int:
        """The first so many columns are the rows themselves."""
        return self.rows.stop - self.rows.start if self.row_kind == self.col_kind else 0


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
    def strips(self) -> list[tuple[int, slice]]:
        """(kind, rows), at most STRIP rows at a time."""
        return [
            (kind, slice(i, min(i + STRIP, stop)))
            for kind, (start, stop) in enumerate(zip(self.starts, self.starts[1:], strict=False))
            for i in range(start, stop, STRIP)
        ]

    @cached_property
    def blocks(self) -> list[Block]:
        """All pairs of rows, each once (twice in the squares on the diagonal)."""
        n, found = self.starts[-1], []
        for kind, rows in self.strips:
            stop = self.starts[kind + 1]
            for other, cols in ((kind, slice(rows.start, stop)), (kind + 1, slice(stop, n))):
                if cols.start < cols.stop:
                    found.append(Block(kind, other, rows, cols, self.left_out(rows, cols)))
        return found

    def left_out(self, rows: slice, cols: slice) -> Tensor:
        """Indices into the flattened block of these rows and columns of pairs that are no far negatives."""
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
