"""A bidirectional recurrent encoder."""

from dataclasses import dataclass

from torch import Tensor, nn

from emargin_train.encoders.base import Encoder
from emargin_train.settings import Settings, hyperparameter


@dataclass(frozen=True, kw_only=True)
class RecurrentSettings(Settings, prefix="recurrent"):
    width: int = hyperparameter(
        16, "The recurrent encoder has this many units in each direction.", low=1, why="it counts units"
    )


class Recurrent(Encoder):
    name = "recurrent"
    title = "Recurrent"
    Settings = RecurrentSettings

    def __init__(self, n_features: int, settings: RecurrentSettings) -> None:
        super().__init__(n_features, settings)
        self.dim, self.sees_sequence = 2 * settings.width, True
        self.gru = nn.GRU(n_features, settings.width, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(x)[0]
