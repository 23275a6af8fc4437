"""The base of methods that see the labels of some training sequences."""

import numpy as np
import torch
from torch import Tensor

from emargin_train.data.frames import Frames
from emargin_train.errors import UserError
from emargin_train.methods.base import Setup
from emargin_train.methods.one_view import OneView


class Labelled(OneView):
    """The last `n_labelled` sequences of a batch are from `labelled`, and the method sees their labels."""

    needs_labels = True

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.labelled = np.empty(0, np.int64)

    def draw(self, generator: torch.Generator) -> Tensor:
        plain = torch.randperm(self.n_train, generator=generator)[: self.n_plain]
        if not self.n_labelled:
            return plain
        order = torch.randperm(len(self.labelled), generator=generator)[: self.n_labelled]
        return torch.cat([plain, torch.from_numpy(self.labelled)[order]])


def with_labels(frames: Frames, share: float, seed: int) -> np.ndarray:
    """Indices of the sequences whose labels are known: `share` of all sequences, at least one unless it is 0.

    They are drawn from the sequences that have any label. If there are too few of those, all are taken.
    """
    known = np.flatnonzero((frames.y >= 0).any(1))
    if len(known) == 0:
        raise UserError(
            "no training sequence has a label: give labelled data, or a method that learns without labels"
        )
    n = max(1, round(share * len(frames))) if share > 0 else 0
    return np.sort(np.random.default_rng([seed, 1]).permutation(known)[:n])
