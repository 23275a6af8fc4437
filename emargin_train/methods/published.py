"""What published forms share: standardised features, their own encoder, and the mean of all iterates."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from emargin_train.data.frames import Frames
from emargin_train.encoders.dilated import Dilated
from emargin_train.methods.base import Setup, TrainingSettings
from emargin_train.methods.pretext import Pretext, Standardise
from emargin_train.settings import Settings, hyperparameter, redefined
from emargin_train.views.ts2vec import timestamp_mask

TINY = {
    "dilated.depth": 2,
    "dilated.width": 8,
    "dilated.dim": 16,
}  # of the encoder, where there is little time


@dataclass(frozen=True, kw_only=True)
class PublishedTraining(TrainingSettings):
    """AdamW with PyTorch's default weight decay, as the official code of TS2Vec and of those after it."""

    weight_decay: float = redefined(TrainingSettings, "weight_decay", 0.01)


@dataclass(frozen=True, kw_only=True)
class IterateSettings(Settings):
    iterate: str = hyperparameter(
        "mean",
        "The evaluated weights are the mean over all steps, the initial ones included, or the last ones.",
        metavar="WHICH",
        choices=("mean", "last"),
    )


class Published(Pretext):
    """A subclass names a method's shared form after this class, and inherits its loss."""

    encoder_variant = "published"
    uses_encoder = False
    own_encoder = Dilated
    Training = PublishedTraining
    small = TINY
    settings: Any

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.standardise = Standardise(setup.shape.n_features, is_kept=True)
        self.average = averaged(self.encoder)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        self.standardise.fit(self, train)

    def after_step(self, step: int) -> None:
        super().after_step(step)
        self.average.update_parameters(self.encoder)

    def encode(self, x: Tensor) -> Tensor:
        encoder = self.average if self.settings.iterate == "mean" else self.encoder
        return encoder(self.standardise(x))


class MaskedLatents(Published):
    """A crop's latents are hidden in training, where the shared form has its dropout."""

    def embedded(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """(B, T, F) -> (B, T, D) of a training view."""
        mask = timestamp_mask(len(x), x.shape[1], generator, keep=1 - self.settings.masked).to(x.device)
        return self.encoder(self.standardise(x), mask)


def averaged(module: torch.nn.Module) -> AveragedModel:
    """The equal average of a module's weights over its steps, begun with the present ones; never trained."""
    average = AveragedModel(module).requires_grad_(False)
    average.update_parameters(module)
    return average
