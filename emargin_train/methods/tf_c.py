"""TF-C (Zhang et al., NeurIPS 2022, arXiv:2206.08496): a sequence agrees with its own Fourier transform.

From the paper's equations. With d the contrast of two views of all sequences (`two_views.contrast` of unit
vectors over the temperature), h embeddings of a sequence, z their projections, T the sequence over its time,
F the amplitudes of its Fourier transform over that time, and ~ an altered copy:

    S = d(z_T, z_F);  L_C = (S - d(z_T, z_F~)) + (S - d(z_T~, z_F)) + (S - d(z_T~, z_F~)) + 3 margin
    L = weight [ d(h_T, h_T~) + d(h_F, h_F~) ] + (1 - weight) L_C

The margin stands in no hinge and only adds a constant, so it is left out. A sequence is the mean over its
frames, or over its frequencies. The encoder of T is the study's, and its embeddings are taken; that of F is
another of its kind, and is thrown away with the projections.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emargin_train.data.frames import Frames
from emargin_train.encoders.base import seeded
from emargin_train.losses.two_views import contrast
from emargin_train.losses.unit import unit
from emargin_train.methods.base import Batch, Setup
from emargin_train.methods.pretext import Pretext, Standardise, beside
from emargin_train.methods.temperature import TemperatureSettings
from emargin_train.settings import hyperparameter, redefined

HIDDEN, DIM = 256, 128  # of a projection
STRONGEST = 0.1  # an added component, as a share of the largest amplitude


@dataclass(frozen=True, kw_only=True)
class _Temperature(TemperatureSettings):
    temperature: float = redefined(TemperatureSettings, "temperature", 0.2)


@dataclass(frozen=True, kw_only=True)
class TFCSettings(_Temperature, prefix="tf_c"):
    weight: float = hyperparameter(
        0.5,
        "The contrasts within time and within frequency have this weight; their agreement has the rest.",
        metavar="W",
        low=0,
        high=1,
        search=(0.1, 0.9),
        role="scientific",
        why="it is a share of the loss",
    )
    sigma: float = hyperparameter(
        0.3,
        "The altered sequence is jittered by noise of this size, in each feature's deviations.",
        metavar="S",
        low=0,
        search=(0.1, 1),
        role="nuisance",
        why="it is a deviation",
    )
    altered: float = hyperparameter(
        0.1,
        "In the altered transform, this share of the components is set to 0, and as many are raised.",
        metavar="Q",
        low=0,
        high=0.99,
        search=(0.05, 0.5),
        role="nuisance",
        why="it is a share of components",
    )


class TFC(Pretext):
    name = "tf-c"
    title = "TF-C"
    description = (
        "contrasts sequences with altered copies, in time and in frequency, and both with each other"
    )
    Settings = TFCSettings
    settings: TFCSettings

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        with seeded(setup.seed):
            self.of_frequencies = setup.new_encoder()
            d = self.encoder.dim
            self.heads = nn.ModuleList(
                nn.Sequential(nn.Linear(d, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, DIM)) for _ in range(2)
            )
        self.standardise = Standardise(setup.shape.n_features)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        self.standardise.fit(self, train)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s, x = self.settings, self.standardise(batch.x)
        drawn = beside(x, generator)
        noise = torch.randn(x.shape, generator=drawn, device=x.device, dtype=x.dtype)
        amplitude = torch.fft.rfft(x, dim=1, norm="ortho").abs()
        times = batch.x, self.standardise.inverse(x + s.sigma * noise)
        frequencies = amplitude, altered(amplitude, drawn, share=s.altered)
        t, t_altered = (self.encoder(v).mean(1) for v in times)
        f, f_altered = (self.of_frequencies(v).mean(1) for v in frequencies)
        of_time, of_frequency = self.heads
        z_t, z_t_altered, z_f, z_f_altered = (
            of_time(t),
            of_time(t_altered),
            of_frequency(f),
            of_frequency(f_altered),
        )
        within = self.apart(t, t_altered) + self.apart(f, f_altered)
        others = (z_t, z_f_altered), (z_t_altered, z_f), (z_t_altered, z_f_altered)
        agreement = sum((self.apart(z_t, z_f) - self.apart(*pair) for pair in others), x.new_zeros(()))
        return s.weight * within + (1 - s.weight) * agreement

    def apart(self, a: Tensor, b: Tensor) -> Tensor:
        """d of two views (B, D) of all sequences: a scalar >= 0, and 0 for B = 1."""
        scale = self.settings.temperature**-0.5
        return contrast(unit(a) * scale, unit(b) * scale)


def altered(amplitude: Tensor, generator: torch.Generator, *, share: float) -> Tensor:
    """Sets a share of the components to 0, and adds noise of up to a tenth of the largest to another share.

    amplitude: (B, T // 2 + 1, F)
    """
    like = {"generator": generator, "device": amplitude.device, "dtype": amplitude.dtype}
    keep, add, size = (torch.rand(amplitude.shape, **like) for _ in range(3))  # type: ignore[call-overload]
    largest = amplitude.amax(1, keepdim=True)
    return amplitude * (keep >= share) + (add < share) * size * STRONGEST * largest
