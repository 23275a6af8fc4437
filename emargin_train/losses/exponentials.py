"""Exponentials that stay normal numbers.

Inner products of embeddings without a temperature differ by hundreds, so that most of their exponentials,
relative to the largest one, are below the smallest normal number. Many processors compute with such numbers
(subnormal ones) ten to twenty times as slowly. Far below the rounding of a sum they may be any small number.
"""

import torch
from torch import Tensor

LOWEST = {torch.float32: -60.0, torch.float64: -600.0}  # leaves room for products with weights and 1 / N


def exp_below_top_(s: Tensor) -> Tensor:
    """e^s in place, for s of 0 or less; where s is below LOWEST or -inf, e^LOWEST. NaN stays NaN."""
    return s.clamp_min_(LOWEST[s.dtype]).exp_()
