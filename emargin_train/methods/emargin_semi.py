"""eMargin plus a supervised term on a share of the training sequences."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from emargin_train.methods.base import Batch
from emargin_train.methods.emargin import EMargin, EMarginSettings
from emargin_train.methods.one_view import Outputs
from emargin_train.methods.supervised_term import SupervisedTerm, SupervisedTermSettings, supervised_term


@dataclass(frozen=True, kw_only=True)
class EMarginSemiSettings(SupervisedTermSettings, EMarginSettings):
    pass


class EMarginSemi(SupervisedTerm, EMargin):
    name = "emargin-semi"
    title = "eMargin, semi-supervised"
    description = "adds a supervised term on the labelled share of the training sequences"
    Settings = EMarginSemiSettings

    @staticmethod
    def criterion(settings: Any, outputs: Outputs, batch: Batch) -> Tensor:
        return EMargin.criterion(settings, outputs, batch) + supervised_term(settings, outputs, batch)
