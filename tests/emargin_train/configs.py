"""Settings of short trainings, for any method."""

from typing import Any

from emargin_train.config import TrainConfig
from emargin_train.hyperparameters import table
from emargin_train.methods import METHODS
from emargin_train.train_many import can_stack

USUAL: dict[str, Any] = {
    "dissimilar_share": 0.3,
    "margin": 1.0,
    "temperature": 0.5,
    "label_share": 0.2,
    "iterations": 10,
}


def config(method: str = "emargin", **more: Any) -> TrainConfig:
    """Ten steps with a report after five; of the usual values, those that the method reads.

    A method with an encoder of its own is taken small.
    """
    read = table(method, more.get("encoder", TrainConfig.encoder))
    usual = {column: value for column, value in USUAL.items() if column in read}
    if METHODS[method].own_encoder is not None:
        usual |= METHODS[method].small
    return TrainConfig.from_dict(usual | {"method": method, "report_every": 5, "seed": 3} | more)


TRAINED = [name for name, method in METHODS.items() if method.Training is not None]
STACKED = [name for name in TRAINED if can_stack(config(name))]
# With what decides the network's parts: all that a stack has to cope with.
STACKED_VARIANTS: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in STACKED] + [
    ("emargin-semi", {"supervised_term": "cross-entropy"})
]
