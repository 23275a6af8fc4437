"""TS2Vec (Yue et al., AAAI 2022, arXiv:2106.10466): a contrast of two crops' overlap, at all dyadic scales.

The study's encoder sees one frame at a time by default. With it, the two views of a frame differ only by
dropout, and by the other frames in the batch that BatchNorm sees.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emargin_train.losses.ts2vec import hierarchical_contrast
from emargin_train.methods.base import Batch, Setup
from emargin_train.methods.pretext import Pretext
from emargin_train.settings import Settings, hyperparameter
from emargin_train.views.ts2vec import draw_crops, timestamp_mask


@dataclass(frozen=True, kw_only=True)
class TS2VecSettings(Settings, prefix="ts2vec"):
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


class TS2Vec(Pretext):
    name = "ts2vec"
    title = "TS2Vec"
    description = "contrasts the frames that two crops share with other frames and sequences, at all scales"
    Settings = TS2VecSettings
    settings: TS2VecSettings

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.dropout = nn.Dropout(self.settings.dropout)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s = self.settings
        z1, z2 = self.views(batch.x, generator)
        return hierarchical_contrast(z1, z2, alpha=s.alpha, temporal_unit=s.temporal_unit)

    def views(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(B, T, F) -> embeddings of the frames that two crops share, both (B, overlap, D)."""
        crops = draw_crops(len(x), x.shape[1], generator, temporal_unit=self.settings.temporal_unit)
        z1, z2 = (self.dropout(self.encoder(self._masked(crop, generator))) for crop in crops.cut(x))
        return crops.align(z1, z2)

    def _masked(self, x: Tensor, generator: torch.Generator) -> Tensor:
        share = self.settings.masked
        if share == 0:
            return x
        return x * timestamp_mask(len(x), x.shape[1], generator, keep=1 - share).to(x.device)[..., None]
