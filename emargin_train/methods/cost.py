"""CoST (Woo et al., ICLR 2022, arXiv:2202.01575): contrasts of the trend and of the season's spectrum.

On the study's encoder, trend, season and projection heads follow the encoder, and a momentum copy of encoder,
trend and projection gives the keys. The embeddings are those before the heads; as published, they are trend
and season.
"""

import copy
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from emargin_train import settings as declaration
from emargin_train.data.frames import Frames
from emargin_train.encoders.base import NoSettings, seeded
from emargin_train.encoders.dilated import Dilated, DilatedSettings
from emargin_train.errors import UserError
from emargin_train.losses import cost
from emargin_train.losses.unit import unit
from emargin_train.methods.base import Batch, Setup, TrainingSettings
from emargin_train.methods.pretext import Pretext, Standardise, beside
from emargin_train.methods.published import TINY
from emargin_train.methods.released import PlainProjector, ReleasedTraining
from emargin_train.methods.temperature import TemperatureSettings
from emargin_train.settings import hyperparameter, redefined
from emargin_train.views.cost import augment, released_view

LONGEST_KERNEL = 128
SGD_MOMENTUM = 0.9


@dataclass(frozen=True, kw_only=True)
class _Temperature(TemperatureSettings):
    temperature: float = redefined(TemperatureSettings, "temperature", 0.07)


@dataclass(frozen=True, kw_only=True)
class CoSTSettings(_Temperature, prefix="cost"):
    alpha: float = hyperparameter(
        5e-4,
        "The contrasts of the season's amplitudes and phases have this weight.",
        metavar="A",
        low=0,
        search=(1e-4, 0.1),
        log=True,
        role="scientific",
        why="it weighs a loss",
    )
    sigma: float = hyperparameter(
        0.5,
        "Views are scaled, shifted and jittered by noise of this size, in units of each feature's deviation.",
        metavar="S",
        low=0,
        search=(0.1, 1),
        role="nuisance",
        why="it is a deviation",
    )
    momentum: float = hyperparameter(
        0.999,
        "In each step, the momentum copy keeps this share of its weights.",
        metavar="M",
        low=0,
        high=1,
        why="it is a share of weights",
    )
    queue_size: int = hyperparameter(
        256,
        "The queue holds this many earlier keys.",
        metavar="N",
        low=1,
        log=True,
        why="it counts keys",
    )
    dropout: float = hyperparameter(
        0.1,
        "Training sets this share of the values of the season to 0.",
        metavar="Q",
        low=0,
        high=0.99,
        why="it is a share of values",
    )


