"""Supervised training of the same encoder shows what it could reach with every label."""

from typing import Any, ClassVar

from torch import Tensor

from emargin_train.data.frames import Frames
from emargin_train.losses.supervised import cross_entropy
from emargin_train.methods.base import Batch
from emargin_train.methods.labelled import Labelled
from emargin_train.methods.one_view import Outputs


class Supervised(Labelled):
    """A step sees labelled sequences only."""

    name = "supervised"
    title = "Supervised"
    description = "trains the encoder with the cross-entropy of a linear classifier, on all labels"
    role = "upper bound"
    order = 2
    label_share: ClassVar[float | None] = 1.0

    @staticmethod
    def has_classifier(settings: Any) -> bool:
        return True

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        self.n_plain = 0
        self.see(train, self.training_settings.batch_size)

    @staticmethod
    def criterion(settings: Any, outputs: Outputs, batch: Batch) -> Tensor:
        assert outputs.logits is not None
        return cross_entropy(outputs.logits, batch.labels)
