"""TNC (Tonekaboni et al., ICLR 2021, arXiv:2106.00750): a critic distinguishes near frames from distant ones.

Every frame of a batch is an anchor, and a window is one frame. Neighbourhoods have the same size in all
sequences: the published test of stationarity is left out, since it has no power on so few frames.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from emargin_train.data.frames import Frames
from emargin_train.encoders.base import Encoder, seeded
from emargin_train.errors import UserError
from emargin_train.losses.tnc import Critic, neighbourhood_loss, positive_unlabelled
from emargin_train.methods.base import Batch, Setup, TrainingSettings
from emargin_train.methods.on_samples import OnSamples, windows
from emargin_train.methods.pretext import Pretext, beside
from emargin_train.methods.released import PlainProjector, ReleasedTraining
from emargin_train.settings import Settings, hyperparameter, redefined
from emargin_train.views.tnc import distant_range, draw_pairs, frames_around, neighbour_centres

# Of the release; its anchors lie from FIRST_ANCHOR to LAST_ANCHOR windows after the start.
RELEASED_PAIRS, RELEASED_WEIGHT, RELEASED_DROPOUT = 20, 0.1, 0.5
FIRST_ANCHOR, LAST_ANCHOR, DISTANT_WINDOWS = 2, 6, 5


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
            self.hidden, self.output = critic_layers(d)

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


def critic_layers(d: int) -> tuple[nn.Linear, nn.Linear]:
    """Of the critic of pairs [a; b] of embeddings with d numbers each."""
    first, second = nn.Linear(2 * d, 4 * d), nn.Linear(4 * d, 1)
    for layer in (first, second):
        nn.init.xavier_uniform_(layer.weight)
    return first, second


def new_critic(d: int, dropout: float) -> nn.Sequential:
    first, second = critic_layers(d)
    return nn.Sequential(first, nn.ReLU(), nn.Dropout(dropout), second)


@dataclass(frozen=True, kw_only=True)
class RecurrentSettings(Settings, prefix="recurrent"):
    hidden: int = hyperparameter(
        100,
        "The recurrent encoder has states of this many dimensions in each direction.",
        title="States",
        metavar="N",
        low=1,
        why="it counts dimensions",
    )
    dim: int = hyperparameter(
        10,
        "The recurrent encoder gives embeddings of this many dimensions.",
        title="Dimensions",
        metavar="D",
        low=1,
        why="it counts dimensions",
    )


class Recurrent(Encoder):
    """A GRU in both directions over the samples of a frame, then a linear layer of its last output.

    As published, the last output is that of the last sample, of which the backward direction has seen no
    other sample.
    """

    name = "recurrent"
    title = "Recurrent network over samples"
    sees_samples: ClassVar[bool] = True
    Settings = RecurrentSettings

    def __init__(
        self, n_features: int, settings: RecurrentSettings | None = None, n_channels: int = 1
    ) -> None:
        s = settings or RecurrentSettings()
        super().__init__(n_features, s)
        self.n_channels, self.dim, self.sees_sequence = n_channels, s.dim, False
        self.gru = nn.GRU(n_channels, s.hidden, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * s.hidden, s.dim)

    def forward(self, x: Tensor) -> Tensor:
        states = self.gru(windows(x, self.n_channels).transpose(1, 2))[0]
        return self.output(states[:, -1]).view(*x.shape[:2], self.dim)


@dataclass(frozen=True, kw_only=True)
class TNCPublishedSettings(TNCSettings, prefix="tnc"):
    dropout: float = redefined(
        TNCSettings, "dropout", 0.5, help="In each step, this share of the critic's hidden units is dropped."
    )


@dataclass(frozen=True, kw_only=True)
class TNCPublishedTraining(TrainingSettings):
    batch_size: int = redefined(TrainingSettings, "batch_size", 10)
    weight_decay: float = redefined(TrainingSettings, "weight_decay", 1e-5)


class TNCPublished(OnSamples):
    """With the settings of the published simulation. One frame of each sequence, drawn anew, is an anchor."""

    name = "tnc-published"
    title = "TNC, as published"
    description = "is TNC on a recurrent network over raw samples, with one anchor in each sequence"
    variant_of = "tnc"
    own_encoder = Recurrent
    Settings = TNCPublishedSettings
    Training = TNCPublishedTraining
    settings: TNCPublishedSettings
    small = {"recurrent.hidden": 4}

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        with seeded(setup.seed):
            self.critic = new_critic(self.encoder.dim, self.settings.dropout)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s, x = self.settings, self.standardise(batch.x)
        n, n_frames = x.shape[:2]
        near, distant = draw_pairs(n, n_frames, generator, scale=s.scale, count=s.pairs)
        anchor = n_frames * torch.arange(n) + torch.randint(n_frames, (n,), generator=generator)
        wanted = torch.cat([anchor[:, None], near[anchor], distant[anchor]], dim=1)
        frames, place = wanted.to(x.device).unique(return_inverse=True)
        z = self.encoder(x.flatten(0, 1)[frames][None])[0][place]  # (n, 1 + 2 pairs, D)
        own, other = z[:, :1].expand_as(z[:, 1:]), z[:, 1:]
        d = self.critic(torch.cat([own, other], dim=-1))[..., 0]
        return positive_unlabelled(d[:, : s.pairs], d[:, s.pairs :], weight=s.weight)


@dataclass(frozen=True, kw_only=True)
class TNCReleasedSettings(Settings, prefix="tnc"):
    window: int = hyperparameter(
        20,
        "A window of the released TNC has this many frames.",
        metavar="FRAMES",
        low=2,
        why="a window has a middle frame",
    )


class TNCReleased(Pretext):
    """One anchor a step, in the first frames of the batch laid end to end; the critic stays random.

    Neighbourhoods have the size of a window, since the test of stationarity fails on a GPU and its error is
    swallowed; so distant windows are 5 windows away, at the ends of a sequence. The three sets of
    windows go through the encoder one after another, each with BatchNorm statistics of its own.
    """

    name = "tnc-released"
    title = "TNC, as released"
    description = (
        "fits the encoder to a random critic, with one anchor a step in the first sequence of a batch"
    )
    encoder_variant = "released"
    variant_of = "tnc"
    uses_encoder = False
    own_encoder = PlainProjector
    Settings = TNCReleasedSettings
    Training = ReleasedTraining
    settings: TNCReleasedSettings
    small = {"tnc.window": 2}
    without_effect = ("batch_size",)  # where the first sequence of a batch has all of the anchors

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        d = self.encoder.dim
        with seeded(setup.seed):
            self.critic = new_critic(d, RELEASED_DROPOUT).requires_grad_(False)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        w, n_frames = self.settings.window, self.setup.shape.n_frames
        needed = LAST_ANCHOR * w + w // 2
        if n_frames <= w or self.batch_size * n_frames < needed:
            raise UserError(
                f"the released TNC takes windows of {w} frames from sequences of {n_frames}, and its anchors "
                f"from the first {needed} frames of a batch, which has {self.batch_size * n_frames}: give "
                "longer sequences, a larger batch size, or a smaller tnc.window"
            )

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        w, n_frames = self.settings.window, batch.x.shape[1]
        anchor = int(torch.randint(FIRST_ANCHOR * w, LAST_ANCHOR * w, (), generator=generator))
        gauss = torch.randn(RELEASED_PAIRS, generator=generator)
        near = neighbour_centres(gauss, anchor, n_frames=n_frames, window=w, epsilon=1)
        low, high = distant_range(anchor, n_frames=n_frames, window=w, delta=DISTANT_WINDOWS * w)
        distant = torch.randint(low, high, (RELEASED_PAIRS,), generator=generator)
        stream = batch.x.flatten(0, 1)
        z, z_near, z_distant = (
            self.encoder(frames_around(stream, centres.to(stream.device), w)).flatten(0, 1)
            for centres in (near.new_full((RELEASED_PAIRS,), anchor), near, distant)
        )
        alike, apart = (self.critic(torch.cat([z, other], dim=-1)) for other in (z_near, z_distant))
        return positive_unlabelled(alike, apart, weight=RELEASED_WEIGHT)
