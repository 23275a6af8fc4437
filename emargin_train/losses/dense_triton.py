"""The parts of `dense` that are not matrix products, as Triton kernels: `dense_torch` says what each returns.

PyTorch would go through the N x N cosines of a batch some twenty times. Here a step reads them twice and
writes them twice, beside its matrix products. Triton comes with PyTorch's CUDA builds. It compiles a kernel
when it is first called, and keeps it in the user's cache.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from emargin_train.losses.dense_torch import Anchors

TILE = 64


def unit_rows(h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n_frames, dim = h.shape[-2:]
    z, scale, adjacent = torch.empty_like(h), h.new_empty(*h.shape[:-1], 1), h.new_empty(h.shape[:-1])
    with torch.cuda.device_of(h):
        _unit_rows[(adjacent.numel(),)](h, z, scale, adjacent, n_frames, dim, BLOCK=_block(dim), num_warps=1)
    return z, scale, adjacent


def exponentials(s: Tensor, anchors: Anchors, n_frames: int) -> tuple[Tensor, Tensor, Tensor]:
    n = s.shape[-1]
    sums, top = s.new_empty(s.shape[:-1]), s.new_empty(s.shape[:-1])
    c, centre, most = anchors.c, anchors.centre, anchors.most
    block = _block(n)
    with torch.cuda.device_of(s):
        _exponentials[(sums.numel(),)](
            s, sums, top, c, centre, most, n, n_frames,
            LINEAR=anchors.linear, BLOCK=block, num_warps=max(1, min(16, block // 256)),
        )  # fmt: skip
    return sums, top, s


def both_ways(kept: Tensor, w: Tensor) -> Tensor:
    n = kept.shape[-1]
    m, tiles = torch.empty_like(kept), triton.cdiv(n, TILE)
    with torch.cuda.device_of(kept):
        _both_ways[(tiles, tiles, kept.numel() // n**2)](kept, w.contiguous(), m, n, BLOCK=TILE, num_warps=4)
    return m


def of_rows(grad: Tensor, z: Tensor, scale: Tensor, g_adjacent: Tensor) -> Tensor:
    n_frames, dim = z.shape[-2:]
    with torch.cuda.device_of(z):
        _of_rows[(g_adjacent.numel(),)](
            grad, z, scale, g_adjacent, n_frames, dim, BLOCK=_block(dim), num_warps=1
        )
    return grad


def _block(n: int) -> int:
    return int(triton.next_power_of_2(n))


@triton.jit
def _unit_rows(h, z, scale, adjacent, n_frames, dim, BLOCK: tl.constexpr):
    """A program for each frame."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < dim
    has_next = (row % n_frames) < n_frames - 1
    own = tl.load(h + row * dim + column, mask=inside, other=0.0)
    after = tl.load(h + (row + 1) * dim + column, mask=inside & has_next, other=0.0)
    of_own, of_after = tl.sqrt(tl.sum(own * own, 0)), tl.sqrt(tl.sum(after * after, 0))
    # NaN is not 0: its scale, and so all that follows, is NaN.
    of_own, of_after = tl.where(of_own == 0, 0.0, 1 / of_own), tl.where(of_after == 0, 0.0, 1 / of_after)
    tl.store(z + row * dim + column, own * of_own, mask=inside)
    tl.store(scale + row, of_own)
    tl.store(adjacent + row, tl.sum((own * of_own) * (after * of_after), 0))


@triton.jit
def _exponentials(s, sums, top, c, centre, most, n, n_frames, LINEAR: tl.constexpr, BLOCK: tl.constexpr):
    """A program for each anchor, which has its whole row at hand."""
    row = tl.program_id(0).to(tl.int64)
    i = row % n
    j = tl.arange(0, BLOCK)
    t = tl.load(s + row * n + j, mask=j < n, other=0.0)
    if LINEAR:
        u = tl.load(c + row) * t
    else:
        t = tl.minimum(t - tl.load(centre + row), tl.load(most + row), propagate_nan=tl.PropagateNan.ALL)
        u = tl.load(c + row) * t * t
    before, after = (j == i - 1) & (i % n_frames != 0), (j == i + 1) & (j % n_frames != 0)
    u = tl.where((j == i) | before | after | (j >= n), -float("inf"), u)
    highest = tl.max(u, 0)
    highest = tl.where(highest == -float("inf"), 0.0, highest)
    e = tl.exp(u - highest)
    tl.store(sums + row, tl.sum(e, 0))
    tl.store(top + row, highest)
    tl.store(s + row * n + j, e if LINEAR else e * t, mask=j < n)


@triton.jit
def _both_ways(kept, w, m, n, BLOCK: tl.constexpr):
    """A program for each tile on or above the diagonal, which also writes the tile's mirror image."""
    a, b, k = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    if b >= a:
        i, j = a * BLOCK + tl.arange(0, BLOCK), b * BLOCK + tl.arange(0, BLOCK)
        upper = k * n * n + i[:, None] * n + j[None, :]
        lower = k * n * n + j[:, None] * n + i[None, :]
        in_upper = (i[:, None] < n) & (j[None, :] < n)
        in_lower = (j[:, None] < n) & (i[None, :] < n)
        w_i = tl.load(w + k * n + i, mask=i < n, other=0.0)
        w_j = tl.load(w + k * n + j, mask=j < n, other=0.0)
        own = tl.load(kept + upper, mask=in_upper, other=0.0) * w_i[:, None]
        other = tl.load(kept + lower, mask=in_lower, other=0.0) * w_j[:, None]
        both = own + tl.trans(other)
        tl.store(m + upper, both, mask=in_upper)
        tl.store(m + lower, tl.trans(both), mask=in_lower)


@triton.jit
def _of_rows(grad, z, scale, g_adjacent, n_frames, dim, BLOCK: tl.constexpr):
    """A program for each frame; it overwrites its row of the gradient."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < dim
    has_before, has_next = (row % n_frames) > 0, (row % n_frames) < n_frames - 1
    own = tl.load(z + row * dim + column, mask=inside, other=0.0)
    before = tl.load(z + (row - 1) * dim + column, mask=inside & has_before, other=0.0)
    after = tl.load(z + (row + 1) * dim + column, mask=inside & has_next, other=0.0)
    g = tl.load(grad + row * dim + column, mask=inside, other=0.0)
    g += before * tl.load(g_adjacent + row - 1, mask=has_before, other=0.0)
    g += after * tl.load(g_adjacent + row, mask=has_next, other=0.0)
    along = tl.sum(g * own, 0)
    tl.store(grad + row * dim + column, (g - own * along) * tl.load(scale + row), mask=inside)
