"""eMargin plus a supervised term on a share of the training sequences."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from emargin_train.data.frames import Frames
from emargin_train.losses.supervised import cross_entropy, supervised_contrastive
from emargin_train.methods.base import Batch
from emargin_train.methods.emargin import EMargin, EMarginSettings
from emargin_train.methods.labelled import Labelled, with_labels
from emargin_train.methods.one_view import Outputs
from emargin_train.settings import hyperparameter


@dataclass(frozen=True, kw_only=True)
class SemiSettings(EMarginSettings):
    label_share: float = hyperparameter(
        0.1,
        "The method sees the labels of this share of the training sequences.",
        metavar="Q",
        low=0,
        high=1,
        why="it is a share of sequences",
    )
    supervised_term: str = hyperparameter(
        "contrastive",
        "The supervised term is supervised contrastive, or the cross-entropy of a linear classifier.",
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


class EMarginSemi(Labelled, EMargin):
    """In addition to its batch, a step sees half as many sequences whose labels are known."""

    name = "emargin-semi"
    title = "eMargin, semi-supervised"
    description = "adds a supervised term on the labelled share of the training sequences"
    Settings = SemiSettings
    side_by_side = None

    @staticmethod
    def has_classifier(settings: SemiSettings) -> bool:
        return settings.supervised_term == "cross-entropy"

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        s: Any = self.settings
        if s.supervised_weight > 0:
            self.labelled = with_labels(train, s.label_share, self.setup.seed)
            half = (self.training_settings.batch_size + 1) // 2
            self.n_labelled = min(half, len(self.labelled))

    @staticmethod
    def criterion(settings: Any, outputs: Outputs, batch: Batch) -> Tensor:
        """The loss of `emargin` plus the weighted supervised term, if weight and label share are not 0."""
        loss = EMargin.criterion(settings, outputs, batch)
        if len(batch.labels) == 0:
            return loss
        if outputs.logits is not None:
            return loss + settings.supervised_weight * cross_entropy(outputs.logits, batch.labels)
        term = supervised_contrastive(outputs.z_labelled, batch.labels, temperature=settings.temperature)
        return loss + settings.supervised_weight * term
