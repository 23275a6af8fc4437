"""What is minimised: the objectives by name, as pure functions of a batch of embeddings."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from emargin_train.config import ObjectiveConfig
from emargin_train.objectives.contrast import emargin, emargin_adjacent, infonce, margin_kernel
from emargin_train.objectives.released import emargin_released, infonce_released
from emargin_train.objectives.supervised import cross_entropy, supervised_contrastive

__all__ = [
    "OBJECTIVES",
    "Batch",
    "Objective",
    "cross_entropy",
    "emargin",
    "emargin_adjacent",
    "emargin_released",
    "infonce",
    "infonce_released",
    "margin_kernel",
    "supervised_contrastive",
]


@dataclass(frozen=True)
class Batch:
    """What an objective may look at: sequences without labels, and some more with labels.

    z: (B, T, D) embeddings, after the head where there is one
    dissimilar: (B, T) bool, the gate's label y of each anchor
    z_labelled: (L, T, D); labels: (L, T) classes, -1 = not labelled; L = 0 where no labels are used
    logits: (L, T, C) of a linear classifier on the embeddings before the head; None without one
    """

    z: Tensor
    dissimilar: Tensor
    z_labelled: Tensor
    labels: Tensor
    logits: Tensor | None = None


Objective = Callable[[Batch, ObjectiveConfig], Tensor]


def _infonce(batch: Batch, c: ObjectiveConfig) -> Tensor:
    return infonce(batch.z, temperature=c.temperature, neighbours=c.neighbours)


def _emargin(batch: Batch, c: ObjectiveConfig) -> Tensor:
    return emargin(
        batch.z,
        batch.dissimilar,
        margin=c.margin,
        temperature=c.temperature,
        neighbours=c.neighbours,
        similar_sign=c.similar_sign,
        gamma=c.gamma,
    )


def _emargin_adjacent(batch: Batch, c: ObjectiveConfig) -> Tensor:
    return emargin_adjacent(
        batch.z, batch.dissimilar, margin=c.margin, temperature=c.temperature, neighbours=c.neighbours
    )


def _emargin_released(batch: Batch, c: ObjectiveConfig) -> Tensor:
    return emargin_released(
        batch.z, batch.dissimilar, margin=c.margin, temperature=c.temperature, neighbours=c.neighbours
    )


def _infonce_released(batch: Batch, c: ObjectiveConfig) -> Tensor:
    return infonce_released(batch.z, temperature=c.temperature, neighbours=c.neighbours)


def _emargin_semi(batch: Batch, c: ObjectiveConfig) -> Tensor:
    """`emargin` + weight times a supervised term; `emargin` where the weight or the label share is 0."""
    loss = _emargin(batch, c)
    if len(batch.labels) == 0:
        return loss
    if batch.logits is not None:
        return loss + c.supervised_weight * cross_entropy(batch.logits, batch.labels)
    term = supervised_contrastive(batch.z_labelled, batch.labels, temperature=c.temperature)
    return loss + c.supervised_weight * term


def _supervised(batch: Batch, c: ObjectiveConfig) -> Tensor:
    assert batch.logits is not None
    return cross_entropy(batch.logits, batch.labels)


OBJECTIVES: dict[str, Objective] = {
    "infonce": _infonce,
    "emargin": _emargin,
    "emargin-released": _emargin_released,
    "infonce-released": _infonce_released,
    "emargin-adjacent": _emargin_adjacent,
    "emargin-semi": _emargin_semi,
    "supervised": _supervised,
}
