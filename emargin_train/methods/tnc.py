"""TNC (Tonekaboni et al., ICLR 2021, arXiv:2106.00750): a critic distinguishes near frames from distant ones.

Every frame of a batch is an anchor, and a window is one frame. Neighbourhoods have the same size in all
sequences: the published test of stationarity is left out, since it has no power on so few frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emargin_train.encoders.base import seeded
from emargin_train.losses.tnc import Critic, neighbourhood_loss
from emargin_train.methods.base import Batch, Setup
from emargin_train.methods.pretext import Pretext, beside
from emargin_train.settings import Settings, hyperparameter
from emargin_train.views.tnc import draw_pairs


@dataclass(frozen=True, kw_only=True)
class TNCSettings(Settings, prefix="tnc"):
    scale: float = hyperparameter(
        5.0,
        "Neighbours are this many frames away (a standard deviation); distant frames are five times as far.",
        metavar="FRAMES",
        low=0.5,
        search=(1, 40),
        log=True,
        role="scientific",
        why="a neighbour is another frame",
    )
    weight: float = hyperparameter(
        0.05,
        "The loss assumes that this share of the distant pairs is alike.",
        metavar="W",
        low=0,
        high=1,
        search=(0, 0.5),
        role="scientific",
        why="it is a share of pairs",
    )
    pairs: int = hyperparameter(
        20,
        "Each frame is paired with this many near frames, and with as many distant ones.",
        metavar="N",
        low=1,
        why="it counts pairs",
    )
    dropout: float = hyperparameter(
        0.5,
        "In each step, this share of the critic's hidden units is dropped, the same units for all pairs.",
        metavar="Q",
        low=0,
        high=0.99,
        why="it is a share of units",
    )


class TNC(Pretext):
    name = "tnc"
    title = "TNC"
    description = (
        "trains a critic that tells a frame's neighbours from distant frames, which may be alike too"
    )
    Settings = TNCSettings
    settings: TNCSettings

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        d = self.encoder.dim
        with seeded(setup.seed):
            self.hidden, self.output = nn.Linear(2 * d, 4 * d), nn.Linear(4 * d, 1)
            for layer in (self.hidden, self.output):
                nn.init.xavier_uniform_(layer.weight)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s, x = self.settings, batch.x
        near, distant = draw_pairs(len(x), x.shape[1], generator, scale=s.scale, count=s.pairs)
        return neighbourhood_loss(
            self.encoder(x).flatten(0, 1),
            near.to(x.device),
            distant.to(x.device),
            Critic(self.hidden.weight, self.hidden.bias, self.output.weight, self.output.bias),
            weight=s.weight,
            dropout=s.dropout,
            generator=beside(x, generator),
        )
