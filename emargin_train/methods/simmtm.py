"""SimMTM (Dong et al., NeurIPS 2023, arXiv:2302.00861): masked copies find their series and rebuild it.

For masking and as the target, features are standardised, so that a masked entry is its feature's mean and
errors are comparable between datasets. The encoder sees its usual scale. Its BatchNorm statistics come from
masked and whole frames together.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emargin_train.data.frames import Frames
from emargin_train.encoders.base import seeded
from emargin_train.losses.simmtm import contrast_and_rebuild, released_loss, weighted_sum
from emargin_train.methods.base import Batch, Setup
from emargin_train.methods.pretext import SEES_SAMPLES, Pretext, Standardise, beside
from emargin_train.methods.released import PlainProjector, ReleasedTraining
from emargin_train.methods.temperature import TemperatureSettings
from emargin_train.settings import hyperparameter, redefined
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
        why="a run has a frame",
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
    missing_variants = {"published": SEES_SAMPLES}

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
