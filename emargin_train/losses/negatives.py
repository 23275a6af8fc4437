"""The costly part of every contrast, in closed form: cosines, and log-sum-exp over far negatives.

        far_i = log sum_{j != i, j not adjacent to i in its sequence} e^{u_i(S_ij)}

u_i is the logit kernel of anchor i; there are one or two kinds of kernels. The few adjacent pairs are
returned to the caller, who knows which of them are positives.

Letters: B sequences of T frames, N = B T frames in all, D dimensions; z = rows of h with unit length, S = z
z^T.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from emargin_train.losses.kernels import Kernel
from emargin_train.losses.layout import Layout, Strip, by_kind, in_time
from emargin_train.losses.unit import of_rows, unit_rows
from emargin_train.precision import contrast_products

KEEP_BYTES = 2**28  # a forward pass keeps at most this for the backward pass; otherwise it is computed again
SAFE_SPREAD = {torch.float32: 80.0, torch.float64: 700.0}  # e^-spread is still a normal number


def far_and_adjacent(
    h: Tensor, kernels: tuple[Kernel, ...], kind: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(far_i of all frames, (B, T); cosines of adjacent frames, (B, T - 1)).

    far is -inf where an anchor has no far negative. A frame of zeros has cosine 0 with all frames, and
    gradient 0. Gradients are closed-form, but only the first derivative exists. Time: N^2 D. Memory: about
    N^2 numbers up to KEEP_BYTES, and linear in N beyond that.

    h: (B, T, D), any scale; kernels: one for each kind of anchor
    kind: (B, T) of 0 and 1, the number of each anchor's kernel; None = all anchors have the first kernel
    """
    n_sequences, n_frames, _ = h.shape
    if kind is None:
        layout = in_time(n_sequences * n_frames, n_frames, h.device)
    else:
        layout = by_kind(kind.flatten().bool(), n_frames)
    far, adjacent = _FarAndAdjacent.apply(h, kernels, layout)
    return far, adjacent[:, :-1]


class _FarAndAdjacent(torch.autograd.Function):
    @staticmethod
    @contrast_products()
    def forward(ctx: Any, h: Tensor, kernels: tuple[Kernel, ...], layout: Layout) -> tuple[Tensor, Tensor]:
        z, scale, adjacent = unit_rows(h)
        rows = z.flatten(0, 1)
        rows = rows if layout.is_in_time else rows.index_select(0, layout.order)
        safe = max(kernel.spread for kernel in kernels) <= SAFE_SPREAD[h.dtype]
        keep = ctx.needs_input_grad[0] and safe and len(rows) ** 2 * h.element_size() <= KEEP_BYTES
        far, kept = (_far_by_strips if safe else _far_by_rows)(rows, kernels, layout, keep)
        ctx.kernels, ctx.layout, ctx.safe = kernels, layout, safe
        ctx.save_for_backward(z, scale, rows, far, *kept)
        return far[layout.place].view(h.shape[:2]), adjacent

    @staticmethod
    @once_differentiable
    @contrast_products()
    def backward(ctx: Any, g_far: Tensor, g_adjacent: Tensor) -> tuple[Tensor, None, None]:
        z, scale, rows, far, *kept = ctx.saved_tensors
        slope = _by_row(ctx.layout, [kernel.slope for kernel in ctx.kernels], far)
        g = torch.where(far > -torch.inf, slope * g_far.flatten()[ctx.layout.order], 0)
        gradient = _gradient_by_strips if ctx.safe else _gradient_by_rows
        grad = gradient(g, rows, far, ctx.kernels, ctx.layout, kept)
        grad = (grad if ctx.layout.is_in_time else grad.index_select(0, ctx.layout.place)).view_as(z)
        return of_rows(grad, z, scale, g_adjacent), None, None


def _by_row(layout: Layout, values: list[float], like: Tensor) -> Tensor:
    """One value for each kind -> (N,)."""
    sizes = torch.tensor(layout.starts).diff()
    return like.new_tensor(values).repeat_interleave(sizes.to(like.device))


# By strips: S_ij is used for anchor i and for anchor j, so columns before the strip's rows are not needed.
# With p_ij = e^{u_i(S_ij) - far_i} and g the gradient of far, the gradient of z is M z with M_ij = g_i p_ij
# u_i'(S_ij) + g_j p_ji u_j'(S_ij). The largest value of a kernel is subtracted as one constant, so that one
# e^{u - top} can be used for both anchors of a kind; SAFE_SPREAD says when this loses no digits.


