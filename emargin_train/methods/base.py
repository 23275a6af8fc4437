"""The base class of all methods: a module that has all of its weights, gives a loss, and encodes frames."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from emargin_train import settings as declaration
from emargin_train.data.frames import Cut, Frames, samples, spectra
from emargin_train.encoders.base import Encoder, NoSettings
from emargin_train.optimizer import AdamW
from emargin_train.precision import computing_in
from emargin_train.settings import hyperparameter
from emargin_train.spectrum_scale import spectrum_scale

PRECISIONS = ("float32", "tf32", "bf16", "float64")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(declaration.Settings):
    """How a method is trained: AdamW, as in the paper."""

    iterations: int = hyperparameter(
        600,
        "The training takes N steps (the default is the dataset's number in the paper).",
        metavar="N",
        low=1,
        log=True,
        why="a training has steps",
    )
    batch_size: int = hyperparameter(
        8, "A step sees B sequences.", metavar="B", low=1, log=True, why="a step needs sequences"
    )
    learning_rate: float = hyperparameter(
        1e-3,
        "AdamW takes steps of this learning rate.",
        metavar="LR",
        low=0,
        above=True,
        log=True,
        role="nuisance",
        why="it scales a step",
    )
    weight_decay: float = hyperparameter(
        0.0,
        "AdamW has this weight decay.",
        metavar="W",
        low=0,
        log=True,
        role="nuisance",
        why="it shrinks weights",
    )
    precision: str = hyperparameter(
        "float32",
        "The training computes in these numbers. float64 takes twice as long, and shows whether a loss that "
        "diverged had only overflowed. tf32 (on a GPU) rounds the factors of all matrix products to three "
        "digits, and bf16 (on a CPU that has it) those of the products of cosines in eMargin and InfoNCE; "
        "everything else is in float32.",
        metavar="KIND",
        choices=PRECISIONS,
    )


@dataclass(frozen=True)
class Shape:
    """The shape of the data: T frames in a sequence, F features in a frame, C classes.

    n_channels: number of channels; the features of a frame are their bins (or, for a method that sees raw
        samples, their samples), channel by channel
    """

    n_frames: int
    n_features: int
    n_classes: int
    n_channels: int = 1


@dataclass(frozen=True)
class Setup:
    """Everything from which a method is made.

    training: None for a method of zero steps
    encoder, encoder_settings: the chosen encoder, or the method's own, which `new_encoder` makes
    scale: the spectrum scale that the encoder sees, magnitude or log
    magnitude_scale: `Splits.magnitude_scale`
    seed: the seed of the initial weights, and of everything that `prepare` draws
    """

    settings: declaration.Settings
    training: TrainingSettings | None
    encoder: type[Encoder]
    encoder_settings: declaration.Settings
    shape: Shape
    scale: str
    magnitude_scale: float
    seed: int

    def new_encoder(self) -> Encoder:
        """Initial weights come from PyTorch's global generator: call this inside `seeded`."""
        channels = (self.shape.n_channels,) if self.encoder.sees_samples else ()
        return self.encoder(self.shape.n_features, self.encoder_settings, *channels)


@dataclass(frozen=True)
class Batch:
    """The training sequences of one step.

    x: (B, T, F) spectra on the chosen scale; index: (B,) int64, the numbers of these training sequences
    labels: (B, T) int64 classes, -1 = unlabelled; a method that learns without labels ignores them
    tables: the rows of these sequences in the method's `tables`, by name
    """

    x: Tensor
    index: Tensor
    labels: Tensor
    tables: dict[str, Tensor] = field(default_factory=dict)


