"""What the published forms of TNC, CPC and SimMTM share: raw samples of frames, and Adam."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from emargin_train.data.frames import Frames
from emargin_train.methods.base import Setup
from emargin_train.methods.pretext import Pretext, Standardise


class OnSamples(Pretext):
    """Its own encoder sees samples that are standardised channel by channel, and weight decay is Adam's.

    betas: of Adam
    """

    encoder_variant = "published"
    uses_encoder = False
    fixed_scale = "magnitude"  # samples have no other scale
    betas: tuple[float, float] = (0.9, 0.999)
    settings: Any

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        shape = setup.shape
        self.frame = shape.n_features // shape.n_channels
        self.standardise = Standardise(shape.n_features, is_kept=True, together=self.frame)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        self.standardise.fit(self, train)

    def optimizer(self) -> torch.optim.Optimizer:
        t = self.training_settings
        weights = [p for p in self.parameters() if p.requires_grad]
        self._adam = torch.optim.Adam(
            weights, lr=t.learning_rate * self.rate(0), betas=self.betas, weight_decay=t.weight_decay
        )
        return self._adam

    def after_step(self, step: int) -> None:
        for group in self._adam.param_groups:
            group["lr"] = self.training_settings.learning_rate * self.rate(step)

    def rate(self, step: int) -> float:
        """The part of the learning rate that is in force after so many steps."""
        return 1.0

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(self.standardise(x))


@dataclass(frozen=True)
class Layer:
    """A convolution with BatchNorm and ReLU; pooled: then the maximum of every two values is taken."""

    width: int
    kernel: int
    stride: int
    padding: int
    pooled: bool = False
    dropout: float = 0.0


def convolutions(n_in: int, length: int, layers: Iterable[Layer]) -> tuple[nn.Sequential, int]:
    """Layers for windows (N, n_in, length), and how many values they leave of a window.

    Where a window is shorter than a kernel, the kernel is shortened.
    """
    made: list[nn.Module] = []
    for one in layers:
        kernel = min(one.kernel, length + 2 * one.padding)
        made.append(nn.Conv1d(n_in, one.width, kernel, one.stride, one.padding, bias=False))
        made += [nn.BatchNorm1d(one.width), nn.ReLU()]
        n_in, length = one.width, (length + 2 * one.padding - kernel) // one.stride + 1
        if one.pooled:
            made.append(nn.MaxPool1d(2, 2, padding=1))
            length = length // 2 + 1
        if one.dropout:
            made.append(nn.Dropout(one.dropout))
    return nn.Sequential(*made), length


def windows(x: Tensor, n_channels: int) -> Tensor:
    """(B, T, channels * samples) -> (B T, channels, samples): every frame is a window of its own."""
    return x.reshape(-1, n_channels, x.shape[-1] // n_channels)
