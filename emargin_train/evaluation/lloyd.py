"""Lloyd's steps of all restarts at once, for a device that must not be asked after each.

Letters: n points of D dimensions, R restarts of K clusters.
"""

import torch
from torch import Tensor

LOOK_EVERY = 8  # steps; each look waits for the device


def nearest(columns: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest centre of each point, and its |c|^2 - 2 x.c: (R, n) each. columns: the points, (D, n)."""
    flat = centres.flatten(0, 1)
    score = torch.addmm(flat.square().sum(1)[:, None], flat, columns, alpha=-2)
    closest, labels = score.unflatten(0, centres.shape[:2]).min(1)
    return labels, closest


def lloyd(x: Tensor, centres: Tensor, tolerance: float, most_steps: int) -> tuple[Tensor, Tensor] | None:
    """Labels (R, n) and inertias (R,) that the restarts end with; None where a cluster ran empty.

    A restart ends once a step moves its centres by no more than `tolerance`, squared and summed; they then
    stay, while the others go on. A cluster without points has the centre 0/0, which ends its restart and is
    seen in its inertia.

    x: (n, D) float32; centres: (R, K, D), left as they are; tolerance: 0 or more
    """
    columns, points = x.T.contiguous(), torch.cat([x, x.new_ones(len(x), 1)], 1).double()
    which = torch.arange(centres.shape[1], device=x.device)[:, None]
    going = torch.ones(len(centres), dtype=torch.bool, device=x.device)
    for step in range(1, most_steps + 1):
        labels, _ = nearest(columns, centres)
        total = (labels[:, None] == which).double() @ points  # (R, K, D + 1), the last the number of points
        moved = (total[:, :, :-1] / total[:, :, -1:]).to(x.dtype)
        far = torch.linalg.vector_norm(moved - centres, dim=(1, 2)) > tolerance**0.5
        centres = torch.where(going[:, None, None], moved, centres)
        going = going & far
        if step % LOOK_EVERY == 0 and not bool(going.any()):
            break
    labels, score = nearest(columns, centres)
    inertia = score.sum(1, dtype=torch.float64) + x.square().sum(dtype=torch.float64)
    empty = ((labels[:, None] == which).sum(2) == 0).any() | inertia.isnan().any()
    return None if bool(empty) else (labels, inertia)
