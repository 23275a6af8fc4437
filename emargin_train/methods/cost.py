"""CoST (Woo et al., ICLR 2022, arXiv:2202.01575): contrasts of the trend and of the season's spectrum.

This version uses the study's encoder. Trend, season and projection heads follow it, and a momentum copy of
encoder, trend and projection gives the keys. The embeddings are those before the heads.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from emargin_train.data.frames import Frames
from emargin_train.encoders.base import seeded
from emargin_train.errors import UserError
from emargin_train.losses import cost
from emargin_train.losses.unit import unit
from emargin_train.methods.base import Batch, Setup
from emargin_train.methods.pretext import Pretext, Standardise, beside
from emargin_train.methods.temperature import TemperatureSettings
from emargin_train.settings import hyperparameter, redefined
from emargin_train.views.cost import augment

LONGEST_KERNEL = 128


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
    Settings = CoSTSettings
    settings: CoSTSettings
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
        self.standardise = Standardise(setup.shape.n_features)
        self.keys: Tensor | None = None

    def _copied(self) -> tuple[nn.Module, ...]:
        return self.encoder, self.trend, self.head

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        self.standardise.fit(self, train)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s = self.settings
        q_x, k_x = self._view(batch.x, generator), self._view(batch.x, generator)
        frame = int(torch.randint(batch.x.shape[1], (), generator=generator))
        e_q, e_k = self.encoder(q_x), self.encoder(k_x)
        with torch.no_grad():
            encoder, trend, head = self.copy
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

    def _view(self, x: Tensor, generator: torch.Generator) -> Tensor:
        drawn = augment(self.standardise(x), beside(x, generator), sigma=self.settings.sigma)
        return self.standardise.inverse(drawn)

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
