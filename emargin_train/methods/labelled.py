"""The base of methods that see the labels of some training sequences."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from emargin_train.data.frames import Frames
from emargin_train.data.recording import UNLABELLED
from emargin_train.errors import UserError
from emargin_train.methods.base import Batch, Setup
from emargin_train.methods.one_view import OneView
from emargin_train.settings import Settings, hyperparameter


@dataclass(frozen=True, kw_only=True)
class LabelSettings(Settings):
    label_share: float = hyperparameter(
        0.1,
        "The method sees the labels of this share of the training sequences.",
        metavar="Q",
        low=0,
        high=1,
        why="it is a share of sequences",
    )
    label_control: str = hyperparameter(
        "none",
        "The method sees the labels as they are (none), in random order over the labelled frames "
        "(shuffled), or not at all, while the same sequences join the batch (hidden). The last two are "
        "controls for what the labels add.",
        metavar="KIND",
        choices=("none", "shuffled", "hidden"),
        controls=("shuffled", "hidden"),
    )


class Labelled(OneView):
    """The last `n_extra` sequences of a batch are from `labelled`, and the method sees their labels.

    If their labels are hidden, they count as sequences without labels.

    label_share: the only label share of a method that has no setting for it
    """

    needs_labels = True
    label_share: ClassVar[float | None] = None

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.labelled = np.empty(0, np.int64)
        self.n_extra = 0
        self.shuffled: Tensor | None = None

    def see(self, train: Frames, n: int) -> None:
        """Let a batch end with up to n labelled sequences, as the settings say. Call it in `prepare`."""
        s: Any = self.settings
        share = s.label_share if self.label_share is None else self.label_share
        control = getattr(s, "label_control", "none")
        self.labelled = with_labels(train, share, self.setup.seed)
        self.n_extra = min(n, len(self.labelled))
        if control == "hidden":
            self.n_plain += self.n_extra
        else:
            self.n_labelled = self.n_extra
        if control == "shuffled":
            self.shuffled = torch.from_numpy(shuffled(train.y, self.labelled, self.setup.seed))

    def draw(self, generator: torch.Generator) -> Tensor:
        others = self.n_plain + self.n_labelled - self.n_extra
        plain = torch.randperm(self.n_train, generator=generator)[:others]
        if not self.n_extra:
            return plain
        order = torch.randperm(len(self.labelled), generator=generator)[: self.n_extra]
        return torch.cat([plain, torch.from_numpy(self.labelled)[order]])

    def seen_labels(self, batch: Batch) -> Tensor:
        labels = super().seen_labels(batch)
        if self.shuffled is None:
            return labels
        return self.shuffled[batch.index[self.n_plain :].cpu()].to(labels)

    def can_stack(self) -> bool:
        """A stack reads the true labels of the training frames."""
        return super().can_stack() and getattr(self.settings, "label_control", "none") != "shuffled"


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


def shuffled(y: np.ndarray, labelled: np.ndarray, seed: int) -> np.ndarray:
    """Labels (N, T) whose labelled frames in the sequences `labelled` have each other's labels at random.

    How often each class occurs there stays the same; nothing ties a label to its frame any more.
    """
    found = y.copy()
    seen = found[labelled]
    there = seen != UNLABELLED
    seen[there] = np.random.default_rng([seed, 2]).permutation(seen[there])
    found[labelled] = seen
    return found
