"""The control of every semi-supervised method: the same labels without any contrast."""

from dataclasses import dataclass

from emargin_train.methods.labelled import LabelSettings
from emargin_train.methods.supervised import Supervised
from emargin_train.settings import redefined


@dataclass(frozen=True, kw_only=True)
class LabelsOnlySettings(LabelSettings):
    label_share: float = redefined(LabelSettings, "label_share", 0.1, above=True)
    label_control: str = redefined(LabelSettings, "label_control", "none", choices=("none", "shuffled"))


class LabelsOnly(Supervised):
    """Of equal seed and share, it sees the labels that `emargin-semi` and `infonce-semi` see."""

    name = "labels-only"
    title = "Labels alone"
    description = (
        "trains the encoder with the cross-entropy of a linear classifier, on the labelled share alone"
    )
    role = "method"
    order = 0
    Settings = LabelsOnlySettings
    label_share = None
