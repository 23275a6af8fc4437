"""MF-CLR (Duan et al., ICML 2024): features are divided into groups, and each group guides the one before.

Groups are equal parts of each channel's frequency bins, lowest first. The method was made for series with
mixed sampling rates, which these data are not. Each block has an encoder of the study's kind:

    u_0 = group 0;  z1 = E_l(u_l), z2 = E_l(view of u_l), guide f = group l + 1;  u_{l+1} = sg[z1; P_l(f)]

A frame's embedding is [z of the last block; P of the last group]. As in the official code, projectors P get
no gradient and keep their initial weights. All blocks take their steps together.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emargin_train.encoders.base import seeded
from emargin_train.losses.mf_clr import feature_groups, mf_clr_loss
from emargin_train.methods.base import Batch, Method, Setup
from emargin_train.methods.pretext import beside
from emargin_train.settings import Settings, hyperparameter
from emargin_train.views.mf_clr import augment


@dataclass(frozen=True, kw_only=True)
class MFCLRSettings(Settings, prefix="mf_clr"):
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
        "The bins of each channel are divided into this many groups, and there is one block fewer.",
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
    dropout: float = hyperparameter(
        0.1,
        "Training sets this share of the values of an embedding to 0.",
        metavar="Q",
        low=0,
        high=0.99,
        why="it is a share of values",
    )


class MFCLR(Method):
    name = "mf-clr"
    title = "MF-CLR"
    description = "contrasts a sequence with a warped copy, low frequencies first, higher ones as a guide"
    order = 1
    Settings = MFCLRSettings
    settings: MFCLRSettings
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
            for guide in self.groups[1:]:
                encoder = setup.encoder(n_in, setup.encoder_settings)
                hidden = nn.Linear(len(guide), max(s.guide_dim // 2, 1))
                projector = nn.Sequential(hidden, nn.ReLU(), nn.Linear(hidden.out_features, s.guide_dim))
                encoders.append(encoder)
                projectors.append(projector.requires_grad_(False))
                n_in = encoder.dim + s.guide_dim
        self.encoders, self.projectors = nn.ModuleList(encoders), nn.ModuleList(projectors)
        self.dropout = nn.Dropout(s.dropout)

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
        for encoder, projector, group in zip(self.encoders, self.projectors, self.groups[1:], strict=True):
            u = torch.cat([encoder(u), projector(x[..., group])], dim=-1)
        return u
