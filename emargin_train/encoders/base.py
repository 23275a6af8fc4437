"""The base class of all encoders: a module that turns sequences of spectra into embeddings."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from emargin_train import settings as declaration


@dataclass(frozen=True, kw_only=True)
class NoSettings(declaration.Settings):
    """An encoder or method without settings of its own."""


class Encoder(nn.Module, ABC):
    """(B, T, F) spectra -> (B, T, D) embeddings.

    A subclass in a file of this folder is known by its `name`. Its constructor takes the number of features F
    and its settings, and draws its initial weights from PyTorch's global generator (callers use `seeded`).

    dim: D; sees_sequence: whether an embedding also depends on other frames of its sequence
    sees_samples: it takes raw samples, F = channels * samples of a frame, and the number of channels as a
        third argument of its constructor; only as the own encoder of a method
    """

    name: ClassVar[str]
    title: ClassVar[str]
    order: ClassVar[int] = 1
    sees_samples: ClassVar[bool] = False
    Settings: ClassVar[type[declaration.Settings]] = NoSettings
    dim: int
    sees_sequence: bool

    @abstractmethod
    def __init__(self, n_features: int, settings: declaration.Settings) -> None:
        super().__init__()
        self.n_features, self.settings = n_features, settings

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, F) on the chosen spectrum scale. Returns (B, T, D)."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside this context, PyTorch draws from a seed; afterwards its global generator is restored."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        yield
