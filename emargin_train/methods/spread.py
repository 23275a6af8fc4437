"""A hyper-parameter that spreads or narrows the embeddings of a method, whatever its contrast does."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from emargin_train.losses.spread import unevenness
from emargin_train.methods.one_view import Outputs
from emargin_train.settings import Settings, hyperparameter


@dataclass(frozen=True, kw_only=True)
class SpreadSettings(Settings):
    spread_weight: float = hyperparameter(
        0.0,
        "The loss gets this many times log(D / participation ratio) of the batch's covariance: a positive "
        "weight spreads the embeddings over all D dimensions, a negative one narrows them to a few.",
        metavar="W",
        why="it weighs a loss",
    )


def with_spread(loss: Tensor, settings: Any, outputs: Outputs) -> Tensor:
    """The loss plus the weighted unevenness of the embeddings after the head."""
    if settings.spread_weight == 0:
        return loss
    return loss + settings.spread_weight * unevenness(outputs.z)
