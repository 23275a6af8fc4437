"""The released eMargin code with its faults, for reproduction only (docs/methods.md)."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from emargin_train.losses.released import emargin_released
from emargin_train.methods.base import Batch
from emargin_train.methods.emargin import MarginSettings
from emargin_train.methods.gated import Gated, ThresholdSettings
from emargin_train.methods.one_view import Outputs
from emargin_train.methods.released import ReleasedTraining


@dataclass(frozen=True, kw_only=True)
class EMarginReleasedSettings(MarginSettings, ThresholdSettings):
    pass


class EMarginReleased(Gated):
    """Its labels are 1 for every threshold of 0 or more, so that the threshold does nothing."""

    name = "emargin-released"
    title = "eMargin, as released"
    description = "computes what the released code computes, faults included"
    encoder_variant = "released"
    variant_of = "emargin"
    Settings = EMarginReleasedSettings
    Training = ReleasedTraining
    fixed_gate = "released"
    without_effect = ("threshold",)

    @staticmethod
    def criterion(settings: Any, outputs: Outputs, batch: Batch) -> Tensor:
        return emargin_released(
            outputs.z,
            batch.tables["dissimilar"],
            margin=settings.margin,
            temperature=settings.temperature,
            neighbours=settings.neighbours,
        )
