"""A stack of seeds gives the same rows as single trainings."""

import numpy as np
import pytest

from emargin_train.config import TrainConfig
from emargin_train.cost import PARTS
from emargin_train.evaluation.table import MEASURED
from emargin_train.pretrain import Outcome, begin, pretrain
from emargin_train.pretrain_many import pretrain_many
from tests.emargin_train.evaluation.synthetic import splits

VARYING = {"started_at", "peak_memory_mb", "stack_members", *PARTS}
SEEDS = (0, 1)


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emargin_train.pretrain.load", lambda _: splits())


def config(**more: object) -> TrainConfig:
    usual = {"iterations": 12, "report_every": 6, "evaluation_frames": 200}
    return TrainConfig.from_dict(usual | more)


def outcomes(configs: list[TrainConfig]) -> dict[int, Outcome]:
    return {i: item for i, item in pretrain_many(configs) if isinstance(item, Outcome)}


@pytest.mark.parametrize(
    "more, context",
    [
        ({}, "frame"),
        ({"kernel_size": 3}, "sequence"),
        ({"encoder": "dilated"}, "sequence"),
        ({"method": "timedrl"}, "sequence"),
        ({"method": "raw"}, "frame"),
    ],
)
def test_a_row_says_whether_the_encoder_sees_the_sequence(more: dict[str, object], context: str) -> None:
    made = TrainConfig.from_dict(more | {"evaluation_frames": 200})
    assert begin(made, "cpu").row["encoder_context"] == context


def test_stacked_seeds_have_the_rows_of_single_trainings() -> None:
    """Float32: metrics within a tenth of their spread over seeds, or 1e-3 where seeds hardly differ.

    But for a few that hang on single frames: among some hundred, KMeans may end elsewhere after a rounding.
    """
    stacked = outcomes([config(seed=seed, dissimilar_share=0.3) for seed in SEEDS])
    alone = {}
    for seed in SEEDS:
        *_, alone[seed] = pretrain(config(seed=seed, dissimilar_share=0.3))
    for seed in SEEDS:
        one, other = stacked[seed].row, alone[seed].row
        assert one.keys() == other.keys()
        for name in one.keys() - VARYING - set(MEASURED) - {"final_loss"}:
            assert one[name] == other[name], name
        assert stacked[seed].losses == pytest.approx(alone[seed].losses, rel=1e-4)
        assert stacked[seed].method is not None and all(one[part] > 0 for part in PARTS)
        assert (one["stack_members"], other["stack_members"]) == (len(SEEDS), 1)
    differences = []
    for name in MEASURED:
        values = np.array([[rows[seed].row[name] for seed in SEEDS] for rows in (stacked, alone)], float)
        spread, scale = np.ptp(values[1]), max(1.0, np.abs(values).max())
        differences += list(np.abs(values[0] - values[1]) / max(0.1 * spread, 1e-3 * scale))
    assert not np.isnan(differences).any()
    assert np.mean(np.array(differences) <= 1) > 0.9 and max(differences) < 50


def test_a_member_that_diverges_is_told_so() -> None:
    fine, broken = (
        config(dissimilar_share=0.3),
        config(method="emargin-released", weight_decay=0.0, margin=1000.0),
    )
    found = outcomes([fine, broken])
    assert found[0].row["status"] == "ok" and found[0].evaluation is not None
    assert found[1].row["status"] == "diverged" and found[1].row["diverged_step"] == 1
    assert found[1].evaluation is None and "not finite" in found[1].row["error"]