class Method(nn.Module, ABC):
    """A way to learn an encoder. A subclass in a file of this folder is known by its `name`.

    title, description: as the report says them; role: `method`, `upper bound` (it sees all labels) or
        `reference` (it takes no steps)
    encoder_variant: one of `variants.VARIANTS`; None for what has no encoder
    variant_of: the method whose published or released form it is; --variant finds it by this
    missing_variants: why a form of it is not built, by variant, as the end of "there is none, since ..."
    uses_encoder: it reads --encoder and that encoder's settings
    own_encoder: the encoder that it brings, with the settings of that encoder
    fixed_scale: the only spectrum scale that it can see; None = as the settings say
    needs_labels: it cannot be trained on recordings without labels
    is_random: its seed changes what it gives, so that a study measures it for every seed
    small: settings by column for a few short sequences of few bins, where the defaults need longer ones or
        much time
    without_effect: hyper-parameters that change nothing that is evaluated, where the released code is so
    tables: what `prepare` computes for each training sequence, (N, ...) by name
    to_input: magnitudes to what the encoder sees
    """

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str] = ""
    role: ClassVar[str] = "method"
    order: ClassVar[int] = 0
    encoder_variant: ClassVar[str | None] = "shared"
    variant_of: ClassVar[str | None] = None
    missing_variants: ClassVar[dict[str, str]] = {}
    Settings: ClassVar[type[declaration.Settings]] = NoSettings
    Training: ClassVar[type[TrainingSettings] | None] = TrainingSettings
    uses_encoder: ClassVar[bool] = True
    own_encoder: ClassVar[type[Encoder] | None] = None
    fixed_scale: ClassVar[str | None] = None
    needs_labels: ClassVar[bool] = False
    is_random: ClassVar[bool] = True
    small: ClassVar[dict[str, Any]] = {}
    without_effect: ClassVar[tuple[str, ...]] = ()
    _like: Tensor

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.setup, self.settings = setup, setup.settings
        self.to_input = spectrum_scale(self.fixed_scale or setup.scale, setup.magnitude_scale)
        self.tables: dict[str, Tensor] = {}
        self.n_train = 0
        self.register_buffer("_like", torch.zeros(()), persistent=False)  # on the device of the weights

    @classmethod
    def cut(cls) -> Cut:
        """How signals become what the method sees: magnitude spectra, or raw samples."""
        return samples if cls.own_encoder is not None and cls.own_encoder.sees_samples else spectra

    @classmethod
    def seen(cls, frames: Frames) -> Frames:
        """Frames of spectra -> frames of what the method sees."""
        return frames.of_samples() if cls.cut() is samples else frames

    @classmethod
    def row(cls, settings: declaration.Settings, train: Frames) -> dict[str, Any]:
        """Columns of results.parquet that depend only on the settings and the training frames."""
        return {}

    def prepare(self, train: Frames) -> None:
        """Look at the training frames once, before the first step. Raises UserError for unfit data."""
        self.n_train = len(train)

    @property
    def training_settings(self) -> TrainingSettings:
        assert self.setup.training is not None, f"{self.name} is not trained"
        return self.setup.training

    @property
    def batch_size(self) -> int:
        return min(self.training_settings.batch_size, self.n_train)

    def draw(self, generator: torch.Generator) -> Tensor:
        """(B,) the sequences of the next step; by default B different ones, drawn anew in each step."""
        return torch.randperm(self.n_train, generator=generator)[: self.batch_size]

    @abstractmethod
    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The loss of one step, a scalar. Views, crops and masks are drawn here.

        generator: on the CPU; nothing else may be random
        """

    def optimizer(self) -> torch.optim.Optimizer:
        return adamw([p for p in self.parameters() if p.requires_grad], self.training_settings)

    def after_step(self, step: int) -> None:
        """Update momentum copies, queues, averages or schedules after each step. step: counted from 1"""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """(B, T, F) spectra -> (B, T, D) embeddings, in evaluation mode. These are measured and used."""

    @torch.no_grad()
    @computing_in("float32")
    def embed(self, x: np.ndarray) -> Tensor:
        """(B, T, F) magnitude spectra (or raw samples) -> (B, T, D) embeddings on the method's device.

        The method must be in evaluation mode.
        """
        like = self.like
        return self.encode(self.to_input(torch.from_numpy(x).to(like.device)).to(like.dtype))

    @property
    def like(self) -> Tensor:
        """A number with the device and the type of the weights."""
        return self._like

    @property
    def sees_sequence(self) -> bool:
        """Whether an embedding also depends on other frames of its sequence."""
        return any(isinstance(layer, Encoder) and layer.sees_sequence for layer in self.modules())

    @property
    def draws_from_torch(self) -> bool:
        """Whether a layer draws from PyTorch's global generator, which training then seeds for each step."""
        return any(
            isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0 for layer in self.modules()
        )


def adamw(
    weights: list[Tensor], training: TrainingSettings, *, capturable: bool = False
) -> torch.optim.Optimizer:
    """capturable: whether its steps may be recorded in a CUDA graph"""
    return AdamW(
        weights,
        lr=training.learning_rate,
        weight_decay=training.weight_decay,
        fused=True,
        capturable=capturable,
    )
