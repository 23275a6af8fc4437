"""InfoNCE: a frame's positives are its neighbours in the same sequence (van den Oord et al. 2018)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from emargin_train.losses.contrast import infonce
from emargin_train.methods.base import Batch
from emargin_train.methods.one_view import HeadSettings, OneView, Outputs, SideBySide
from emargin_train.methods.spread import SpreadSettings, with_spread
from emargin_train.methods.temperature import TemperatureSettings
from emargin_train.settings import hyperparameter


@dataclass(frozen=True, kw_only=True)
class NeighbourSettings(TemperatureSettings, HeadSettings):
    neighbours: int = hyperparameter(
        2,
        "A frame's positives are both adjacent frames (2), or the next one (1).",
        metavar="N",
        choices=(1, 2),
        why="a frame has one next or two adjacent frames",
    )


@dataclass(frozen=True, kw_only=True)
class InfoNCESettings(SpreadSettings, NeighbourSettings):
    pass


class InfoNCE(OneView):
    name = "infonce"
    title = "InfoNCE"
    description = "contrasts a frame and its neighbours with all other frames of the batch"
    Settings = InfoNCESettings
    side_by_side: ClassVar[SideBySide | None] = SideBySide(
        varying=("temperature",), alike=("neighbours", "spread_weight")
    )

    @staticmethod
    def criterion(settings: Any, outputs: Outputs, batch: Batch) -> Tensor:
        loss = infonce(outputs.z, temperature=settings.temperature, neighbours=settings.neighbours)
        return with_spread(loss, settings, outputs)
