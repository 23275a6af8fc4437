"""The base of methods that train the study's encoder with additional views, heads and critics.

Such auxiliary networks are trained with the encoder and are in the checkpoint; the embeddings are those
before them. For the same seed, the encoder starts from the same weights as in every other method. These
methods draw at random in every step, or change something after it, so they cannot be stacked: they are
trained one after another.
"""

import torch
from torch import Tensor, nn

from emargin_train.data.frames import Frames
from emargin_train.encoders.base import seeded
from emargin_train.methods.base import Method, Setup

CHUNK = 256  # sequences at a time, so that statistics need little memory


class Pretext(Method):
    """Its embeddings come from the chosen encoder alone, whatever other networks its loss trains."""

    order = 1

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        with seeded(setup.seed):
            self.encoder = setup.new_encoder()

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)


class Standardise(nn.Module):
    """Standardise each feature by its mean and standard deviation over the training frames.

    A constant feature is only centred. The statistics are computed from the data whenever a training starts,
    so they are not in the state, unless evaluation needs them too (`is_kept`).

    together: so many adjacent features have common statistics, as the samples of a channel
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, n_features: int, *, is_kept: bool = False, together: int = 1) -> None:
        super().__init__()
        self.together = together
        self.register_buffer("mean", torch.zeros(n_features), persistent=is_kept)
        self.register_buffer("deviation", torch.ones(n_features), persistent=is_kept)

    def fit(self, method: Method, train: Frames) -> None:
        """Compute the statistics of training frames (N, T, F) on the spectrum scale that the encoder sees."""
        n = train.shape[0] * train.shape[1] * self.together
        parts = [slice(start, start + CHUNK) for start in range(0, len(train), CHUNK)]

        def frames(part: slice) -> Tensor:
            x = method.to_input(torch.from_numpy(train.x(part))).double().flatten(0, 1)
            return x.unflatten(1, (-1, self.together)).transpose(1, 2).flatten(0, 1)

        mean = sum((frames(part).sum(0) for part in parts), torch.zeros(())) / n
        variance = sum(((frames(part) - mean).square().sum(0) for part in parts), torch.zeros(())) / n
        tiny = 1e-12 * mean.square()
        self.mean.copy_(mean.repeat_interleave(self.together))
        deviation = torch.where(variance > tiny, variance.sqrt(), 1)
        self.deviation.copy_(deviation.repeat_interleave(self.together))

    def forward(self, x: Tensor) -> Tensor:
        """(..., F) on the encoder's scale -> standardised."""
        return (x - self.mean) / self.deviation

    def inverse(self, x: Tensor) -> Tensor:
        """(..., F) standardised -> on the encoder's scale."""
        return x * self.deviation + self.mean


def beside(x: Tensor, generator: torch.Generator) -> torch.Generator:
    """The generator itself if it is on the device of x; otherwise a new one there, seeded by it."""
    if x.device.type == generator.device.type:
        return generator
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    return torch.Generator(x.device).manual_seed(seed)
