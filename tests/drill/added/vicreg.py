"""VICReg (Bardes, Ponce, LeCun 2022): two noisy views, invariance, variance and covariance of an expander."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emargin_train.encoders.base import seeded
from emargin_train.methods.base import Batch, Method, Setup
from emargin_train.settings import Settings, hyperparameter


@dataclass(frozen=True, kw_only=True)
class VICRegSettings(Settings, prefix="vicreg"):
    variance_weight: float = hyperparameter(
        25.0,
        "The weight of VICReg's variance term.",
        metavar="W",
        low=0,
        search=(1, 50),
        log=True,
        role="scientific",
        why="it weighs a loss",
    )
    noise: float = hyperparameter(
        0.2,
        "The two views differ by factors of 1 plus normal noise of this size.",
        low=0,
        why="it is a deviation",
    )
    centred: bool = hyperparameter(False, "Every view is centred over the batch before it is expanded.")
    width: int = hyperparameter(
        64, "The expander has this many dimensions.", low=2, why="it counts dimensions"
    )


class VICReg(Method):
    name = "vicreg"
    title = "VICReg"
    description = "keeps two noisy views alike, and the dimensions of an expander spread and decorrelated"
    Settings = VICRegSettings

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        with seeded(setup.seed):
            self.encoder = setup.new_encoder()
            self.expander = nn.Linear(self.encoder.dim, setup.settings.width)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s = self.settings
        views = [self._expanded(self.encoder(self._noisy(batch.x, generator))) for _ in range(2)]
        invariance = F.mse_loss(*views)
        variance = sum(F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean() for z in views)
        covariance = sum(self._off_diagonal(z) for z in views)
        return 25 * invariance + s.variance_weight * variance + covariance

    def _noisy(self, x: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
        return x * (1 + self.settings.noise * noise)

    def _expanded(self, h: Tensor) -> Tensor:
        h = h.flatten(0, 1)
        return self.expander(h - h.mean(0) if self.settings.centred else h)

    @staticmethod
    def _off_diagonal(z: Tensor) -> Tensor:
        c = torch.cov(z.T)
        return (c.square().sum() - c.diagonal().square().sum()) / len(c)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)
