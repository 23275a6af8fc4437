"""SimMTM (Dong et al., NeurIPS 2023, arXiv:2302.00861): masked copies find their series and rebuild it.

For masking and as the target, features are standardised, so that a masked entry is its feature's mean and
errors are comparable between datasets. The encoder sees its usual scale. Its BatchNorm statistics come from
masked and whole frames together.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emargin_train.data.frames import Frames
from emargin_train.encoders.base import Encoder, seeded
from emargin_train.losses.simmtm import contrast_and_rebuild, released_loss, weighted_sum
from emargin_train.methods.base import Batch, Setup, TrainingSettings
from emargin_train.methods.on_samples import Layer, OnSamples, convolutions, windows
from emargin_train.methods.pretext import Pretext, Standardise, beside
from emargin_train.methods.released import PlainProjector, ReleasedTraining
from emargin_train.methods.temperature import TemperatureSettings
from emargin_train.settings import Settings, hyperparameter, redefined
from emargin_train.views.simmtm import masked_copies

HEAD = 128


@dataclass(frozen=True, kw_only=True)
class _Temperature(TemperatureSettings):
    temperature: float = redefined(
        TemperatureSettings,
        "temperature",
        0.2,
        low=0.025,
        above=False,
        why="SimMTM divides cosines by it, and e^(-2 / temperature) must be a normal number",
    )


@dataclass(frozen=True, kw_only=True)
class SimMTMSettings(_Temperature, prefix="simmtm"):
    masked: float = hyperparameter(
        0.5,
        "In a copy, this share of the entries is masked.",
        metavar="R",
        low=0,
        above=True,
        high=0.99,
        search=(0.1, 0.9),
        role="scientific",
        why="a copy hides a part",
    )
    length: float = hyperparameter(
        3.0,
        "Masked runs have this mean length in frames.",
        metavar="FRAMES",
        low=1,
        search=(1, 20),
        log=True,
        role="nuisance",
        why="a run has at least one frame",
    )
    copies: int = hyperparameter(
        3, "Each series has this many masked copies.", metavar="P", low=1, why="it counts copies"
    )
    instances: str = hyperparameter(
        "series",
        "The contrast compares whole sequences (series), or single frames (frames).",
        metavar="KIND",
        choices=("series", "frames"),
    )


class SimMTM(Pretext):
    name = "simmtm"
    title = "SimMTM"
    description = "rebuilds each sequence from the embeddings of its masked copies and of other sequences"
    Settings = SimMTMSettings
    settings: SimMTMSettings

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        d, n_features = self.encoder.dim, setup.shape.n_features
        with seeded(setup.seed):
            self.head = nn.Sequential(
                nn.Linear(d, HEAD), nn.BatchNorm1d(HEAD), nn.ReLU(), nn.Linear(HEAD, HEAD)
            )
            self.decoder = nn.Linear(d, n_features)
        self.loss_weights = nn.Parameter(torch.ones(2))
        self.standardise = Standardise(n_features)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        self.standardise.fit(self, train)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s = self.settings
        target = self.standardise(batch.x)
        masked, _ = masked_copies(
            target, beside(target, generator), copies=s.copies, ratio=s.masked, length=s.length
        )
        h = self.encoder(self.standardise.inverse(masked))
        if s.instances == "frames":
            h, target = h.flatten(0, 1), target.flatten(0, 1)
            heads = self.head(h)
        else:
            heads = self.head(h.mean(1))
        # The weights of the sum add up to 1, so a linear decoder may come before it, if that is narrower.
        first = self.decoder.out_features <= self.decoder.in_features
        contrast, rebuilt = contrast_and_rebuild(
            heads, self.decoder(h) if first else h, n_series=len(target), temperature=s.temperature
        )
        rebuilt = rebuilt if first else self.decoder(rebuilt)
        return weighted_sum(torch.stack([contrast, F.mse_loss(rebuilt, target)]), self.loss_weights)


@dataclass(frozen=True, kw_only=True)
class ConvolutionSettings(Settings, prefix="convolution"):
    width: int = hyperparameter(
        32,
        "The three convolutions have N, 2 N and 4 N channels.",
        title="Width",
        metavar="N",
        low=1,
        why="it counts channels",
    )
    dropout: float = hyperparameter(
        0.2,
        "Training sets this share of the values of the first convolution to 0.",
        title="Dropout",
        metavar="Q",
        low=0,
        high=0.99,
        why="it is a share of values",
    )


class Convolution(Encoder):
    """Three pooled convolutions over the samples of a frame. All of their values are its embedding: 1,280 for
    178 samples.
    """

    name = "convolution"
    title = "Convolutions over samples"
    sees_samples: ClassVar[bool] = True
    Settings = ConvolutionSettings

    def __init__(
        self, n_features: int, settings: ConvolutionSettings | None = None, n_channels: int = 1
    ) -> None:
        s = settings or ConvolutionSettings()
        super().__init__(n_features, s)
        layers = [
            Layer(s.width, 25, 3, 12, pooled=True, dropout=s.dropout),
            Layer(2 * s.width, 8, 1, 4, pooled=True),
            Layer(4 * s.width, 8, 1, 4, pooled=True),
        ]
        self.n_channels, self.sees_sequence = n_channels, False
        self.layers, n = convolutions(n_channels, n_features // n_channels, layers)
        self.dim = 4 * s.width * n

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(windows(x, self.n_channels)).view(*x.shape[:2], self.dim)


@dataclass(frozen=True, kw_only=True)
class SimMTMPublishedSettings(_Temperature, prefix="simmtm"):
    masked: float = redefined(SimMTMSettings, "masked", 0.5)
    length: float = redefined(
        SimMTMSettings, "length", 3.0, help="Masked runs have this mean length in samples."
    )
    copies: int = redefined(SimMTMSettings, "copies", 3)


@dataclass(frozen=True, kw_only=True)
class SimMTMPublishedTraining(TrainingSettings):
    learning_rate: float = redefined(TrainingSettings, "learning_rate", 1e-4)
    batch_size: int = redefined(TrainingSettings, "batch_size", 32)


class SimMTMPublished(OnSamples):
    """A series is a frame; each step draws one frame of each of its sequences. The target is the series, as
    in the paper; the official classification has the masked copies themselves as the target.
    """

    name = "simmtm-published"
    title = "SimMTM, as published"
    description = "is SimMTM on convolutions over raw samples, with single frames as its series"
    variant_of = "simmtm"
    own_encoder = Convolution
    Settings = SimMTMPublishedSettings
    Training = SimMTMPublishedTraining
    settings: SimMTMPublishedSettings
    small = {"convolution.width": 4}
    betas = (0.9, 0.99)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        d = self.encoder.dim
        with seeded(setup.seed):
            self.head = nn.Sequential(
                nn.Linear(d, 2 * HEAD), nn.BatchNorm1d(2 * HEAD), nn.ReLU(), nn.Linear(2 * HEAD, HEAD)
            )
            self.decoder = nn.Linear(d, setup.shape.n_features)
        self.loss_weights = nn.Parameter(torch.ones(2))

    def rate(self, step: int) -> float:
        return (1 + math.cos(math.pi * step / self.training_settings.iterations)) / 2

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s, x = self.settings, self.standardise(batch.x)
        n, n_frames, n_features = x.shape
        drawn = torch.randint(n_frames, (n,), generator=generator).to(x.device)
        series = x[torch.arange(n, device=x.device), drawn]
        in_time = series.view(n, -1, self.frame).transpose(1, 2)  # (n, samples, channels)
        masked, _ = masked_copies(
            in_time, beside(x, generator), copies=s.copies, ratio=s.masked, length=s.length
        )
        h = self.encoder(masked.transpose(1, 2).reshape(-1, 1, n_features))[:, 0]
        contrast, rebuilt = contrast_and_rebuild(self.head(h), h, n_series=n, temperature=s.temperature)
        losses = torch.stack([contrast, F.mse_loss(self.decoder(rebuilt), series)])
        return weighted_sum(losses, self.loss_weights)


class SimMTMReleased(Pretext):
    """Every frame of originals and copies is an instance; the target is the input with its zeros.

    The decoder stays random, and both losses keep the weight 1/2.
    """

    name = "simmtm-released"
    title = "SimMTM, as released"
    description = "rebuilds masked frames, zeros included, from other frames, by a decoder that stays random"
    encoder_variant = "released"
    variant_of = "simmtm"
    uses_encoder = False
    own_encoder = PlainProjector
    Training = ReleasedTraining

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        with seeded(setup.seed):
            self.decoder = nn.Linear(self.encoder.dim, setup.shape.n_features).requires_grad_(False)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        masked, _ = masked_copies(batch.x, beside(batch.x, generator))
        z, masked = self.encoder(masked).flatten(0, 1), masked.flatten(0, 1)
        return released_loss(z, self.decoder(z), masked)
