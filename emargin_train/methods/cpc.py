"""CPC (van den Oord, Li, Vinyals 2018, arXiv:1807.03748): a causal context predicts the frames that follow.

Every frame that is not the last of its sequence is a query, and all frames of the batch are candidates. The
embedding is the encoder's output, not the context, which depends on earlier frames.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from emargin_train.data.frames import Frames
from emargin_train.encoders.base import Encoder, seeded
from emargin_train.errors import UserError
from emargin_train.losses.cpc import (
    predictive_contrast,
    released_frames,
    same_time_contrast,
    sampled_contrast,
)
from emargin_train.losses.unit import unit
from emargin_train.methods.base import Batch, Setup, TrainingSettings
from emargin_train.methods.on_samples import Layer, OnSamples, convolutions, windows
from emargin_train.methods.pretext import Pretext
from emargin_train.methods.released import PlainProjector, ReleasedTraining
from emargin_train.settings import Settings, hyperparameter, redefined

WARM_UP = 50  # steps of the published form until its learning rate is reached


@dataclass(frozen=True, kw_only=True)
class CPCSettings(Settings, prefix="cpc"):
    steps: int = hyperparameter(
        4,
        "The context predicts 1 to K frames ahead.",
        title="Steps ahead",
        metavar="K",
        low=1,
        search=(1, 12),
        role="scientific",
        why="it predicts later frames",
    )
    temperature: float = hyperparameter(
        1.0,
        "Scores of CPC are divided by this temperature.",
        title="Temperature of CPC",
        metavar="TAU",
        low=0,
        above=True,
        search=(0.1, 10),
        log=True,
        role="scientific",
        why="it divides scores",
    )
    score: str = hyperparameter(
        "dot",
        "The score of a frame is its inner product with the prediction, or their cosine.",
        metavar="KIND",
        choices=("dot", "cosine"),
    )
    context: int = hyperparameter(
        256,
        "The context of CPC has this many dimensions.",
        metavar="N",
        low=1,
        why="it counts dimensions",
    )


class CPC(Pretext):
    name = "cpc"
    title = "CPC"
    description = "predicts the next embeddings from a recurrent context, among all frames of the batch"
    Settings = CPCSettings
    settings: CPCSettings

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        s, d = self.settings, self.encoder.dim
        with seeded(setup.seed):
            self.context = nn.GRU(d, s.context, batch_first=True)
            self.predictors = nn.Linear(s.context, s.steps * d)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        check_steps(self.settings.steps, self.setup.shape.n_frames)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s = self.settings
        z = self.encoder(batch.x)
        queries = self.predictors(self.context(z)[0]).unflatten(-1, (s.steps, -1)).movedim(-2, 0)
        if s.score == "cosine":
            z, queries = unit(z), unit(queries)
        return predictive_contrast(z, queries, temperature=s.temperature)


def check_steps(steps: int, n_frames: int) -> None:
    """Raises UserError unless frames so many steps ahead are in a sequence."""
    if steps >= n_frames:
        raise UserError(
            f"cpc.steps is {steps}, but sequences have {n_frames} frames: give fewer steps ahead than "
            "frames, and sequences of 2 frames or more"
        )


@dataclass(frozen=True, kw_only=True)
class StridedSettings(Settings, prefix="strided"):
    width: int = hyperparameter(
        512,
        "Each of the five strided convolutions has this many channels; the last ones are the embedding.",
        title="Width",
        metavar="N",
        low=1,
        why="it counts channels",
    )


class Strided(Encoder):
    """Five strided convolutions over the samples of a frame; 160 samples become one value of each channel.

    The mean over a longer frame's values is its embedding.
    """

    name = "strided"
    title = "Strided convolutions over samples"
    sees_samples: ClassVar[bool] = True
    Settings = StridedSettings

    def __init__(self, n_features: int, settings: StridedSettings | None = None, n_channels: int = 1) -> None:
        s = settings or StridedSettings()
        super().__init__(n_features, s)
        self.n_channels, self.dim, self.sees_sequence = n_channels, s.width, False
        sizes = ((10, 5, 3), (8, 4, 2), (4, 2, 1), (4, 2, 1), (4, 2, 1))  # kernel, stride, padding
        layers = [Layer(s.width, *size) for size in sizes]
        self.layers, _ = convolutions(n_channels, n_features // n_channels, layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(windows(x, self.n_channels)).mean(-1).view(*x.shape[:2], self.dim)


@dataclass(frozen=True, kw_only=True)
class CPCPublishedSettings(Settings, prefix="cpc"):
    steps: int = redefined(CPCSettings, "steps", 12)
    context: int = redefined(CPCSettings, "context", 256)


@dataclass(frozen=True, kw_only=True)
class CPCPublishedTraining(TrainingSettings):
    learning_rate: float = redefined(TrainingSettings, "learning_rate", 2e-4)
    batch_size: int = redefined(TrainingSettings, "batch_size", 64)


class CPCPublished(OnSamples):
    """One time is drawn in each step. Each later frame finds its context among those of the batch."""

    name = "cpc-published"
    title = "CPC, as published"
    description = "is CPC on strided convolutions over raw samples, among the sequences of a batch"
    variant_of = "cpc"
    own_encoder = Strided
    Settings = CPCPublishedSettings
    Training = CPCPublishedTraining
    settings: CPCPublishedSettings
    small = {"strided.width": 8, "cpc.steps": 4}

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        s, d = self.settings, self.encoder.dim
        with seeded(setup.seed):
            self.context = nn.GRU(d, s.context, batch_first=True)
            self.predictors = nn.Linear(s.context, s.steps * d)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        check_steps(self.settings.steps, self.setup.shape.n_frames)

    def rate(self, step: int) -> float:
        return min((step + 1) / WARM_UP, 1.0)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        steps = self.settings.steps
        now = int(torch.randint(batch.x.shape[1] - steps, (), generator=generator))
        z = self.encoder(self.standardise(batch.x[:, : now + steps + 1]))
        context = self.context(z[:, : now + 1])[0][:, -1]
        queries = self.predictors(context).unflatten(-1, (steps, -1))
        return same_time_contrast(z[:, now + 1 :].transpose(0, 1), queries.transpose(0, 1))


class CPCReleased(Pretext):
    """One query for each sequence, always about its middle frame, whose answer is in the context that it has.

    Context network and predictor stay random.
    """

    name = "cpc-released"
    title = "CPC, as released"
    description = "predicts a frame that is in its own context, which stays random as its predictor does"
    encoder_variant = "released"
    variant_of = "cpc"
    uses_encoder = False
    own_encoder = PlainProjector
    Training = ReleasedTraining

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        d = self.encoder.dim
        with seeded(setup.seed):
            self.context, self.predictor = nn.GRU(d, d, batch_first=True), nn.Linear(d, d)
        self.context.requires_grad_(False)
        self.predictor.requires_grad_(False)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        released_frames(self.setup.shape.n_frames)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        z, n_frames = self.encoder(batch.x), batch.x.shape[1]
        context, positive, pool = released_frames(n_frames)
        negatives = pool[torch.randint(len(pool), (n_frames // 2,), generator=generator)]
        query = self.predictor(self.context(z[:, context])[0][:, -1])
        return sampled_contrast(query, z[:, positive], z[:, negatives.to(z.device)]).mean()