class CoST(Pretext):
    """season_weight: (T // 2 + 1, D, D / 2, 2), complex numbers as pairs; season_bias: (T // 2 + 1, D / 2, 2)

    queue: (D / 2, queue_size) keys; place: its oldest column
    """

    name = "cost"
    title = "CoST"
    description = (
        "contrasts a frame's trend with earlier sequences, and the season's amplitude and phase spectra"
    )
    Settings: ClassVar[type[declaration.Settings]] = CoSTSettings
    settings: CoSTSettings
    sees_standardised: ClassVar[bool] = False  # the encoder, and not only what draws the views
    queue: Tensor
    place: Tensor

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        s, n_frames, d = self.settings, setup.shape.n_frames, self.encoder.dim
        half, n_frequencies = max(d // 2, 1), n_frames // 2 + 1
        if s.queue_size < self.training_settings.batch_size:
            raise UserError(
                f"cost.queue_size is {s.queue_size}, but a step adds {self.training_settings.batch_size} "
                "keys: give at least the batch size"
            )
        kernels = [2**i for i in range(LONGEST_KERNEL.bit_length()) if 2**i <= n_frames]
        with seeded(setup.seed):
            self.trend = nn.ModuleList(nn.Conv1d(d, half, k) for k in kernels)
            self.head = nn.Sequential(nn.Linear(half, half), nn.ReLU(), nn.Linear(half, half))
            reach = d**-0.5  # nn.Linear draws its weights in the same range
            self.season_weight = nn.Parameter(torch.empty(n_frequencies, d, half, 2).uniform_(-reach, reach))
            self.season_bias = nn.Parameter(torch.empty(n_frequencies, half, 2).uniform_(-reach, reach))
            self.register_buffer("queue", unit(torch.randn(s.queue_size, half)).T.contiguous())
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))
        self.dropout = nn.Dropout(s.dropout)
        self.copy = nn.ModuleList(copy.deepcopy(part) for part in self._copied()).requires_grad_(False)
        self.standardise = Standardise(setup.shape.n_features, is_kept=self.sees_standardised)
        self.keys: Tensor | None = None

    def _copied(self) -> tuple[nn.Module, ...]:
        return self.encoder, self.trend, self.head

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        self.standardise.fit(self, train)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s = self.settings
        q_x, k_x = self.views(batch.x, generator)
        frame = int(torch.randint(batch.x.shape[1], (), generator=generator))
        e_q, e_k = self.embedded(q_x), self.embedded(k_x)
        with torch.no_grad():
            encoder, trend, head = self.of_keys()
            self.keys = self._trend(encoder(k_x), frame, trend, head)
        return cost.cost_loss(
            self._trend(e_q, frame, self.trend, self.head),
            self.keys,
            self.queue,
            self._season(e_q),
            self._season(e_k),
            alpha=s.alpha,
            temperature=s.temperature,
        )

    def of_keys(self) -> Sequence[Any]:
        """What makes the keys: encoder, trend and head."""
        return tuple(self.copy)

    def embedded(self, x: Tensor) -> Tensor:
        """A view (B, T, F) -> (B, T, D), before the heads."""
        return self.encoder(x)

    def views(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(view of the queries, view of the keys), both (B, T, F)."""
        return self._view(x, generator), self._view(x, generator)

    def _view(self, x: Tensor, generator: torch.Generator) -> Tensor:
        drawn = augment(self.standardise(x), beside(x, generator), sigma=self.settings.sigma)
        return drawn if self.sees_standardised else self.standardise.inverse(drawn)

    @staticmethod
    def _trend(e: Tensor, frame: int, trend: nn.Module, head: nn.Module) -> Tensor:
        """(B, T, D) -> the projected trend at one frame, (B, D / 2) of unit length."""
        layers: list[Any] = list(trend.children())
        v = cost.trend_at(e, frame, [layer.weight for layer in layers], [layer.bias for layer in layers])
        return unit(head(v))

    def _season(self, e: Tensor) -> Tensor:
        weight, bias = torch.view_as_complex(self.season_weight), torch.view_as_complex(self.season_bias)
        return self.dropout(cost.season(e, weight, bias))

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """The keys of the step replace the oldest ones, and the momentum copy is updated.

        The official code updates the copy in the next step, before that step's keys, which is the same.
        """
        assert self.keys is not None
        self.place.fill_(cost.enqueue(self.queue, int(self.place), self.keys))
        for part, copied in zip(self._copied(), self.copy, strict=True):
            for own, kept in zip(part.parameters(), copied.parameters(), strict=True):
                kept.lerp_(own, 1 - self.settings.momentum)


@dataclass(frozen=True, kw_only=True)
class CoSTPublishedTraining(TrainingSettings):
    """SGD with momentum 0.9, and a cosine to 0 over the steps."""

    weight_decay: float = redefined(TrainingSettings, "weight_decay", 1e-4)


@dataclass(frozen=True, kw_only=True)
class BodySettings(DilatedSettings, prefix="dilated"):
    dropout: float = redefined(DilatedSettings, "dropout", 0.0)


class Body(Dilated):
    """Dilated convolutions without the dropout that TS2Vec has at their end."""

    Settings = BodySettings


class CoSTPublished(CoST):
    """Embeddings are [trend; season] of a frame, which belong to one number of frames: another is refused."""

    name = "cost-published"
    title = "CoST, as published"
    description = "is CoST on dilated convolutions, evaluated as trend and season, trained by SGD"
    encoder_variant = "published"
    variant_of = "cost"
    uses_encoder = False
    own_encoder = Body
    Training = CoSTPublishedTraining
    small = TINY
    sees_standardised = True

    def optimizer(self) -> torch.optim.Optimizer:
        t = self.training_settings
        weights = [p for p in self.parameters() if p.requires_grad]
        self._sgd = torch.optim.SGD(
            weights, lr=t.learning_rate, momentum=SGD_MOMENTUM, weight_decay=t.weight_decay
        )
        return self._sgd

    def after_step(self, step: int) -> None:
        super().after_step(step)
        t = self.training_settings
        for group in self._sgd.param_groups:
            group["lr"] = t.learning_rate * (1 + math.cos(math.pi * step / t.iterations)) / 2

    def encode(self, x: Tensor) -> Tensor:
        e = self.encoder(self.standardise(x))
        layers: list[Any] = list(self.trend.children())
        v = cost.trend(e, [layer.weight for layer in layers], [layer.bias for layer in layers])
        return torch.cat([v, self._season(e)], dim=-1)


class CoSTReleased(CoST):
    """The keys' encoder is the queries' encoder itself and is frozen with it: only the queries' head learns.

    Evaluation leaves out the linear layer that stands before the encoder in training, so that BatchNorm has
    the statistics of another input. What is evaluated is a random encoder.
    """

    name = "cost-released"
    title = "CoST, as released"
    description = "evaluates an encoder that training does not move, with statistics of another input"
    encoder_variant = "released"
    variant_of = "cost"
    uses_encoder = False
    own_encoder = PlainProjector
    Settings = NoSettings
    Training = ReleasedTraining
    without_effect = ("learning_rate", "weight_decay")

    def __init__(self, setup: Setup) -> None:
        super().__init__(dataclasses.replace(setup, settings=CoSTSettings(alpha=0.05)))
        with seeded(setup.seed):
            self.input_fc = nn.Linear(setup.shape.n_features, setup.shape.n_features)
        self.requires_grad_(False)
        self.head.requires_grad_(True)

    def _copied(self) -> tuple[nn.Module, ...]:
        return (self.head,)

    def of_keys(self) -> Sequence[Any]:
        return self.embedded, self.trend, self.copy[0]

    def embedded(self, x: Tensor) -> Tensor:
        return self.encoder(self.input_fc(x))

    def views(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return x, released_view(x, beside(x, generator))
