"""InfoTS (Luo et al., AAAI 2023, arXiv:2303.11911) without meta-learning: an augmented and a raw view.

The weights of the seven augmentations are equal, except for the noise of each draw. The official code learns
them with a classifier in separate steps, which are left out here. The local term uses all sequences of the
batch. The released form leaves these steps out too; without them, a published form would not differ.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emargin_train.data.frames import Frames
from emargin_train.encoders.base import seeded
from emargin_train.encoders.dilated import Dilated
from emargin_train.losses.infots import check_segments, draw_start, infots_loss
from emargin_train.methods.base import Batch, Setup
from emargin_train.methods.pretext import Pretext, Standardise, beside
from emargin_train.methods.published import TINY
from emargin_train.methods.released import ReleasedTraining
from emargin_train.settings import Settings, hyperparameter, redefined
from emargin_train.views.infots import augment
from emargin_train.views.ts2vec import timestamp_mask

AUGMENTED = 0.2  # share of the release's steps


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
    missing_variants = {
        "published": "its meta steps, which learn the weights of the augmentations, are not built"
    }

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


@dataclass(frozen=True, kw_only=True)
class InfoTSReleasedSettings(Settings, prefix="infots"):
    k: int = redefined(InfoTSSettings, "k", 8, search=None)


class InfoTSReleased(Pretext):
    """The only one of the release that sees whole sequences: TS2Vec's dilated convolutions.

    The release clusters frames that it encodes alone, and probes frames that it encodes in their sequences;
    here all are encoded in their sequences.

    logits: (7,) weights of the augmentations, as drawn: no step learns them
    """

    name = "infots-released"
    title = "InfoTS, as released"
    description = "contrasts views that mostly differ by mask and dropout alone, and segments of one sequence"
    encoder_variant = "released"
    variant_of = "infots"
    uses_encoder = False
    own_encoder = Dilated
    Settings = InfoTSReleasedSettings
    Training = ReleasedTraining
    settings: InfoTSReleasedSettings
    small = TINY | InfoTS.small
    logits: Tensor

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        with seeded(setup.seed):
            self.register_buffer("logits", 0.01 * torch.randn(7))

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        check_segments(self.settings.k, self.setup.shape.n_frames)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s, x = self.settings, batch.x
        view = augment(x, beside(x, generator), probability=AUGMENTED, logits=self.logits)
        start = draw_start(x.shape[1], s.k, generator)
        z1, z2 = (self.encoder(v, self._mask(v, generator)) for v in (view, x))
        return infots_loss(z1, z2, k=s.k, start=start, beta=1.0, first_only=True)

    @staticmethod
    def _mask(x: Tensor, generator: torch.Generator) -> Tensor:
        return timestamp_mask(len(x), x.shape[1], generator, keep=0.5).to(x.device)
