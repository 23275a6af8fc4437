"""TimeDRL (Chang et al., ICDE 2024, arXiv:2312.04142): two passes of a sequence that differ by dropout.

Tokens are single frames. Each sequence is normalised over its time, in training and in evaluation, so an
embedding depends on its sequence. The embedding of a sequence is the mean over its frames, since a [CLS]
token could learn nothing from an encoder of single frames; as published, a Transformer has such a token.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from emargin_train.data.frames import Frames
from emargin_train.encoders.base import Encoder, seeded
from emargin_train.errors import UserError
from emargin_train.losses.timedrl import instance_loss, normalised, patches, positions, predictive_loss
from emargin_train.methods.base import Batch, Method, Setup, TrainingSettings
from emargin_train.methods.pretext import Pretext
from emargin_train.methods.released import PlainProjector, ReleasedTraining
from emargin_train.settings import Settings, hyperparameter, redefined

# Of the release: frames in a patch, copies of the last frame at the end, dropout, weight of the contrast.
PATCH, PADDING, RELEASED_DROPOUT, RELEASED_WEIGHT = 10, 8, 0.2, 0.1


@dataclass(frozen=True, kw_only=True)
class TimeDRLSettings(Settings, prefix="timedrl"):
    weight: float = hyperparameter(
        0.1,
        "The contrast of sequences has this weight, and the reconstruction of frames has weight 1.",
        metavar="W",
        low=0,
        search=(0.1, 1),
        log=True,
        role="scientific",
        why="it weighs a loss",
    )
    dropout: float = hyperparameter(
        0.2,
        "Both passes set this share of the inputs, and of the heads' values, to 0.",
        metavar="Q",
        low=0,
        high=0.99,
        search=(0.05, 0.5),
        role="nuisance",
        why="it is a share of values",
    )
    target: str = hyperparameter(
        "normalised",
        "The target is frames as the encoder sees them (normalised), or as in the published code (raw).",
        metavar="KIND",
        choices=("normalised", "raw"),
    )


class TimeDRL(Pretext):
    name = "timedrl"
    title = "TimeDRL"
    description = "rebuilds frames in two passes that differ by dropout, and predicts one pass from the other"
    Settings = TimeDRLSettings
    settings: TimeDRLSettings

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        d, q = self.encoder.dim, self.settings.dropout
        with seeded(setup.seed):
            self.decoder = nn.Sequential(nn.Dropout(q), nn.Linear(d, setup.shape.n_features))
            self.predictor = predictor(d, q)
        self.dropout = nn.Dropout(q)

    @property
    def sees_sequence(self) -> bool:
        return True

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        check_sequences(self)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s = self.settings
        x = self.normalised(batch.x)
        (h1, i1), (h2, i2) = self.passed(x), self.passed(x)
        target = x if s.target == "normalised" else batch.x
        rebuilding = predictive_loss(self.decoder(h1), self.decoder(h2), target)
        return rebuilding + s.weight * instance_loss(i1, i2, self.predictor(i1), self.predictor(i2))

    def passed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """One pass with dropout: (embeddings of the frames (B, T, D), of the sequence (B, D))."""
        h = self.encoder(self.dropout(x))
        return h, h.mean(1)

    def normalised(self, x: Tensor) -> Tensor:
        return normalised(x)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(self.normalised(x))


@dataclass(frozen=True, kw_only=True)
class TransformerSettings(Settings, prefix="transformer"):
    layers: int = hyperparameter(
        3, "The Transformer has this many layers.", metavar="N", low=1, why="it counts layers"
    )
    heads: int = hyperparameter(
        8, "A layer of the Transformer has this many heads.", metavar="N", low=1, why="it counts heads"
    )
    base: int = hyperparameter(
        16,
        "A head of the Transformer has this many dimensions.",
        title="Dimensions of a head",
        metavar="N",
        low=1,
        why="it counts dimensions",
    )
    dropout: float = hyperparameter(
        0.2,
        "Training sets this share of the Transformer's values to 0.",
        metavar="Q",
        low=0,
        high=0.99,
        why="it is a share of values",
    )


class Transformer(Encoder):
    """Frames behind a [CLS] token, with sine and cosine positions, D = heads x base; sees whole sequences.

    Layers: feed-forward of 4 D, GELU, LayerNorm after each part and at the end.
    """

    name = "transformer"
    title = "Transformer"
    sees_samples: ClassVar[bool] = True
    Settings = TransformerSettings

    def __init__(
        self, n_features: int, settings: TransformerSettings | None = None, n_channels: int = 1
    ) -> None:
        s = settings or TransformerSettings()
        super().__init__(n_features, s)
        self.dim, self.sees_sequence = s.heads * s.base, True
        self.first = nn.Parameter(torch.randn(n_features))
        self.token = nn.Linear(n_features, self.dim, bias=False)
        self.dropout = nn.Dropout(s.dropout)
        layer = nn.TransformerEncoderLayer(
            self.dim, s.heads, 4 * self.dim, s.dropout, activation="gelu", batch_first=True
        )
        self.layers = nn.TransformerEncoder(
            layer, s.layers, norm=nn.LayerNorm(self.dim), enable_nested_tensor=False
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.tokens(x)[:, 1:]

    def tokens(self, x: Tensor) -> Tensor:
        """(B, T, F) -> (B, 1 + T, D), [CLS] first."""
        tokens = self.token(torch.cat([self.first.expand(len(x), 1, -1), x], dim=1))
        return self.layers(self.dropout(tokens + positions(tokens.shape[1], self.dim).to(x)))


@dataclass(frozen=True, kw_only=True)
class TimeDRLPublishedSettings(TimeDRLSettings, prefix="timedrl"):
    dropout: float = redefined(
        TimeDRLSettings, "dropout", 0.2, help="Training sets this share of the heads' values to 0."
    )
    target: str = redefined(TimeDRLSettings, "target", "raw")


@dataclass(frozen=True, kw_only=True)
class TimeDRLPublishedTraining(TrainingSettings):
    batch_size: int = redefined(TrainingSettings, "batch_size", 32)
    weight_decay: float = redefined(TrainingSettings, "weight_decay", 1e-3)


class TimeDRLPublished(TimeDRL):
    """A patch has the samples of one frame, so that every frame keeps an embedding: that of its token.

    A sequence is normalised over all of its samples, channel by channel.
    """

    name = "timedrl-published"
    title = "TimeDRL, as published"
    description = "is TimeDRL on a Transformer, with a [CLS] token for the contrast of sequences"
    encoder_variant = "published"
    variant_of = "timedrl"
    uses_encoder = False
    own_encoder = Transformer
    fixed_scale = "magnitude"  # samples have no other scale
    Settings = TimeDRLPublishedSettings
    Training = TimeDRLPublishedTraining
    small = {"transformer.layers": 1, "transformer.heads": 2, "transformer.base": 4}

    def passed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(self.encoder, Transformer)
        z = self.encoder.tokens(x)
        return z[:, 1:], z[:, 0]

    def normalised(self, x: Tensor) -> Tensor:
        channels = x.unflatten(-1, (self.setup.shape.n_channels, -1)).transpose(2, 3)  # (B, T, samples, C)
        found = normalised(channels.flatten(1, 2)).view(channels.shape)
        return found.transpose(2, 3).flatten(2)


class TimeDRLReleased(Pretext):
    """Patches of 10 normalised frames become tokens of F numbers for the projector, which sees one at a time.

    So [CLS] is one vector for all sequences, but for dropout, and teaches nothing about the data. Evaluation
    feeds raw frames to the projector, an input that training never showed: both happen to have F numbers.
    """

    name = "timedrl-released"
    title = "TimeDRL, as released"
    description = "is trained on projected patches with a constant [CLS] token, and evaluated on raw frames"
    encoder_variant = "released"
    variant_of = "timedrl"
    uses_encoder = False
    own_encoder = PlainProjector
    Training = ReleasedTraining

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        d, n_features, q = self.encoder.dim, setup.shape.n_features, RELEASED_DROPOUT
        with seeded(setup.seed):
            self.first = nn.Parameter(torch.randn(PATCH * n_features))
            self.token = nn.Linear(PATCH * n_features, n_features, bias=False)
            self.decoder = nn.Sequential(nn.Dropout(q), nn.Linear(d, PATCH * n_features))
            self.predictor = predictor(d, q)
        self.dropout = nn.Dropout(q)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        check_sequences(self)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        x = normalised(batch.x)
        z1, z2 = (self.encoder(self.tokens(x)) for _ in range(2))
        target = patches(batch.x, PATCH, 1, pad=PADDING)
        rebuilding = predictive_loss(self.decoder(z1[:, 1:]), self.decoder(z2[:, 1:]), target)
        i1, i2 = z1[:, 0], z2[:, 0]
        return rebuilding + RELEASED_WEIGHT * instance_loss(i1, i2, self.predictor(i1), self.predictor(i2))

    def tokens(self, x: Tensor) -> Tensor:
        """(B, T, F) normalised -> (B, T, F), [CLS] and T - 1 patches."""
        cut = patches(x, PATCH, 1, pad=PADDING)
        tokens = self.token(torch.cat([self.first.expand(len(x), 1, -1), cut], dim=1))
        return self.dropout(tokens + positions(tokens.shape[1], tokens.shape[2]).to(x))


def predictor(d: int, dropout: float) -> nn.Module:
    """(B, d) -> (B, d) through half as many dimensions."""
    half = max(d // 2, 1)
    return nn.Sequential(
        nn.Linear(d, half), nn.BatchNorm1d(half), nn.ReLU(), nn.Dropout(dropout), nn.Linear(half, d)
    )


def check_sequences(method: Method) -> None:
    """UserError unless sequences have a time to normalise over, and batches sequences to normalise over."""
    if method.setup.shape.n_frames < 2:
        raise UserError(
            "TimeDRL normalises a sequence over its time, but sequences have 1 frame: give a sequence "
            "length of 2 or more"
        )
    if method.batch_size < 2:
        raise UserError(
            f"TimeDRL's predictor normalises over a batch, but a batch has {method.batch_size} of "
            f"{method.n_train} training sequences: give a batch size of 2 or more, and as many sequences"
        )
