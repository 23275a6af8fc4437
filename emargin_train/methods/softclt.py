"""SoftCLT (Lee, Park, Lee, ICLR 2024, arXiv:2312.16424): TS2Vec with soft targets.

The nearer the spectra of two sequences are, the more they count as positives; the same holds for frames near
in time.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from emargin_train.data.frames import Frames
from emargin_train.errors import UserError
from emargin_train.losses import softclt
from emargin_train.losses.ts2vec import hierarchical_contrast
from emargin_train.methods.base import Batch, Setup
from emargin_train.methods.published import MaskedLatents
from emargin_train.methods.ts2vec import (
    CropSettings,
    ReleasedCrops,
    TS2Vec,
    TS2VecPublishedSettings,
    TS2VecSettings,
)
from emargin_train.settings import Settings, hyperparameter, redefined

MOST_SEQUENCES = 16_000  # the distances of so many take 1 GB, and scaling them needs several copies
DISTANCES = {
    "cosine": softclt.cosine_distances,
    "dtw": softclt.dtw_distances,
    "euclidean": softclt.euclidean_distances,
}


@dataclass(frozen=True, kw_only=True)
class SoftTargetSettings(Settings, prefix="softclt"):
    tau_instance: float = hyperparameter(
        5.0,
        "The soft targets between sequences have this sharpness; 0 gives TS2Vec's hard targets.",
        metavar="TAU",
        low=0,
        search=(1, 50),
        log=True,
        role="scientific",
        why="it multiplies distances",
    )
    tau_temporal: float = hyperparameter(
        1.0,
        "The soft targets between frames have this sharpness; 0 gives TS2Vec's hard targets.",
        metavar="TAU",
        low=0,
        search=(0.1, 5),
        log=True,
        role="scientific",
        why="it multiplies distances in frames",
    )
    highest: float = hyperparameter(
        0.5,
        "The soft target of two different sequences is at most this number.",
        metavar="A",
        low=0,
        high=1,
        why="it is a share of a positive",
    )
    distance: str = hyperparameter(
        "cosine",
        "Sequences of spectra are compared by this distance; dtw takes time quadratic in their length.",
        metavar="KIND",
        choices=tuple(DISTANCES),
    )
    scaling: str = hyperparameter(
        "matrix",
        "Distances are scaled to 0 to 1 over all pairs (matrix), or by column as in the published code.",
        metavar="KIND",
        choices=("matrix", "columns"),
    )


@dataclass(frozen=True, kw_only=True)
class SoftCLTSettings(SoftTargetSettings, TS2VecSettings):
    pass


@dataclass(frozen=True, kw_only=True)
class SoftCLTPublishedSettings(SoftTargetSettings, TS2VecPublishedSettings, prefix="softclt"):
    scaling: str = redefined(SoftTargetSettings, "scaling", "columns")


class SoftCLT(TS2Vec):
    name = "softclt"
    title = "SoftCLT"
    description = "is TS2Vec with soft targets: near sequences and near frames count as positives in part"
    Settings: ClassVar[type[CropSettings]] = SoftCLTSettings
    settings: Any

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.distances: Tensor | None = None

    def prepare(self, train: Frames) -> None:
        """Compute the distances between all training sequences, (N, N) in [0, 1]."""
        super().prepare(train)
        if self.settings.tau_instance == 0:
            return
        if len(train) > MOST_SEQUENCES:
            raise UserError(
                f"SoftCLT compares every pair of {len(train)} training sequences, but more than "
                f"{MOST_SEQUENCES} need too much memory: give softclt.tau_instance 0 for hard targets "
                "between sequences, or a longer sequence length"
            )
        x = self.to_input(torch.from_numpy(train.x()))
        distances = DISTANCES[self.settings.distance](x)
        self.distances = softclt.scaled(distances, scaling=self.settings.scaling)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s = self.settings
        z1, z2 = self.views(batch.x, generator)
        instance = None
        if self.distances is not None:
            d = self.distances[batch.index][:, batch.index].to(z1)
            instance = softclt.instance_weights(d, tau=s.tau_instance, alpha=s.highest)
        return softclt.soft_contrast(
            z1,
            z2,
            instance_weights=instance,
            temporal_weights=softclt.sigmoid(s.tau_temporal, z1) if s.tau_temporal > 0 else None,
            weight=s.alpha,
            temporal_unit=s.temporal_unit,
        )


class SoftCLTPublished(MaskedLatents, SoftCLT):
    name = "softclt-published"
    title = "SoftCLT, as published"
    description = "is SoftCLT on dilated convolutions, with masked latents and the mean of all iterates"
    variant_of = "softclt"
    Settings = SoftCLTPublishedSettings


class SoftCLTReleased(ReleasedCrops):
    """The release computes soft targets for each batch, and does not use them: they are not computed here."""

    name = "softclt-released"
    title = "SoftCLT, as released"
    description = "is TS2Vec with hard targets, since the soft ones are thrown away"
    variant_of = "softclt"

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        crops, z1, z2 = self.crops(batch.x, generator)
        return hierarchical_contrast(*crops.align(z1, z2))