def _far_by_strips(
    z: Tensor, kernels: tuple[Kernel, ...], layout: Layout, keep: bool
) -> tuple[Tensor, list[Tensor]]:
    sums = z.new_zeros(len(z))
    kept = []
    for strip in layout.strips:
        (e, slopes), (e_other, slopes_other) = _exponentials(z, kernels, strip)
        sums[strip.rows] += e.sum(1)
        own, other = sums[strip.rows.stop :].split([strip.own - strip.n, e_other.shape[1]])
        own += e[:, strip.n : strip.own].sum(0)
        other += e_other.sum(0)
        if keep:
            kept += [slopes, slopes_other]
    return sums.log() + _by_row(layout, [kernel.top for kernel in kernels], z), kept


def _gradient_by_strips(
    g: Tensor, z: Tensor, far: Tensor, kernels: tuple[Kernel, ...], layout: Layout, kept: list[Tensor]
) -> Tensor:
    tops = _by_row(layout, [kernel.top for kernel in kernels], z)
    w = torch.where(far > -torch.inf, g * torch.exp(tops - far), 0)
    grad = torch.zeros_like(z)
    for i, strip in enumerate(layout.strips):
        if kept:
            slopes, slopes_other = kept[2 * i : 2 * i + 2]
        else:
            (_, slopes), (_, slopes_other) = _exponentials(z, kernels, strip)
        m = slopes * w[strip.rows, None]
        own, other = w[strip.rows.start :].split([strip.own, slopes_other.shape[1]])
        m[:, : strip.own].addcmul_(slopes[:, : strip.own], own)
        m[:, strip.own :].addcmul_(slopes_other, other)
        grad[strip.rows].addmm_(m, z[strip.rows.start :])
        grad[strip.rows.stop :].addmm_(m[:, strip.n :].T, z[strip.rows])
    return grad


def _exponentials(z: Tensor, kernels: tuple[Kernel, ...], strip: Strip) -> list[tuple[Tensor, Tensor]]:
    """e = e^{u(S) - top} and e u'(S) / slope: for the row anchors, and for columns of the other kind."""
    s = z[strip.rows] @ z[strip.rows.start :].T
    s_other = s[:, strip.own :].clone()
    return [
        _exponential(s, kernels[strip.kind], strip.left_out),
        _exponential(s_other, kernels[-1], strip.left_out_of_other),
    ]


def _exponential(s: Tensor, kernel: Kernel, left_out: Tensor) -> tuple[Tensor, Tensor]:
    e, factor = kernel.below_top(s)
    e.exp_().view(-1)[left_out] = 0
    return e, e if factor is None else factor.mul_(e)


# By rows: this works for any kernel, however steep. For each anchor, its largest logit is subtracted.


def _far_by_rows(
    z: Tensor, kernels: tuple[Kernel, ...], layout: Layout, keep: bool
) -> tuple[Tensor, list[Tensor]]:
    far = z.new_empty(len(z))
    for kind, rows in layout.pieces:
        far[rows] = _logits(z, kernels[kind], layout, rows)[0].logsumexp(1) + kernels[kind].top
    return far, []


def _gradient_by_rows(
    g: Tensor, z: Tensor, far: Tensor, kernels: tuple[Kernel, ...], layout: Layout, kept: list[Tensor]
) -> Tensor:
    grad = torch.zeros_like(z)
    for kind, rows in layout.pieces:
        u, factor = _logits(z, kernels[kind], layout, rows)
        m = torch.softmax(u, 1).nan_to_num_(0).mul_(g[rows, None])  # NaN: an anchor without far negatives
        if factor is not None:
            m.mul_(factor)
        grad[rows].addmm_(m, z)
        grad.addmm_(m.T, z[rows])
    return grad


def _logits(z: Tensor, kernel: Kernel, layout: Layout, rows: slice) -> tuple[Tensor, Tensor | None]:
    """u - top of these anchors against all frames, -inf where not a far negative; and u' / slope."""
    u, factor = kernel.below_top(z[rows] @ z.T)
    u.view(-1)[layout.left_out(rows, slice(0, len(z)))] = -torch.inf
    return u, factor
