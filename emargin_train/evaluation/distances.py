"""All pairwise distances, a block of rows at a time. Most of the time of many metrics is spent here."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emargin_train.evaluation.points import mean, moved

NEAREST_ROWS = 256  # rows of the distance matrix that `nearest` holds at once on a CPU
GROUP = 16  # numbers of which `least` first takes the minimum
CPU_ROWS = 512  # the same for `all_pairs`: such a block stays in the cache
DEVICE_ROWS = 2048  # the same on a GPU, where few blocks need few kernel launches


@dataclass(frozen=True)
class Pairs:
    """The results of one pass over all pairs of n points.

    total: for each labelling (n, K) float64, a point's summed distances to the points of each cluster
    near: (n, k) indices of the k nearest other points, in no particular order
    potential: sum over ordered pairs of different points of e^(-2 |a_i - a_j|^2); None where it is not needed
    """

    total: list[np.ndarray]
    near: np.ndarray
    potential: float | None


def all_pairs(
    a: Tensor, *codes: np.ndarray, near: int = 0, potential: bool = False, block: int | None = None
) -> Pairs:
    """One pass over the pairs of rows of a, each pair once.

        |a - b|^2 = |a|^2 + |b|^2 - 2 a.b   where the mean has been subtracted from both

    The distances come from a matrix product. Therefore small distances between points far from the mean lose
    digits: the error is about 1e-7 of |a|^2.

    a: (n, D); codes: (n,) each, clusters from 0 to K-1; near: k, at most n - 1
    block: rows at a time; None = a number that is fast on this device
    """
    x = moved(a, mean(a))
    n, square = len(x), x.square().sum(1)
    block = block or (CPU_ROWS if x.device.type == "cpu" else DEVICE_ROWS)
    member = [torch.from_numpy(np.eye(code.max() + 1, dtype=np.float32)[code]) for code in codes]  # (n, K)
    member = [own.to(x.device) for own in member]
    total = [torch.zeros(own.shape, dtype=torch.float64, device=x.device) for own in member]
    nearest = _Nearest(n, near, x.device)
    sum_of_potentials = torch.zeros((), dtype=torch.float64, device=x.device)
    for low in range(0, n, block):
        rows, after = slice(low, min(low + block, n)), slice(min(low + block, n), n)
        height = rows.stop - low
        squared = torch.addmm(square[low:], x[rows], x[low:].T, alpha=-2)  # (height, n - low)
        squared.add_(square[rows, None]).clamp_(min=0)
        own, other = squared[:, :height], squared[:, height:]
        if near:
            own.fill_diagonal_(torch.inf)
            nearest.see(rows, slice(low, n), squared)
            if rows.stop < n:
                nearest.see(after, rows, other.T)
        own.fill_diagonal_(0)
        if potential:
            e = squared.mul(-2).exp_()
            sum_of_potentials += 2 * e.sum(1).double().sum() - e[:, :height].sum().double() - height
        if member:
            squared.sqrt_()
        for to, cluster in zip(total, member, strict=True):
            to[rows] += squared @ cluster[low:]
            to[after] += other.T @ cluster[rows]
    return Pairs(
        [to.cpu().numpy() for to in total],
        nearest.index.cpu().numpy(),
        float(sum_of_potentials) if potential else None,
    )


class _Nearest:
    """The k nearest points so far: `index` (n, k), at squared distances (n, k)."""

    def __init__(self, n: int, k: int, device: torch.device) -> None:
        self.k = k
        self.squared = torch.full((n, k), torch.inf, device=device)
        self.index = torch.zeros((n, k), dtype=torch.int64, device=device)

    def see(self, rows: slice, cols: slice, squared: Tensor) -> None:
        """squared: (rows, cols), infinite for the distance of a point to itself."""
        value, index = squared.topk(min(self.k, squared.shape[1]), largest=False, sorted=False)
        value = torch.cat([self.squared[rows], value], dim=1)
        index = torch.cat([self.index[rows], index + cols.start], dim=1)
        self.squared[rows], best = value.topk(self.k, largest=False, sorted=False)
        self.index[rows] = index.gather(1, best)


def nearest(a: Tensor, b: Tensor, k: int) -> np.ndarray:
    """Indices (n, k) of the k rows of b nearest to each row of a, in no particular order.

    Products are as in `all_pairs`, but |a|^2 is left out of the distances: it is the same for all b.
    """
    to, of = moved(b, mean(b)), moved(a, mean(b))
    square = to.square().sum(1)
    rows = NEAREST_ROWS if of.device.type == "cpu" else DEVICE_ROWS
    found = [least(torch.addmm(square, part, to.T, alpha=-2), k)[1] for part in of.split(rows)]
    return torch.cat(found).cpu().numpy()


def least(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k smallest values of each row, (m, k), and their columns, in no particular order.

    The columns are divided into groups. The k smallest values lie in the k groups with the smallest minima:
    a value in another group is not below any of these k minima.
    """
    n = values.shape[1]
    groups = n // GROUP
    if groups < 2 * k:
        value, index = values.topk(k, largest=False, sorted=False)
        return value, index
    grouped = values[:, : groups * GROUP].unflatten(1, (GROUP, groups))
    best = grouped.amin(1).topk(k, largest=False, sorted=False).indices  # (m, k)
    steps = torch.arange(0, groups * GROUP, groups, device=values.device)
    rest = torch.arange(groups * GROUP, n, device=values.device).expand(len(values), -1)
    columns = torch.cat([(best[:, None] + steps[:, None]).flatten(1), rest], 1)
    value, index = values.gather(1, columns).topk(k, largest=False, sorted=False)
    return value, columns.gather(1, index)
