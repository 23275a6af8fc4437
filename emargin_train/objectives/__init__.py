"""What is minimised: the objectives by name, as pure functions of a batch of embeddings."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from emargin_train.config import ObjectiveConfig
from emargin_train.objectives.contrast import emargin, emargin_adjacent, infonce

__all__ = ["OBJECTIVES", "Batch", "Objective", "emargin", "emargin_adjacent", "infonce"]


@dataclass(frozen=True)
class Batch:
    """What an objective may look at.

    z: (B, T, D) embeddings, after the head where there is one
    dissimilar: (B, T) of 0 and 1, the gate's label y of each anchor
    """

    z: Tensor
    dissimilar: Tensor


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


OBJECTIVES: dict[str, Objective] = {"infonce": _infonce, "emargin": _emargin}
