"""What the methods of the eMargin release share: its optimiser, and its encoder with a layer before it.

The release (sfi-norwai/eMargin at 0f12008) trains every baseline with AdamW at 1e-3 on batches of 8 sequences
and evaluates the last weights, but for one average that MF-CLR's file says. For reproduction only.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from emargin_train import settings as declaration
from emargin_train.encoders.base import Encoder, NoSettings
from emargin_train.encoders.projector import Projector
from emargin_train.methods.base import TrainingSettings
from emargin_train.settings import redefined

WIDTH, DROPOUT = 64, 0.1


@dataclass(frozen=True, kw_only=True)
class ReleasedTraining(TrainingSettings):
    """The release does not pass its weight decay to the optimiser, so PyTorch's default was used."""

    weight_decay: float = redefined(TrainingSettings, "weight_decay", 0.01)


class PlainProjector(Projector):
    """The projector as in the release, where it sees one frame at a time: there is nothing to set."""

    Settings = NoSettings

    def __init__(self, n_features: int, settings: declaration.Settings | None = None) -> None:
        super().__init__(n_features)


class ReleasedProjector(Encoder):
    """Linear F -> 64, projector 64 -> 128 -> 64 -> 320, dropout of 0.1: for TS2Vec, SoftCLT and MF-CLR."""

    name = "released-projector"
    title = "Projector behind a linear layer"

    def __init__(self, n_features: int, settings: declaration.Settings | None = None) -> None:
        super().__init__(n_features, settings or NoSettings())
        self.input_fc, self.projector = nn.Linear(n_features, WIDTH), Projector(WIDTH)
        self.dropout = nn.Dropout(DROPOUT)
        self.dim, self.sees_sequence = self.projector.dim, False

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: (B, T), False where the frame's latent is 0, as in the training of TS2Vec and SoftCLT."""
        h = self.input_fc(x)
        if mask is not None:
            h = h.masked_fill(~mask[..., None], 0)
        return self.dropout(self.projector(h))
