"""eMargin as the paper's words say: adjacent frames that differ are pushed apart."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from emargin_train.losses.contrast import emargin_adjacent
from emargin_train.methods.base import Batch
from emargin_train.methods.emargin import MarginSettings
from emargin_train.methods.gated import Gated, GateSettings
from emargin_train.methods.one_view import Outputs, SideBySide
from emargin_train.settings import redefined


@dataclass(frozen=True, kw_only=True)
class AdjacentSettings(MarginSettings, GateSettings):
    margin: float = redefined(
        MarginSettings,
        "margin",
        0.5,
        help="An adjacent frame that differs becomes a negative; the margin is added to its cosine.",
        high=1,
        search=(0, 1),
        log=False,
        why="emargin-adjacent adds it to a cosine",
    )


class EMarginAdjacent(Gated):
    name = "emargin-adjacent"
    title = "eMargin, adjacent"
    description = "turns a neighbour across a dissimilar step from a positive into a hard negative"
    Settings = AdjacentSettings
    side_by_side: ClassVar[SideBySide | None] = SideBySide(
        varying=("temperature", "margin"), alike=("neighbours",)
    )

    @staticmethod
    def criterion(settings: Any, outputs: Outputs, batch: Batch) -> Tensor:
        return emargin_adjacent(
            outputs.z,
            batch.tables["dissimilar"],
            margin=settings.margin,
            temperature=settings.temperature,
            neighbours=settings.neighbours,
        )
