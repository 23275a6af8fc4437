"""Methods with a gate: where the labels of a training come from, and what its row says about them."""

import numpy as np
import pytest
import torch

from emargin_train.errors import UserError
from emargin_train.gates import GATES, gate_labels
from emargin_train.methods.emargin import EMargin, EMarginSettings
from emargin_train.methods.emargin_released import EMarginReleased, EMarginReleasedSettings
from emargin_train.methods.gated import Gated
from emargin_train.pseudo_labels import pseudo_label_metrics
from emargin_train.train import start, train
from tests.emargin_train.configs import config
from tests.emargin_train.synthetic import make_splits

SPLITS = make_splits()


def losses(**more: object) -> list[float]:
    *_, state = train(config(**more), SPLITS)
    return state.losses


def test_gates_give_different_trainings() -> None:
    found = [tuple(losses(gate=gate)) for gate in GATES]
    assert len(set(found)) == len(GATES) - 1  # as released every step is dissimilar: as all-dissimilar
    assert found[GATES.index("released")] == found[GATES.index("all-dissimilar")]


def test_threshold_is_live_in_training() -> None:
    low, high = (losses(dissimilar_share=None, threshold=t) for t in (0.6, 0.9))
    assert low != high


def test_a_share_trains_as_the_threshold_that_it_becomes() -> None:
    method = start(config(dissimilar_share=0.3), SPLITS).method
    assert isinstance(method, Gated) and method.dissimilar_share == pytest.approx(0.3, abs=0.01)
    same = {"dissimilar_share": None, "threshold": method.threshold}
    assert losses(**same) == losses(dissimilar_share=0.3)


def test_the_table_holds_the_gate_of_every_training_frame() -> None:
    method = start(config(gate="random", dissimilar_share=None, threshold=0.8), SPLITS).method
    expected = gate_labels("random", SPLITS.train, 0.8, seed=3)
    assert torch.equal(method.tables["dissimilar"], torch.from_numpy(expected))


@pytest.mark.parametrize(
    "kind, settings, given",
    [
        (EMargin, EMarginSettings(threshold=0.8), "threshold"),
        (EMargin, EMarginSettings(threshold=None, dissimilar_share=0.3), "dissimilar_share"),
        (EMarginReleased, EMarginReleasedSettings(threshold=0.8), "threshold"),
    ],
)
def test_the_row_says_which_of_threshold_and_share_was_given(
    kind: type[Gated], settings: EMarginSettings, given: str
) -> None:
    row = kind.row(settings, SPLITS.train)
    assert row["gate_given_as"] == given
    assert row["dissimilar_share" if given == "dissimilar_share" else "threshold"] == pytest.approx(
        getattr(settings, given), abs=0.01
    )
    quality = pseudo_label_metrics(SPLITS.train, row["threshold"])
    assert {name: row[name] for name in quality} == quality
    assert isinstance(row["threshold"], float) and np.isfinite(row["threshold"])


def test_neither_threshold_nor_share_is_refused() -> None:
    with pytest.raises(UserError, match="threshold is missing, but it decides which steps are dissimilar"):
        EMarginSettings(threshold=None)
