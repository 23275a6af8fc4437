"""When there is nothing to measure: said in words, never as a number."""

import numpy as np


class Degenerate(ValueError):
    """A metric has no value on these embeddings; the message says why."""


def problem(h: np.ndarray) -> str:
    """Why embeddings (n, D) cannot be measured at all; empty where they can."""
    bad = int((~np.isfinite(h).all(1)).sum())
    if bad:
        return f"{bad} of {len(h)} embeddings are not finite"
    if (h == h[0]).all():
        return f"all {len(h)} embeddings are equal"
    return ""


def need_spread(variance: float, largest: float, n: int) -> None:
    """Raise where a standard deviation is within float32 rounding of values as large as `largest`."""
    if not variance**0.5 > 1e-7 * largest:
        raise Degenerate(f"all {n} embeddings are equal up to rounding: they have no spread")
