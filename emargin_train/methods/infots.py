"""InfoTS (Luo et al., AAAI 2023, arXiv:2303.11911) without meta-learning: an augmented and a raw view.

The weights of the seven augmentations are equal, except for the noise of each draw. The official code learns
them with a classifier in separate steps, which are left out here. The local term uses all sequences of the
batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emargin_train.data.frames import Frames
from emargin_train.losses.infots import check_segments, draw_start, infots_loss
from emargin_train.methods.base import Batch, Setup
from emargin_train.methods.pretext import Pretext, Standardise, beside
from emargin_train.settings import Settings, hyperparameter
from emargin_train.views.infots import augment


@dataclass(frozen=True, kw_only=True)
class InfoTSSettings(Settings, prefix="infots"):
    augmented: float = hyperparameter(
        0.7,
        "One view is augmented with this probability; otherwise both views differ only by dropout.",
        metavar="P",
        low=0,
        high=1,
        search=(0.1, 1),
        role="scientific",
        why="it is a probability",
    )
    beta: float = hyperparameter(
        1.0,
        "The local contrast of neighbouring segments has this weight.",
        metavar="W",
        low=0,
        search=(0.1, 2),
        log=True,
        role="scientific",
        why="it weighs a loss",
    )
    k: int = hyperparameter(
        8,
        "The local contrast cuts a sequence into K segments, at most its number of frames.",
        title="Segments",
        metavar="K",
        low=2,
        search=(4, 16),
        role="scientific",
        why="a segment needs a neighbour",
    )
    local_term: str = hyperparameter(
        "all",
        "The local contrast uses all sequences of a batch, or only the first, as in the published code.",
        metavar="KIND",
        choices=("all", "first"),
    )
    dropout: float = hyperparameter(
        0.1,
        "Training sets this share of the values of an embedding to 0.",
        metavar="Q",
        low=0,
        high=0.99,
        why="it is a share of values",
    )


class InfoTS(Pretext):
    name = "infots"
    title = "InfoTS"
    description = (
        "contrasts an augmented view with the raw one, and segments within it, without meta-learning"
    )
    Settings = InfoTSSettings
    settings: InfoTSSettings
    small = {"infots.k": 2}

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.dropout = nn.Dropout(self.settings.dropout)
        self.standardise = Standardise(setup.shape.n_features)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        check_segments(self.settings.k, self.setup.shape.n_frames)
        self.standardise.fit(self, train)  # the jitter is scaled by each feature's deviation

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s, x = self.settings, batch.x
        spread = self.standardise.deviation
        view = augment(x, beside(x, generator), probability=s.augmented, spread=spread)
        start = draw_start(x.shape[1], s.k, generator)
        z1, z2 = self.dropout(self.encoder(view)), self.dropout(self.encoder(x))
        return infots_loss(z1, z2, k=s.k, start=start, beta=s.beta, first_only=s.local_term == "first")
