"""The base of methods whose loss depends on which steps of a sequence are called dissimilar.

A step here leads from a frame to the next one of its sequence. The threshold is a cosine. A share of steps
can be given instead; the threshold is then the cosine at that quantile of the training steps.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from emargin_train.data.frames import Frames
from emargin_train.errors import UserError
from emargin_train.gates import GATES, gate_labels
from emargin_train.methods.base import Setup
from emargin_train.methods.infonce import NeighbourSettings
from emargin_train.methods.one_view import OneView
from emargin_train.pseudo_labels import pseudo_label_metrics, resolve_threshold
from emargin_train.settings import hyperparameter


@dataclass(frozen=True, kw_only=True)
class ThresholdSettings(NeighbourSettings):
    threshold: float | None = hyperparameter(
        0.4,
        "Adjacent frames whose spectra have a cosine below this threshold are called dissimilar.",
        metavar="T",
        low=-1,
        high=1,
        search=(0.2, 0.99),
        role="scientific",
        why="it is a cosine",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold is None and getattr(self, "dissimilar_share", None) is None:
            raise UserError("threshold is missing, but it decides which steps are dissimilar: give a cosine")


@dataclass(frozen=True, kw_only=True)
class GateSettings(ThresholdSettings):
    dissimilar_share: float | None = hyperparameter(
        None,
        "This share of the steps between training frames is called dissimilar; it replaces the threshold.",
        metavar="Q",
        low=0,
        high=1,
        instead_of="threshold",
        role="scientific",
        why="it is a share of steps",
    )
    gate: str = hyperparameter(
        "intended",
        "The gate decides which steps are dissimilar: those below the threshold (intended), as many of them "
        "at random, none (all-similar), all (all-dissimilar), true changes of class (oracle), or as the "
        "released code labels them.",
        metavar="KIND",
        choices=GATES,
        controls=("all-similar", "all-dissimilar", "random", "oracle"),
    )


class Gated(OneView):
    """`tables["dissimilar"]` has the gate's label y of every training frame, (N, T) bool.

    fixed_gate: the only gate of a method that has no setting for it
    """

    fixed_gate: ClassVar[str | None] = None

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.threshold: float | None = None
        self.dissimilar_share: float | None = None

    @staticmethod
    def given(settings: Any) -> tuple[str, float]:
        """Which of threshold and dissimilar_share was given, and its value."""
        if getattr(settings, "dissimilar_share", None) is not None:
            return "dissimilar_share", settings.dissimilar_share
        return "threshold", settings.threshold

    @classmethod
    def row(cls, settings: Any, train: Frames) -> dict[str, Any]:
        """The threshold as cosine and as share, which of the two was given, and how good its labels are."""
        name, value = cls.given(settings)
        threshold, share = resolve_threshold(train, **{name: value})
        resolved = {"threshold": threshold, "dissimilar_share": share, "gate_given_as": name}
        return resolved | pseudo_label_metrics(train, threshold)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        name, value = self.given(self.settings)
        self.threshold, self.dissimilar_share = resolve_threshold(train, **{name: value})
        gate = self.fixed_gate or self.settings.gate  # type: ignore[attr-defined]
        if gate == "oracle" and not (train.y >= 0).any():
            raise UserError(
                "gate is 'oracle', which knows true changes of class, but no training sequence has a label: "
                "give labelled data, or another gate"
            )
        y = gate_labels(gate, train, self.threshold, seed=self.setup.seed)
        self.tables["dissimilar"] = torch.from_numpy(y)
