"""eMargin (arXiv:2507.14828) with a well-posed loss: InfoNCE whose negatives go through a margin kernel."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from emargin_train.losses.contrast import emargin
from emargin_train.methods.base import Batch
from emargin_train.methods.gated import Gated, GateSettings
from emargin_train.methods.one_view import Outputs, SideBySide
from emargin_train.methods.spread import SpreadSettings, with_spread
from emargin_train.settings import Settings, hyperparameter


@dataclass(frozen=True, kw_only=True)
class MarginSettings(Settings):
    margin: float = hyperparameter(
        5.0,
        "This is the margin m of the kernel max(0, m - cosine)^2 / 2 for negatives of dissimilar frames.",
        metavar="M",
        low=0,
        search=(0.5, 10),
        log=True,
        role="scientific",
        why="a margin is a distance",
    )


@dataclass(frozen=True, kw_only=True)
class EMarginSettings(SpreadSettings, MarginSettings, GateSettings):
    similar_sign: int = hyperparameter(
        -1,
        "The kernel's part for similar frames, sign * cosine^2 / 2, has this sign.",
        title="Sign of the similar part",
        metavar="S",
        choices=(-1, 1),
        why="it is a sign",
    )
    dissimilar_sign: int = hyperparameter(
        1,
        "The kernel's part for dissimilar frames, sign * max(0, m - cosine)^2 / 2, has this sign: with 1, as "
        "published, its gradient pulls negatives closer; with -1 it pushes them apart.",
        title="Sign of the dissimilar part",
        metavar="S",
        choices=(-1, 1),
        why="it is a sign",
    )
    gamma: float = hyperparameter(
        0.05,
        "The kernel is multiplied by gamma in a logit.",
        metavar="G",
        low=0,
        log=True,
        why="it scales the kernel",
    )


class EMargin(Gated):
    name = "emargin"
    title = "eMargin"
    description = "sends the negatives of a frame through a margin kernel that the threshold switches"
    Settings = EMarginSettings
    side_by_side: ClassVar[SideBySide | None] = SideBySide(
        varying=("temperature", "margin", "gamma", "similar_sign", "dissimilar_sign"),
        alike=("neighbours", "spread_weight"),
    )

    @staticmethod
    def criterion(settings: Any, outputs: Outputs, batch: Batch) -> Tensor:
        loss = emargin(
            outputs.z,
            batch.tables["dissimilar"],
            margin=settings.margin,
            temperature=settings.temperature,
            neighbours=settings.neighbours,
            similar_sign=settings.similar_sign,
            dissimilar_sign=settings.dissimilar_sign,
            gamma=settings.gamma,
        )
        return with_spread(loss, settings, outputs)
