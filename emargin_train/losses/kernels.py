"""Kernels: the logit u(s) of a negative with cosine s to its anchor, and the slope of u."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Linear:
    """u = s / tau, as in InfoNCE."""

    temperature: float

    @property
    def top(self) -> float:
        """The largest u for s in [-1, 1]."""
        return 1 / self.temperature

    @property
    def spread(self) -> float:
        """The largest difference between two u for s in [-1, 1]."""
        return 2 / self.temperature

    @property
    def slope(self) -> float:
        """du/ds = slope * factor."""
        return 1 / self.temperature

    def below_top(self, s: Tensor) -> tuple[Tensor, Tensor | None]:
        """(u(s) - top, factor or None for 1), in the shape of s. This overwrites s."""
        return torch.add(s.new_tensor(-self.top), s, alpha=1 / self.temperature, out=s), None


@dataclass(frozen=True)
class Parabola:
    """u = c s^2, or with `one_sided` u = c max(0, centre - s)^2; the properties are those of `Linear`.

    eMargin's kernel is the first with c = gamma sigma / (2 tau) where y = 0, and the second with
    c = gamma / (2 tau) and centre = m where y = 1.
    """

    c: float
    centre: float = 0.0
    one_sided: bool = False

    @property
    def top(self) -> float:
        return max(self.c, 0.0) * (self.centre + 1) ** 2

    @property
    def spread(self) -> float:
        nearest = max(self.centre - 1, 0.0) if self.one_sided else 0.0
        return abs(self.c) * ((self.centre + 1) ** 2 - nearest**2)

    @property
    def slope(self) -> float:
        return 2 * self.c

    def below_top(self, s: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.centre:
            s.sub_(self.centre)
        if self.one_sided and self.centre < 1:
            s.clamp_max_(0)
        return torch.addcmul(s.new_tensor(-self.top), s, s, value=self.c), s


Kernel = Linear | Parabola
