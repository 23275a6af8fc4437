"""TS2Vec (Yue et al., AAAI 2022, arXiv:2106.10466): a contrast of two crops' overlap, at all dyadic scales.

The study's encoder sees one frame at a time by default. With it, the two views of a frame differ only by
dropout, and by the other frames in the batch that BatchNorm sees. As published, dilated convolutions see
crops whose latents are partly hidden, and the mean of all iterates is evaluated.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from emargin_train.losses.ts2vec import hierarchical_contrast, released_contrast
from emargin_train.methods.base import Batch, Setup
from emargin_train.methods.pretext import Pretext
from emargin_train.methods.published import IterateSettings, MaskedLatents
from emargin_train.methods.released import ReleasedProjector, ReleasedTraining
from emargin_train.settings import Settings, hyperparameter, redefined
from emargin_train.views.ts2vec import Crops, draw_crops, timestamp_mask

RELEASED_MASKED = 0.5


@dataclass(frozen=True, kw_only=True)
class CropSettings(Settings, prefix="ts2vec"):
    alpha: float = hyperparameter(
        0.5,
        "The instance contrast has this weight, and the temporal contrast has the rest.",
        metavar="A",
        low=0,
        high=1,
        search=(0, 1),
        role="scientific",
        why="it is a share of the loss",
    )
    masked: float = hyperparameter(
        0.0,
        "Training sets this share of a crop's frames to 0; an encoder of single frames cannot restore them.",
        metavar="Q",
        low=0,
        high=0.99,
        why="it is a share of frames",
    )
    temporal_unit: int = hyperparameter(
        0,
        "The temporal contrast begins at this level, where a frame is the maximum over 2^N frames.",
        metavar="N",
        low=0,
        high=16,
        why="it counts levels",
    )


@dataclass(frozen=True, kw_only=True)
class TS2VecSettings(CropSettings, prefix="ts2vec"):
    dropout: float = hyperparameter(
        0.1,
        "Training sets this share of the values of an embedding to 0.",
        metavar="Q",
        low=0,
        high=0.99,
        search=(0.05, 0.5),
        role="nuisance",
        why="it is a share of values",
    )


@dataclass(frozen=True, kw_only=True)
class TS2VecPublishedSettings(CropSettings, IterateSettings, prefix="ts2vec"):
    masked: float = redefined(CropSettings, "masked", 0.5)


class TS2Vec(Pretext):
    name = "ts2vec"
    title = "TS2Vec"
    description = "contrasts the frames that two crops share with other frames and sequences, at all scales"
    Settings: ClassVar[type[CropSettings]] = TS2VecSettings
    settings: CropSettings

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.dropout = nn.Dropout(getattr(setup.settings, "dropout", 0.0))

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s = self.settings
        z1, z2 = self.views(batch.x, generator)
        return hierarchical_contrast(z1, z2, alpha=s.alpha, temporal_unit=s.temporal_unit)

    def views(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(B, T, F) -> embeddings of the frames that two crops share, both (B, overlap, D)."""
        crops = draw_crops(len(x), x.shape[1], generator, temporal_unit=self.settings.temporal_unit)
        z1, z2 = (self.embedded(crop, generator) for crop in crops.cut(x))
        return crops.align(z1, z2)

    def embedded(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """(B, T, F) -> (B, T, D) of a training view."""
        share = self.settings.masked
        if share > 0:
            x = x * timestamp_mask(len(x), x.shape[1], generator, keep=1 - share).to(x.device)[..., None]
        return self.dropout(self.encoder(x))


class TS2VecPublished(MaskedLatents, TS2Vec):
    name = "ts2vec-published"
    title = "TS2Vec, as published"
    description = "is TS2Vec on dilated convolutions, with masked latents and the mean of all iterates"
    variant_of = "ts2vec"
    Settings = TS2VecPublishedSettings
    settings: TS2VecPublishedSettings


class ReleasedCrops(Pretext):
    """Two crops of a batch on the release's encoder, each with a mask of its own on the latents."""

    encoder_variant = "released"
    uses_encoder = False
    own_encoder = ReleasedProjector
    Training = ReleasedTraining

    def crops(self, x: Tensor, generator: torch.Generator) -> tuple[Crops, Tensor, Tensor]:
        """(the crops, their whole embeddings (B, T1, D) and (B, T2, D))."""
        crops = draw_crops(len(x), x.shape[1], generator)
        keep = 1 - RELEASED_MASKED
        z1, z2 = (
            self.encoder(crop, timestamp_mask(len(crop), crop.shape[1], generator, keep=keep).to(x.device))
            for crop in crops.cut(x)
        )
        return crops, z1, z2


class TS2VecReleased(ReleasedCrops):
    """The crops are not cut to their overlap, so that most frames meet another moment."""

    name = "ts2vec-released"
    title = "TS2Vec, as released"
    description = "contrasts frames of two crops that mostly show different moments, faults included"
    variant_of = "ts2vec"

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        _, z1, z2 = self.crops(batch.x, generator)
        return released_contrast(z1, z2)
