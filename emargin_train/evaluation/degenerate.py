"""Cases in which a metric has no value. The reason is kept in words, and never becomes a number."""

import torch
from torch import Tensor


class Degenerate(ValueError):
    """A metric has no value on these embeddings; the message gives the reason."""


def problem(h: Tensor) -> str:
    """Return the reason why embeddings (n, D) cannot be measured at all; empty where they can be."""
    bad = int((~torch.isfinite(h).all(1)).sum())
    if bad:
        return f"{bad} of {len(h)} embeddings are not finite"
    if bool((h == h[0]).all()):
        return f"all {len(h)} embeddings are equal"
    return ""


def need_spread(variance: float, largest: float, n: int) -> None:
    """Raise Degenerate where the standard deviation is below the float32 rounding of the value `largest`."""
    if not variance**0.5 > 1e-7 * largest:
        raise Degenerate(f"all {n} embeddings are equal up to rounding: they have no spread")
