"""The costly part of every contrast, in closed form: log-sum-exp over each anchor's far negatives.

        far_i = log sum_{j != i, j not adjacent to i in its sequence} e^{u_i(S_ij)}

u_i is the logit kernel of anchor i, of one or two kinds. Adjacent pairs are few; they are left to the
caller, who knows which of them are positives.

Letters: B sequences of T frames, N = B T in all, D dimensions; z rows of unit length, S = z z^T.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from emargin_train.objectives.kernels import Kernel
from emargin_train.objectives.layout import Block, Layout, by_kind, in_time

KEEP_BYTES = 2**28  # what a forward pass may keep for the backward pass; beyond, it is computed again
SAFE_SPREAD = {torch.float32: 80.0, torch.float64: 700.0}  # e^-spread is still a normal number


def far_logsumexp(z: Tensor, kernels: tuple[Kernel, ...], kind: Tensor | None = None) -> Tensor:
    """far_i of all frames of a batch, (B, T); -inf where an anchor has no far negative.

    Gradient in closed form, once. Time N^2 D; memory about N^2 numbers up to KEEP_BYTES, beyond that
    linear in N.

    z: (B, T, D) of unit length (or zero); kernels: of each kind of anchor
    kind: (B, T) of 0 and 1, which kernel an anchor has; None = all have the first
    """
    n_frames, rows = z.shape[1], z.flatten(0, 1)
    safe = max(kernel.spread for kernel in kernels) <= SAFE_SPREAD[z.dtype]
    function = _Symmetric if safe else _RowByRow
    if kind is None:
        far = function.apply(rows, kernels, in_time(len(rows), n_frames, z.device))
    else:
        layout = by_kind(kind.flatten().bool(), n_frames)
        far = function.apply(rows[layout.order], kernels, layout)[layout.place]
    return far.view(z.shape[:2])


class _Symmetric(torch.autograd.Function):
    """S_ij serves anchor i and anchor j, so blocks below the diagonal are not needed.

    With p_ij = e^{u_i(S_ij) - far_i} and g the gradient of far, the gradient of z is M z with
    M_ij = g_i p_ij u_i'(S_ij) + g_j p_ji u_j'(S_ij). The kernels' largest values are taken off as one
    constant for each kind, so that one e^{u - top} serves both anchors; `SAFE_SPREAD` says when that
    is safe.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, kernels: tuple[Kernel, ...], layout: Layout) -> Tensor:
        sums = z.new_zeros(len(z))
        keep = z.requires_grad and len(z) ** 2 * z.element_size() <= KEEP_BYTES
        kept = []
        for block in layout.blocks:
            at_rows, at_cols = _exponentials(z, kernels, block)
            sums[block.rows] += at_rows[0].sum(1)
            sums[block.cols][block.square :] += at_cols[0][:, block.square :].sum(0)
            if keep:
                kept += [at_rows[1], at_cols[1]]
        ctx.kernels, ctx.layout = kernels, layout
        ctx.save_for_backward(z, sums, *kept)
        tops = z.new_tensor([kernel.top for kernel in kernels])
        return sums.log() + tops.repeat_interleave(_sizes(layout))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        z, sums, *kept = ctx.saved_tensors
        slopes = z.new_tensor([kernel.slope for kernel in ctx.kernels]).repeat_interleave(_sizes(ctx.layout))
        w = torch.where(sums > 0, slopes * g / sums, 0)
        grad = torch.zeros_like(z)
        for i, block in enumerate(ctx.layout.blocks):
            if kept:
                at_rows, at_cols = kept[2 * i : 2 * i + 2]
            else:
                (_, at_rows), (_, at_cols) = _exponentials(z, ctx.kernels, block)
            if at_rows is at_cols:
                m = torch.add(w[block.rows, None], w[block.cols]).mul_(at_rows)
            else:
                m = (at_rows * w[block.rows, None]).addcmul_(at_cols, w[block.cols])
            grad[block.rows].addmm_(m, z[block.cols])
            grad[block.cols][block.square :].addmm_(m[:, block.square :].T, z[block.rows])
        return grad, None, None


def _exponentials(z: Tensor, kernels: tuple[Kernel, ...], block: Block) -> list[tuple[Tensor, Tensor]]:
    """For the row anchors and for the column anchors: e = e^{u(S) - top}, and e u'(S) / slope."""
    s = z[block.rows] @ z[block.cols].T
    if block.row_kind == block.col_kind:
        return [_exponential(s, kernels[block.row_kind], block.left_out)] * 2
    return [
        _exponential(s.clone(), kernels[block.row_kind], block.left_out),
        _exponential(s, kernels[block.col_kind], block.left_out),
    ]


def _exponential(s: Tensor, kernel: Kernel, left_out: Tensor) -> tuple[Tensor, Tensor]:
    e, factor = kernel.below_top(s)
    e.exp_().view(-1)[left_out] = 0
    return e, e if factor is None else factor.mul_(e)


def _sizes(layout: Layout) -> Tensor:
    return torch.tensor(layout.starts).diff().to(layout.order.device)


class _RowByRow(torch.autograd.Function):
    """For any kernel, however steep: each anchor takes off the largest of its own logits.

    Nothing but far is kept; memory is linear in N.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, kernels: tuple[Kernel, ...], layout: Layout) -> Tensor:
        far = z.new_empty(len(z))
        for kind, rows in layout.strips:
            u, _ = _logits(z, kernels[kind], layout, rows)
            far[rows] = u.logsumexp(1)
        tops = z.new_tensor([kernel.top for kernel in kernels]).repeat_interleave(_sizes(layout))
        ctx.kernels, ctx.layout = kernels, layout
        ctx.save_for_backward(z, far)
        return far + tops

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        z, far = ctx.saved_tensors
        far = far.clamp_min(torch.finfo(far.dtype).min)  # without negatives: e^{-inf - far} = 0
        grad = torch.zeros_like(z)
        for kind, rows in ctx.layout.strips:
            kernel = ctx.kernels[kind]
            u, factor = _logits(z, kernel, ctx.layout, rows)
            m = u.sub_(far[rows, None]).exp_().mul_(kernel.slope * g[rows, None])
            if factor is not None:
                m.mul_(factor)
            grad[rows].addmm_(m, z)
            grad.addmm_(m.T, z[rows])
        return grad, None, None


def _logits(z: Tensor, kernel: Kernel, layout: Layout, rows: slice) -> tuple[Tensor, Tensor | None]:
    """u - top of these anchors against all frames, -inf where not a far negative; and u' / slope."""
    u, factor = kernel.below_top(z[rows] @ z.T)
    u.view(-1)[layout.left_out(rows, slice(0, len(z)))] = -torch.inf
    return u, factor
