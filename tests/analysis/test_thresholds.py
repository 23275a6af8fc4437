"""The best threshold and its regret, on curves with known answers."""

import numpy as np
import pandas as pd
import pytest

from analysis import thresholds
from analysis.tables import load
from analysis.thresholds import Curve, judge
from tests.analysis import synthetic

AT = np.array([0.2, 0.4, 0.6, 0.8])


def curve(means, *, spread=0.0, validation=None, splits=10):
    noise = np.random.default_rng(0).normal(0, spread, (2, len(means), splits)) if spread else 0
    test = np.array(means)[:, None] + np.zeros(splits)
    chosen = np.array(validation if validation is not None else means)[:, None] + np.zeros(splits)
    return Curve(AT[: len(means)], chosen + (noise[0] if spread else 0), test + (noise[1] if spread else 0))


def test_a_planted_best_is_shown_and_costs_nothing_where_validation_agrees():
    found = judge(curve([0.5, 0.5, 0.7, 0.6], spread=0.01), higher_is_better=True, fixed=0.4)
    assert found["best_at"] == 0.6 and found["shown"] and found["regret_chosen"] == 0
    assert found["regret_fixed"] == pytest.approx(0.2, abs=0.02) and found["regret_fixed_low"] > 0.15


def test_regret_of_choosing_is_what_a_misled_validation_costs():
    found = judge(curve([0.5, 0.6, 0.7, 0.6], validation=[0.9, 0.1, 0.1, 0.1]), higher_is_better=True)
    assert found["regret_chosen"] == pytest.approx(0.2) and np.isnan(found["regret_fixed"])


def test_where_low_is_good_the_lowest_is_best():
    found = judge(curve([1.5, 0.8, 1.1, 1.2], spread=0.02), higher_is_better=False, fixed=0.2)
    assert found["best_at"] == 0.4 and found["best"] < found["worst"] and found["regret_fixed"] > 0.6


def test_thresholds_that_train_alike_are_one_and_none_is_best():
    found = judge(curve([0.5, 0.5, 0.5, 0.5]), higher_is_better=True)
    assert found["distinct"] == 1 and not found["shown"] and found["equal"] == "0.2, 0.4, 0.6, 0.8"


def test_chance_rarely_shows_a_best():
    rng = np.random.default_rng(1)
    found = [
        judge(Curve(AT, rng.normal(size=(4, 10)), rng.normal(size=(4, 10))), higher_is_better=True)["shown"]
        for _ in range(200)
    ]
    assert np.mean(found) < 0.05


def test_table_reads_the_rows_in_which_the_threshold_was_set(tmp_path):
    rows = []
    for at in (0.2, 0.4, 0.6):
        for split in range(4):
            values = synthetic.setting("emargin", threshold=at, dissimilar_share=at / 2)
            row = synthetic.WHO | {"trial": f"t{at}", "seed": 0, "status": "ok"} | values
            row |= dict.fromkeys(synthetic.METRICS, 0.5) | {"split_seed": split, "gate_given_as": "threshold"}
            row |= {"silhouette": at, "test_silhouette": at + 0.01 * split}
            rows.append(row)
    share = dict(rows[0]) | {"trial": "s", "gate_given_as": "dissimilar_share", "threshold": 0.9}
    study = load(synthetic.write(tmp_path / "a", pd.DataFrame([*rows, share])))
    found = thresholds.table(study, [study.metric("silhouette")], "threshold", fixed=0.4).iloc[0]
    assert (found["values"], found["best_at"], found["splits"]) == (3, 0.6, 4)
    assert found["regret_chosen"] == 0 and found["regret_fixed"] == pytest.approx(0.2)
    assert thresholds.table(study, [study.metric("silhouette")], "dissimilar_share").empty
