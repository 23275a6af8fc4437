"""SimMTM: masked copies find their series, and rebuild it from the others (Dong et al., NeurIPS 2023,
arXiv:2302.00861).

This follows the equations; the official code has no licence and is not used. There are n series and P masked
copies of each, so N = (P + 1) n rows: all originals, then the first copy of each, and so on. With S the
cosines of the rows s,

    w_ij = e^{S_ij/tau} / sum_{m != i} e^{S_im/tau},  w_ii = 0
    L_cl = -(1/N) sum_i sum_{j in Pos(i)} log w_ij           Pos(i): the other rows of i's series
    y^_i = sum_j w_ij y_j                                    y: point-wise embeddings, or decoded ones
    L = sum_k L_k / (2 p_k^2) + log(1 + p_k^2)               k = cl, rb; p trainable, at first 1

A linear decoder may be applied before or after the sum: the weights sum to 1, so the result is the same. It
is cheaper where the rows are narrower.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from emargin_train.errors import UserError
from emargin_train.losses.unit import unit

ROWS = 400  # rows in a strip of the N x N cosines
SAFE_SPREAD = 80.0  # e^-80 is a normal float32


def contrast_and_rebuild(
    s: Tensor, y: Tensor, *, n_series: int, temperature: float = 0.2, n_rebuilt: int | None = None
) -> tuple[Tensor, Tensor]:
    """(L_cl, a scalar >= P log P; y^ of the first rows, (n_rebuilt, ...)).

    Gradients, including those through w, are closed-form, but only the first derivative exists. The value
    takes N^2 / 2 inner products of s, the gradient N^2. Memory: about N^2 / 2 numbers.

    s: (N, d), any scale; y: (N, ...)
    n_series: n; rows i and i + n belong to the same series
    n_rebuilt: how many rows are rebuilt; None = the n originals
    """
    check_copies(len(s), n_series)
    n = n_series if n_rebuilt is None else n_rebuilt
    loss, rebuilt = _Cosines.apply(unit(s), y.flatten(1), n_series, temperature, n)
    return loss, rebuilt.unflatten(1, y.shape[1:]) if y.dim() > 1 else rebuilt[:, 0]


def weighted_sum(losses: Tensor, p: Tensor) -> Tensor:
    """L of (K,) losses and (K,) weights p: a scalar."""
    return (losses / (2 * p.square()) + (1 + p.square()).log()).sum()


def masked_normalisation(x: Tensor, keep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(x centred and scaled over its kept frames, masked ones 0; mean; standard deviation).

    The statistics carry no gradient. A series that is masked completely becomes 0, with mean 0; the official
    code gives NaN.

    x: (..., T, F); keep: same shape, 0 or 1; mean, standard deviation: (..., 1, F)
    """
    keep = keep.to(x.dtype)
    count = keep.sum(-2, keepdim=True).clamp_min(1)
    mean = ((x * keep).sum(-2, keepdim=True) / count).detach()
    centred = (x - mean) * keep
    sd = (centred.square().sum(-2, keepdim=True) / count + 1e-5).sqrt().detach()
    return centred / sd, mean, sd


def released_loss(z: Tensor, decoded: Tensor, masked: Tensor, *, temperature: float = 0.2) -> Tensor:
    """The loss of the eMargin release: every frame of originals and copies is a row, p stays 1, and the
    target is the network's input with its zeros. P is 3.

    z: (4 B T, D) embeddings, originals first; decoded: (4 B T, F), a random frozen decoder's output on z;
    masked: (4 B T, F), the input
    """
    loss, rebuilt = contrast_and_rebuild(
        z, decoded, n_series=len(z) // 4, temperature=temperature, n_rebuilt=len(z)
    )
    return weighted_sum(torch.stack([loss, (rebuilt - masked).square().mean()]), loss.new_ones(2))


def check_copies(n_rows: int, n_series: int) -> None:
    if n_rows % n_series or n_rows // n_series < 2:
        raise ValueError(f"{n_rows} rows are not {n_series} series and one or more copies of each")


class _Cosines(torch.autograd.Function):
    """Strips of rows, with columns from the strip's first row on: e_ij = e^{S_ij/tau} serves i and j.

    The rows are divided by sqrt(tau) first, so that a product gives S/tau.

    Strips of rows that are rebuilt have all columns, since y^ needs a whole row at once.
    """

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, y: Tensor, n_series: int, temperature: float, n_rebuilt: int
    ) -> tuple[Tensor, Tensor]:
        n = len(z)
        if 2 / temperature > SAFE_SPREAD:
            raise UserError(
                f"SimMTM's temperature is {temperature}, but e^(-2/temperature) must be a normal number: "
                f"give {2 / SAFE_SPREAD} or more"
            )
        z = z * temperature**-0.5
        totals, rebuilt = z.new_zeros(n), y.new_empty(n_rebuilt, y.shape[1])
        strips = []
        for start, stop in _strips(n, n_rebuilt):
            whole = start < n_rebuilt
            first = 0 if whole else start
            e = (z[start:stop] @ z[first:].T).exp_()
            e.diagonal(start - first).zero_()
            if whole:
                total = e.sum(1)
                rebuilt[start:stop] = (e @ y) / total[:, None]
                totals[start:stop] = total
                totals[n_rebuilt:] += e[:, n_rebuilt:].sum(0)
            else:
                totals[start:stop] += e.sum(1)
                totals[stop:] += e[:, stop - start :].sum(0)
            strips.append(e)
        copies = n // n_series
        groups = z.view(copies, n_series, -1).sum(0)
        positives = groups.square().sum() - z.square().sum()
        ctx.save_for_backward(z, y, totals, rebuilt, *strips)
        ctx.settings = n_series, temperature, n_rebuilt
        return ((copies - 1) * totals.log().sum() - positives) / n, rebuilt

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_loss: Tensor, g_rebuilt: Tensor) -> tuple[Tensor | None, ...]:
        z, y, totals, rebuilt, *strips = ctx.saved_tensors
        n_series, temperature, n_rebuilt = ctx.settings
        n = len(z)
        copies = n // n_series
        a = g_loss * (copies - 1) / n / totals  # of log total_i, by e_ij
        g_z, g_y = torch.zeros_like(z), torch.zeros_like(y)
        along = (g_rebuilt * rebuilt).sum(1, keepdim=True)
        for (start, stop), e in zip(_strips(n, n_rebuilt), strips, strict=True):
            rows = slice(start, stop)
            if start < n_rebuilt:
                g = g_rebuilt[rows] / totals[rows, None]
                g_y.addmm_(e.T, g)
                m = torch.addmm(a[rows, None] - along[rows] / totals[rows, None], g, y.T)
                m[:, n_rebuilt:] += a[n_rebuilt:]
                m *= e
                g_z[rows].addmm_(m, z)
                g_z.addmm_(m.T, z[rows])
            else:
                m = (a[rows, None] + a[start:]).mul_(e)
                own = stop - start
                g_z[rows].addmm_(m, z[start:])
                g_z[stop:].addmm_(m[:, own:].T, z[rows])
        groups = z.view(copies, n_series, -1).sum(0).repeat(copies, 1)
        g_z.sub_(2 * g_loss / n * (groups - z)).mul_(temperature**-0.5)
        return g_z, g_y, None, None, None


def _strips(n: int, n_rebuilt: int) -> list[tuple[int, int]]:
    """The rows of each strip. No strip has both rows that are rebuilt and rows that are not."""
    found = []
    for low, high in ((0, n_rebuilt), (n_rebuilt, n)):
        found += [(i, min(i + ROWS, high)) for i in range(low, high, ROWS)]
    return found
