"""What turns a contrast without labels into a semi-supervised method: a term on the labelled sequences."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from emargin_train.data.frames import Frames
from emargin_train.losses.supervised import cross_entropy, supervised_contrastive
from emargin_train.methods.base import Batch
from emargin_train.methods.labelled import Labelled, LabelSettings
from emargin_train.methods.one_view import Outputs, SideBySide
from emargin_train.settings import hyperparameter


@dataclass(frozen=True, kw_only=True)
class SupervisedTermSettings(LabelSettings):
    supervised_term: str = hyperparameter(
        "contrastive",
        "The supervised term is a supervised contrastive loss, or the cross-entropy of a linear classifier.",
        metavar="KIND",
        choices=("contrastive", "cross-entropy"),
    )
    supervised_weight: float = hyperparameter(
        1.0,
        "The supervised term has this weight.",
        metavar="W",
        low=0,
        search=(0.1, 10),
        log=True,
        role="scientific",
        why="it weighs a loss",
    )


class SupervisedTerm(Labelled):
    """Beside its batch, a step sees half as many sequences whose labels are known.

    The settings also have a temperature. Name this class before the method whose criterion it extends.
    """

    side_by_side: ClassVar[SideBySide | None] = None

    @staticmethod
    def has_classifier(settings: Any) -> bool:
        return settings.supervised_term == "cross-entropy"

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        s: Any = self.settings
        if s.supervised_weight > 0:
            self.see(train, (self.training_settings.batch_size + 1) // 2)


def supervised_term(settings: Any, outputs: Outputs, batch: Batch) -> Tensor | float:
    """The weighted term on the labelled sequences of a batch; 0 where there are none."""
    if len(batch.labels) == 0:
        return 0.0
    if outputs.logits is not None:
        return settings.supervised_weight * cross_entropy(outputs.logits, batch.labels)
    term = supervised_contrastive(outputs.z_labelled, batch.labels, temperature=settings.temperature)
    return settings.supervised_weight * term
