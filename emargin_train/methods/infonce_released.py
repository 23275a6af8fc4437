"""The release's contrastive baselines, which are not InfoNCE: for reproduction only (docs/methods.md)."""

from typing import Any

from torch import Tensor

from emargin_train.losses.released import infonce_released
from emargin_train.methods.base import Batch
from emargin_train.methods.infonce import NeighbourSettings
from emargin_train.methods.one_view import OneView, Outputs
from emargin_train.methods.released import ReleasedTraining


class InfoNCEReleased(OneView):
    name = "infonce-released"
    title = "InfoNCE, as released"
    description = "computes what the released contrastive baselines compute, faults included"
    encoder_variant = "released"
    variant_of = "infonce"
    Settings = NeighbourSettings
    Training = ReleasedTraining

    @staticmethod
    def criterion(settings: Any, outputs: Outputs, batch: Batch) -> Tensor:
        return infonce_released(outputs.z, temperature=settings.temperature, neighbours=settings.neighbours)
