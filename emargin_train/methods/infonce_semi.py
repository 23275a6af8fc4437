"""InfoNCE plus a supervised term: whether labels need eMargin to help."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from emargin_train.methods.base import Batch
from emargin_train.methods.infonce import InfoNCE, InfoNCESettings
from emargin_train.methods.one_view import Outputs
from emargin_train.methods.supervised_term import SupervisedTerm, SupervisedTermSettings, supervised_term


@dataclass(frozen=True, kw_only=True)
class InfoNCESemiSettings(SupervisedTermSettings, InfoNCESettings):
    pass


class InfoNCESemi(SupervisedTerm, InfoNCE):
    name = "infonce-semi"
    title = "InfoNCE, semi-supervised"
    description = "adds a supervised term on the labelled share of the training sequences to InfoNCE"
    Settings = InfoNCESemiSettings

    @staticmethod
    def criterion(settings: Any, outputs: Outputs, batch: Batch) -> Tensor:
        return InfoNCE.criterion(settings, outputs, batch) + supervised_term(settings, outputs, batch)
