"""MF-CLR (Duan et al., ICML 2024): features are divided into groups, and each group guides the one before.

Groups are equal parts of each channel's frequency bins, lowest first. The method was made for series with
mixed sampling rates, which these data are not. Each block has an encoder of the study's kind:

    u_0 = group 0;  z1 = E_l(u_l), z2 = E_l(view of u_l), guide f = group l + 1;  u_{l+1} = sg[z1; P_l(f)]

A frame's embedding is [z of the last block; P of the last group]. As in the official code, projectors P get
no gradient and keep their initial weights. All blocks take their steps together. As published, the encoders
are dilated convolutions, and the mean of all iterates is evaluated.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from emargin_train.data.frames import Frames
from emargin_train.encoders.base import Encoder, seeded
from emargin_train.encoders.dilated import Dilated, DilatedSettings
from emargin_train.losses.mf_clr import feature_groups, mf_clr_loss, released_loss
from emargin_train.methods.base import Batch, Method, Setup, TrainingSettings
from emargin_train.methods.pretext import Pretext, Standardise, beside
from emargin_train.methods.published import TINY, IterateSettings, PublishedTraining, averaged
from emargin_train.methods.released import ReleasedProjector, ReleasedTraining
from emargin_train.settings import Settings, hyperparameter, redefined
from emargin_train.views.mf_clr import augment

DECAY, DECAY_EPOCHS = 0.7, 10  # of the published learning rate


@dataclass(frozen=True, kw_only=True)
class GroupSettings(Settings, prefix="mf_clr"):
    alpha: float = hyperparameter(
        1.0,
        "The instance contrast has this weight, and the temporal contrast has the rest.",
        metavar="A",
        low=0,
        high=1,
        search=(0, 1),
        role="scientific",
        why="it is a share of the contrast",
    )
    beta: float = hyperparameter(
        1e-5,
        "The guide, which sets distances between sequences, has this weight, and the contrast has the rest.",
        metavar="B",
        low=0,
        high=1,
        search=(1e-6, 0.1),
        log=True,
        role="scientific",
        why="it is a share of the loss",
    )
    groups: int = hyperparameter(
        3,
        "The bins of each channel are divided into this many groups. There is one block fewer than groups.",
        metavar="N",
        low=2,
        why="a block needs a guide",
    )
    guide_dim: int = hyperparameter(
        32,
        "A guide is projected at random to this many dimensions before it is joined to an embedding.",
        metavar="N",
        low=2,
        why="it counts dimensions",
    )


@dataclass(frozen=True, kw_only=True)
class MFCLRSettings(GroupSettings, prefix="mf_clr"):
    dropout: float = hyperparameter(
        0.1,
        "Training sets this share of the values of an embedding to 0.",
        metavar="Q",
        low=0,
        high=0.99,
        why="it is a share of values",
    )


@dataclass(frozen=True, kw_only=True)
class MFCLRPublishedSettings(GroupSettings, IterateSettings):
    pass


@dataclass(frozen=True, kw_only=True)
class MFCLRPublishedTraining(PublishedTraining):
    batch_size: int = redefined(TrainingSettings, "batch_size", 32)


class MFCLR(Method):
    name = "mf-clr"
    title = "MF-CLR"
    description = "contrasts a sequence with a warped copy, low frequencies first, higher ones as a guide"
    order = 1
    Settings: ClassVar[type[GroupSettings]] = MFCLRSettings
    settings: GroupSettings
    small = {"mf_clr.groups": 2}

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        s, shape = self.settings, setup.shape
        n_bins = shape.n_features // shape.n_channels
        self.groups = feature_groups(shape.n_channels, n_bins, s.groups)
        encoders: list[nn.Module] = []
        projectors: list[nn.Module] = []
        n_in = len(self.groups[0])
        with seeded(setup.seed):
            for block, guide in enumerate(self.groups[1:]):
                encoder = self.new_encoder(block, n_in)
                hidden = nn.Linear(len(guide), max(s.guide_dim // 2, 1))
                projector = nn.Sequential(hidden, nn.ReLU(), nn.Linear(hidden.out_features, s.guide_dim))
                encoders.append(encoder)
                projectors.append(projector.requires_grad_(False))
                n_in = encoder.dim + s.guide_dim
        self.encoders, self.projectors = nn.ModuleList(encoders), nn.ModuleList(projectors)
        self.dropout = nn.Dropout(getattr(s, "dropout", 0.0))  # an own encoder has dropout itself

    def new_encoder(self, block: int, n_features: int) -> Encoder:
        return self.setup.encoder(n_features, self.setup.encoder_settings)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s = self.settings
        u, total = batch.x[..., self.groups[0]], batch.x.new_zeros(())
        for encoder, projector, group in zip(self.encoders, self.projectors, self.groups[1:], strict=True):
            guide = batch.x[..., group]
            z1 = self.dropout(encoder(u))
            z2 = self.dropout(encoder(augment(u, beside(u, generator))))
            total = total + mf_clr_loss(z1, z2, guide, alpha=s.alpha, beta=s.beta)
            u = torch.cat([z1.detach(), projector(guide)], dim=-1)
        return total

    def encode(self, x: Tensor) -> Tensor:
        u = x[..., self.groups[0]]
        for encoder, projector, group in zip(self.evaluated(), self.projectors, self.groups[1:], strict=True):
            u = torch.cat([encoder(u), projector(x[..., group])], dim=-1)
        return u

    def evaluated(self) -> Iterable[nn.Module]:
        """The encoders whose embeddings are measured."""
        return self.encoders


@dataclass(frozen=True, kw_only=True)
class BackboneSettings(DilatedSettings, prefix="dilated"):
    """The defaults of the official classification."""

    depth: int = redefined(DilatedSettings, "depth", 4)
    width: int = redefined(DilatedSettings, "width", 128)
    dim: int = redefined(DilatedSettings, "dim", 64)


class Backbone(Dilated):
    Settings = BackboneSettings


class MFCLRPublished(MFCLR):
    """Block l gives dim + l guide_dim numbers. The learning rate falls to 0.7 of itself every 10 epochs."""

    name = "mf-clr-published"
    title = "MF-CLR, as published"
    description = "is MF-CLR on dilated convolutions, evaluated as the mean of all iterates"
    encoder_variant = "published"
    variant_of = "mf-clr"
    uses_encoder = False
    own_encoder = Backbone
    Settings = MFCLRPublishedSettings
    Training = MFCLRPublishedTraining
    settings: MFCLRPublishedSettings
    small = TINY | MFCLR.small

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.standardise = Standardise(setup.shape.n_features, is_kept=True)
        self.average = averaged(self.encoders)

    def new_encoder(self, block: int, n_features: int) -> Encoder:
        own: Any = self.setup.encoder_settings
        wider = dataclasses.replace(own, dim=own.dim + block * self.settings.guide_dim)
        return self.setup.encoder(n_features, wider)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        self.standardise.fit(self, train)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        return super().loss(dataclasses.replace(batch, x=self.standardise(batch.x)), generator)

    def optimizer(self) -> torch.optim.Optimizer:
        self._adamw = super().optimizer()
        return self._adamw

    def after_step(self, step: int) -> None:
        self.average.update_parameters(self.encoders)
        epoch = step * self.batch_size // self.n_train
        for group in self._adamw.param_groups:
            group["lr"] = self.training_settings.learning_rate * DECAY ** (epoch // DECAY_EPOCHS)

    def encode(self, x: Tensor) -> Tensor:
        return super().encode(self.standardise(x))

    def evaluated(self) -> Iterable[nn.Module]:
        return self.average.module.children() if self.settings.iterate == "mean" else self.encoders


class MFCLRReleased(Pretext):
    """One block on all features, so that its guide is empty; the contrast is of embedding channels, by inner
    products over time. The mean of all iterates is evaluated, with the last BatchNorm statistics.
    """

    name = "mf-clr-released"
    title = "MF-CLR, as released"
    description = "contrasts the time courses of each embedding channel, without any guide"
    encoder_variant = "released"
    variant_of = "mf-clr"
    uses_encoder = False
    own_encoder = ReleasedProjector
    Training = ReleasedTraining

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.average = averaged(self.encoder)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        x = batch.x
        return released_loss(self.encoder(x), self.encoder(augment(x, beside(x, generator))))

    def after_step(self, step: int) -> None:
        self.average.update_parameters(self.encoder)

    def encode(self, x: Tensor) -> Tensor:
        return self.average(x)
