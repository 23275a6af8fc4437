"""The base of references: encoders that are not trained, which any training has to beat."""

from typing import ClassVar

import torch
from torch import Tensor

from emargin_train.methods.base import Batch, Method


class Reference(Method):
    """A method of zero steps."""

    role = "reference"
    Training = None
    encoder_variant: ClassVar[str | None] = None
    uses_encoder = False
    is_random = False

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        raise TypeError(f"{self.name} takes no steps, so it has no loss")
