"""The losses of all members of a stack, each with its own hyper-parameters."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from emargin_train.methods.base import Batch
from emargin_train.methods.one_view import OneView, Outputs

AT_ONCE_BYTES = 2**30  # the largest size of all N x N matrices of members that are computed in one operation


@dataclass(frozen=True)
class _Part:
    """Some neighbouring members: their number, their method, and the settings of one or of all of them."""

    size: int
    method: type[OneView]
    settings: Any
    side_by_side: bool


def order(method: OneView) -> tuple[str, str]:
    """Members are sorted by this key, so that those that can be computed in one operation are neighbours."""
    return method.name, repr(_alike(method))


def _alike(method: OneView) -> Hashable:
    side = method.side_by_side
    return None if side is None else tuple(getattr(method.settings, name) for name in side.alike)


class StackedCriterion:
    """Outputs and batch of all members (K, ...) -> losses (K,).

    methods: sorted by `order`; n: frames in one member's batch; like: a tensor of the right type and device
    at_once: whether members that allow it are computed in one operation, which suits a GPU; otherwise they
        are computed one after another
    """

    def __init__(self, methods: Sequence[OneView], n: int, like: Tensor, *, at_once: bool) -> None:
        self.parts: list[_Part] = []
        most = max(1, AT_ONCE_BYTES // max(1, n * n * like.element_size()))
        for _, alike in groupby(range(len(methods)), key=lambda k: order(methods[k])):
            ks = list(alike)
            many = at_once and methods[ks[0]].side_by_side is not None
            size = most if many else 1
            for first in ks[::size]:
                part = methods[first : min(first + size, ks[-1] + 1)]
                settings = _side_by_side(part, like) if many else part[0].settings
                self.parts.append(_Part(len(part), type(part[0]), settings, many))

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        # Split once: indexing each member would make K gradients, each as large as that of the whole stack.
        sizes = [part.size for part in self.parts]
        names = list(batch.tables)
        fields = [outputs.z, outputs.z_labelled, outputs.logits, batch.labels, *batch.tables.values()]
        split = [[None] * len(sizes) if t is None else t.split(sizes) for t in fields]
        losses = []
        for part, *own in zip(self.parts, *split, strict=True):
            if not part.side_by_side:
                own = [None if t is None else t.squeeze(0) for t in own]
            z, z_labelled, logits, labels, *rows = own
            tables = dict(zip(names, rows, strict=True))
            alone = Batch(batch.x, batch.index, labels, tables)
            loss = part.method.criterion(part.settings, Outputs(z, z_labelled, logits), alone)
            losses.append(loss.reshape(-1))
        return torch.cat(losses)


def _side_by_side(methods: Sequence[OneView], like: Tensor) -> SimpleNamespace:
    """The settings of a method's members in one object: `varying` ones as (K, 1, 1), `alike` unchanged."""
    side = methods[0].side_by_side
    assert side is not None
    alike = {name: getattr(methods[0].settings, name) for name in side.alike}
    varying = {
        name: like.new_tensor([getattr(m.settings, name) for m in methods])[:, None, None]
        for name in side.varying
    }
    return SimpleNamespace(**alike, **varying)
