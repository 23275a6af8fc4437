"""The objectives of all members of a stack, each with its own knobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from emargin_train.config import ObjectiveConfig
from emargin_train.objectives import OBJECTIVES, Batch

AT_ONCE = ("infonce", "emargin", "emargin-adjacent")  # their functions take members side by side
AT_ONCE_BYTES = 2**30  # of an N x N matrix of those that are at once


@dataclass(frozen=True)
class Knobs:
    """Of several members with the same objective, as their `ObjectiveConfig`s: (K, 1, 1) each."""

    temperature: Tensor
    margin: Tensor
    gamma: Tensor
    similar_sign: Tensor
    neighbours: int


def order(c: ObjectiveConfig) -> tuple[str, int]:
    """Members are sorted by this, so that those that can be at once are neighbours."""
    return c.name, c.neighbours


class StackedObjective:
    """Batch (K, ...) -> losses (K,).

    configs: sorted by `order`; n: frames of one member's batch; like: tells type and device
    at_once: members of the same objective side by side, as a GPU likes it; else one after another
    """

    def __init__(self, configs: Sequence[ObjectiveConfig], n: int, like: Tensor, *, at_once: bool) -> None:
        self.parts: list[tuple[int, str, Any]] = []  # members, objective, and its knobs or configuration
        most = max(1, AT_ONCE_BYTES // max(1, n * n * like.element_size()))
        for (name, neighbours), alike in groupby(range(len(configs)), key=lambda k: order(configs[k])):
            ks = list(alike)
            size = most if at_once and name in AT_ONCE else 1
            for first in ks[::size]:
                part = slice(first, min(first + size, ks[-1] + 1))
                many = at_once and name in AT_ONCE
                knobs = _knobs(configs[part], neighbours, like) if many else configs[first]
                self.parts.append((part.stop - part.start, name, knobs))

    def __call__(self, batch: Batch) -> Tensor:
        # Split once: were members indexed, each would get a gradient as large as that of all.
        sizes = [size for size, _, _ in self.parts]
        split = ([None] * len(sizes) if t is None else t.split(sizes) for t in vars(batch).values())
        losses = []
        for (_, name, knobs), *own in zip(self.parts, *split, strict=True):
            if not isinstance(knobs, Knobs):
                own = [None if t is None else t.squeeze(0) for t in own]
            losses.append(OBJECTIVES[name](Batch(*own), knobs).reshape(-1))
        return torch.cat(losses)


def _knobs(configs: Sequence[ObjectiveConfig], neighbours: int, like: Tensor) -> Knobs:
    def of_all(name: str) -> Tensor:
        return like.new_tensor([getattr(c, name) for c in configs])[:, None, None]

    names = ("temperature", "margin", "gamma", "similar_sign")
    return Knobs(neighbours=neighbours, **{name: of_all(name) for name in names})
