"""TimeDRL (Chang et al., ICDE 2024, arXiv:2312.04142): two passes of a sequence that differ by dropout.

Tokens are single frames. Each sequence is normalised over its time, in training and in evaluation, so an
embedding depends on its sequence. The embedding of a sequence is the mean over its frames, since a [CLS]
token could learn nothing from an encoder of single frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emargin_train.data.frames import Frames
from emargin_train.encoders.base import seeded
from emargin_train.errors import UserError
from emargin_train.losses.timedrl import instance_loss, normalised, predictive_loss
from emargin_train.methods.base import Batch, Setup
from emargin_train.methods.pretext import Pretext
from emargin_train.settings import Settings, hyperparameter


@dataclass(frozen=True, kw_only=True)
class TimeDRLSettings(Settings, prefix="timedrl"):
    weight: float = hyperparameter(
        0.1,
        "The contrast of sequences has this weight, and the reconstruction of frames has weight 1.",
        metavar="W",
        low=0,
        search=(0.1, 1),
        log=True,
        role="scientific",
        why="it weighs a loss",
    )
    dropout: float = hyperparameter(
        0.2,
        "Both passes set this share of the inputs, and of the heads' values, to 0.",
        metavar="Q",
        low=0,
        high=0.99,
        search=(0.05, 0.5),
        role="nuisance",
        why="it is a share of values",
    )
    target: str = hyperparameter(
        "normalised",
        "The target is frames as the encoder sees them (normalised), or as in the published code (raw).",
        metavar="KIND",
        choices=("normalised", "raw"),
    )


class TimeDRL(Pretext):
    name = "timedrl"
    title = "TimeDRL"
    description = "rebuilds frames in two passes that differ by dropout, and predicts one pass from the other"
    Settings = TimeDRLSettings
    settings: TimeDRLSettings

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        d, q = self.encoder.dim, self.settings.dropout
        half = max(d // 2, 1)
        with seeded(setup.seed):
            self.decoder = nn.Sequential(nn.Dropout(q), nn.Linear(d, setup.shape.n_features))
            self.predictor = nn.Sequential(
                nn.Linear(d, half), nn.BatchNorm1d(half), nn.ReLU(), nn.Dropout(q), nn.Linear(half, d)
            )
        self.dropout = nn.Dropout(q)

    @property
    def sees_sequence(self) -> bool:
        return True

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        if self.setup.shape.n_frames < 2:
            raise UserError(
                "TimeDRL normalises a sequence over its time, but sequences have 1 frame: give a sequence "
                "length of 2 or more"
            )
        if self.batch_size < 2:
            raise UserError(
                f"TimeDRL's predictor normalises over a batch, but a batch has {self.batch_size} of "
                f"{self.n_train} training sequences: give a batch size of 2 or more, and as many sequences"
            )

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s = self.settings
        x = normalised(batch.x)
        h1, h2 = (self.encoder(self.dropout(x)) for _ in range(2))
        target = x if s.target == "normalised" else batch.x
        rebuilding = predictive_loss(self.decoder(h1), self.decoder(h2), target)
        i1, i2 = h1.mean(1), h2.mean(1)
        return rebuilding + s.weight * instance_loss(i1, i2, self.predictor(i1), self.predictor(i2))

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(normalised(x))
