"""Reference: the encoder with its initial weights, without any training."""

from torch import Tensor

from emargin_train.encoders.base import seeded
from emargin_train.methods.base import Setup
from emargin_train.methods.reference import Reference


class Random(Reference):
    """The projector is a random piecewise linear map, since untrained BatchNorm layers change nothing."""

    name = "random"
    title = "Random encoder"
    order = 13
    description = "encodes with initial weights"
    encoder_variant = "shared"
    uses_encoder = True
    is_random = True

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        with seeded(setup.seed):
            self.encoder = setup.new_encoder()

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)
