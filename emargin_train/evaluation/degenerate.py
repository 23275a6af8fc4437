"""When there is nothing to measure: said in words, never as a number."""

import numpy as np
import torch
from torch import Tensor

from emargin_train.evaluation.points import Points


class Degenerate(ValueError):
    """A metric has no value on these embeddings; the message says why."""


def problem(h: Points) -> str:
    """Why embeddings (n, D) cannot be measured at all; empty where they can."""
    finite = torch.isfinite(h) if isinstance(h, Tensor) else np.isfinite(h)
    bad = int((~finite.all(1)).sum())
    if bad:
        return f"{bad} of {len(h)} embeddings are not finite"
    if bool((h == h[0]).all()):
        return f"all {len(h)} embeddings are equal"
    return ""


def need_spread(variance: float, largest: float, n: int) -> None:
    """Raise where a standard deviation is within float32 rounding of values as large as `largest`."""
    if not variance**0.5 > 1e-7 * largest:
        raise Degenerate(f"all {n} embeddings are equal up to rounding: they have no spread")
