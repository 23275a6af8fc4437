"""Which sequences a step sees, and with which labels."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emargin_train.config import TrainConfig
from emargin_train.data.frames import Frames
from emargin_train.errors import UserError
from emargin_train.gates import gate_labels


@dataclass(frozen=True)
class Drawn:
    """One step's sequences: B without labels, then L with.

    x: (B + L, T, F) magnitudes; dissimilar: (B, T) bool; labels: (L, T) int64, -1 = not labelled
    """

    x: Tensor
    dissimilar: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Batches:
    """Draws different sequences for each step, independently of the step before.

    y: (N, T) bool, the gate's labels; labelled: indices of the sequences whose classes may be seen
    n_plain, n_labelled: B and L
    """

    frames: Frames
    y: np.ndarray
    labelled: np.ndarray
    n_plain: int
    n_labelled: int
    generator: torch.Generator

    def draw_indices(self) -> Tensor:
        """(B + L,) sequences of the next step, those without labels first."""
        plain = torch.randperm(len(self.frames), generator=self.generator)[: self.n_plain]
        if not self.n_labelled:
            return plain
        order = torch.randperm(len(self.labelled), generator=self.generator)[: self.n_labelled]
        return torch.cat([plain, torch.from_numpy(self.labelled)[order]])

    def draw(self) -> Drawn:
        chosen = self.draw_indices().numpy()
        plain, seen = chosen[: self.n_plain], chosen[self.n_plain :]
        return Drawn(
            x=torch.from_numpy(self.frames.x(chosen)),
            dissimilar=torch.from_numpy(self.y[plain]),
            labels=torch.from_numpy(self.frames.y[seen]),
        )


def make_batches(config: TrainConfig, frames: Frames, threshold: float | None) -> Batches:
    """The batches of an objective: `batch_size` sequences, all of them where there are fewer.

    `supervised` sees labelled sequences only. `emargin-semi` sees, beside its batch, half as many of the
    sequences whose labels are known: those of `label_share`, drawn once from the seed.
    """
    c = config.objective
    gate = "released" if c.name.endswith("-released") else c.gate
    y = np.zeros(frames.shape[:2], bool)
    if threshold is not None:
        y = gate_labels(gate, frames, threshold, seed=config.seed)
    labelled = np.empty(0, np.int64)
    n_plain, n_labelled = min(config.batch_size, len(frames)), 0
    if c.name == "supervised":
        labelled = with_labels(frames, 1.0, config.seed)
        n_plain, n_labelled = 0, min(config.batch_size, len(labelled))
    elif c.name == "emargin-semi" and c.supervised_weight > 0:
        if c.label_share is None:
            raise UserError("emargin-semi needs a share of labelled sequences: give label_share, such as 0.1")
        labelled = with_labels(frames, c.label_share, config.seed)
        n_labelled = min((config.batch_size + 1) // 2, len(labelled))
    generator = torch.Generator().manual_seed(config.seed)
    return Batches(frames, y, labelled, n_plain, n_labelled, generator)


def with_labels(frames: Frames, share: float, seed: int) -> np.ndarray:
    """Indices of the sequences whose labels are known: `share` of all, at least one unless share is 0.

    Drawn from those that have a label at all; all of these where they are fewer.
    """
    known = np.flatnonzero((frames.y >= 0).any(1))
    if len(known) == 0:
        raise UserError("no training sequence has a label: give labelled data or an objective without labels")
    n = max(1, round(share * len(frames))) if share > 0 else 0
    return np.sort(np.random.default_rng([seed, 1]).permutation(known)[:n])
