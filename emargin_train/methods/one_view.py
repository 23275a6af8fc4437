"""The base of methods that see a batch once: encoder, projection head and classifier, then a criterion.

Such methods can be trained in a stack: several trainings are computed together on one device.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from emargin_train.encoders.base import seeded
from emargin_train.methods.base import Batch, Method, Setup
from emargin_train.settings import Settings, hyperparameter

HEAD_DIM = 128


@dataclass(frozen=True, kw_only=True)
class HeadSettings(Settings):
    head: str = hyperparameter(
        "none",
        "The loss is taken after this projection head; everything is evaluated before it.",
        metavar="KIND",
        choices=("none", "linear", "mlp"),
    )


@dataclass(frozen=True)
class Outputs:
    """The outputs of the network for a batch.

    z: (B, T, D) embeddings after the head, of the sequences without labels
    z_labelled: (L, T, D) the same of the sequences with labels
    logits: (L, T, C) of the classifier on embeddings before the head; None without a classifier
    """

    z: Tensor
    z_labelled: Tensor
    logits: Tensor | None = None


@dataclass(frozen=True)
class SideBySide:
    """How the criterion takes K members of a stack in one operation: tensors then have a leading dimension K.

    varying: hyper-parameters that may differ between members, and are tensors (K, 1, 1)
    alike: hyper-parameters that must be equal
    """

    varying: tuple[str, ...]
    alike: tuple[str, ...]


class OneView(Method):
    """A batch holds `n_plain` sequences without labels, then `n_labelled` with labels.

    side_by_side: None = the losses of the members of a stack are computed one after another
    """

    side_by_side: ClassVar[SideBySide | None] = None

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        with seeded(setup.seed):
            self.encoder = setup.new_encoder()
            self.head = projection_head(getattr(setup.settings, "head", "none"), self.encoder.dim)
        self.classifier: nn.Linear | None = None
        if self.has_classifier(setup.settings):
            with seeded(setup.seed):
                self.classifier = nn.Linear(self.encoder.dim, setup.shape.n_classes)
        self.n_plain, self.n_labelled = 0, 0

    @staticmethod
    def has_classifier(settings: Any) -> bool:
        return False

    def prepare(self, train: Any) -> None:
        super().prepare(train)
        self.n_plain, self.n_labelled = self.batch_size, 0

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The network: x (B + L, T, F) -> z (B + L, T, D') and, with a classifier, its logits."""
        h = self.encoder(x)
        z = self.head(h)
        return (z,) if self.classifier is None else (z, self.classifier(h[self.n_plain :]))

    @staticmethod
    @abstractmethod
    def criterion(settings: Any, outputs: Outputs, batch: Batch) -> Tensor:
        """The loss: a scalar, or (K,) for K members in one operation.

        settings: the method's settings; for K members, the `varying` ones are tensors
        batch: with labels of the labelled sequences, (L, T), and tables of the others, (B, T)
        """

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        z, *logits = self(batch.x)
        n = self.n_plain
        outputs = Outputs(z[:n], z[n:], logits[0] if logits else None)
        plain = {name: rows[:n] for name, rows in batch.tables.items()}
        seen = Batch(batch.x, batch.index, self.seen_labels(batch), plain)
        return self.criterion(self.settings, outputs, seen)

    def seen_labels(self, batch: Batch) -> Tensor:
        """(L, T) labels of the labelled sequences of a batch."""
        return batch.labels[self.n_plain :]

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def can_stack(self) -> bool:
        """Whether it can be stacked: a stack has one AdamW for all members, and does nothing after a step."""
        own = type(self)
        plain = own.optimizer is Method.optimizer and own.after_step is Method.after_step
        return plain and own.loss is OneView.loss and not self.draws_from_torch


def projection_head(kind: str, dim: int) -> nn.Module:
    """(..., dim) -> (..., HEAD_DIM), or the identity for `none`."""
    if kind == "linear":
        return nn.Linear(dim, HEAD_DIM)
    if kind == "mlp":
        return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, HEAD_DIM))
    return nn.Identity()
