"""Split seeds count as independent; training seeds within a split are averaged."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis import compare, geometry, health, pareto, replicates, robustness, robustness_charts, semi
from analysis.grids import grids
from analysis.statistics import mean_interval
from analysis.summary import lead
from analysis.tables import Study, per_trial
from tests.analysis import synthetic

SPLITS, SEEDS = 4, 3


def over_splits(rows: pd.DataFrame, spread: float = 0.1) -> pd.DataFrame:
    """The same trials on several splits, each with an offset of its own that its seeds share."""
    rng = np.random.default_rng(5)
    parts = []
    for split in range(SPLITS):
        part = rows.assign(split_seed=split)
        noise = spread * rng.normal() + 0.005 * rng.normal(size=len(part))
        for name in ("silhouette", "probe_balanced_accuracy", "mlp_balanced_accuracy"):
            part[name] = part[name].astype(float) + noise
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    rows = synthetic.rows(trials=8, baseline_trials=3, seeds=SEEDS, diverged=0, failed=0)
    return analysis.load(synthetic.write(tmp_path_factory.mktemp("runs") / "a", over_splits(rows)))


def test_a_trial_is_one_setting_with_its_splits_as_units(study: Study) -> None:
    table = per_trial(study, ["silhouette"]).set_index("trial")
    row = table.loc["emargin-0000"]
    assert (row["replicates"], row["ok"], row["units"]) == (SPLITS * SEEDS, SPLITS * SEEDS, SPLITS)
    own = study.rows[study.rows["trial"] == "emargin-0000"]
    nested = mean_interval(own.groupby("split_seed")["silhouette"].mean())
    assert row["silhouette_low"] == pytest.approx(nested.low)
    assert row["silhouette_high"] == pytest.approx(nested.high)
    pooled = mean_interval(own["silhouette"])
    assert nested.high - nested.low > 1.5 * (pooled.high - pooled.low)
    assert "split_seed" not in table


def test_fixed_encoders_count_their_splits(study: Study) -> None:
    """PCA has one seed, but as many splits as the rest."""
    assert per_trial(study, ["silhouette"]).set_index("trial").loc["pca", "units"] == SPLITS


def test_pairs_cancel_what_a_split_shares(study: Study) -> None:
    """The offset of a split is in both methods, so their difference is far less uncertain than either."""
    found = compare.compared(study, arms=("emargin", "infonce"), metric="silhouette")
    row = found.figures[0].table.iloc[0]
    assert row["units"] == SPLITS and row["high"] - row["low"] < 0.1
    assert f"over {SPLITS} splits" in found.verdicts[0]


def test_differences_are_of_common_replicates_only() -> None:
    index = pd.MultiIndex.from_product([[0, 1], [0, 1]], names=["split_seed", "seed"])
    a = pd.Series([1.0, 2.0, 3.0, np.nan], index)
    b = pd.Series([0.0, 0.0, 1.0, 1.0], index)
    assert replicates.differences(a, b).to_dict() == {0: 1.5, 1: 2.0}
    one = index[:2]
    assert replicates.differences(a[one], b[one]).to_dict() == {0: 1.0, 1: 2.0}  # one split: seeds


def test_grids_verdicts_gaps_and_labels_use_splits(tmp_path: Path) -> None:
    rows = over_splits(synthetic.grid(snrs=(0.0, 10.0), seeds=2, baseline=False))
    gridded = analysis.load(synthetic.write(tmp_path / "grid", rows))
    (grid,) = grids(gridded)
    assert grid.curves("silhouette")[0].shape == (7, SPLITS)
    cells = robustness_charts.cell_table([grid], [gridded.metric("silhouette")])
    assert (cells["n"] == SPLITS).all()
    judged = robustness.verdicts([grid], gridded.metric("silhouette"), 0.1).iloc[0]
    assert judged["unit"] == "split" and judged["units"] == SPLITS
    gap = geometry.gaps(gridded, geometry.measured(gridded))
    assert (gap["units"] == SPLITS).all()
    labels = over_splits(synthetic.semi(shares=(0.1,), seeds=2))
    labelled = analysis.load(synthetic.write(tmp_path / "semi", labels))
    table = semi.differences(labelled, [labelled.metric("silhouette")])
    assert set(table["units"]) == {SPLITS}


def test_the_report_says_what_repeats(study: Study, tmp_path: Path) -> None:
    assert f"{SPLITS} splits of the subjects with {SEEDS} seeds each" in lead(study)
    assert any(f"At most {SPLITS} splits per trial" in text for text in health.cautions(study))
    spread = next(text for text in health.cautions(study) if text.startswith("Silhouette varies by"))
    between, within = (float(number) for number in re.findall(r"by (0\.\d+)", spread))
    assert between > 0.05 > within > 0
    rows = synthetic.rows(trials=2, baseline_trials=1, seeds=2, diverged=0, failed=0)
    single = analysis.load(synthetic.write(tmp_path / "b", rows))
    assert "each trained with 2 seeds" in lead(single)
    assert "sequence" not in lead(single)
    assert health.spreads(single) == []


def test_no_interval_below_three_units_and_none_beyond_the_range(tmp_path: Path) -> None:
    rows = synthetic.rows(trials=4, baseline_trials=0, seeds=3, diverged=0, failed=0)
    rows["largest_cluster_share"] = np.where(rows["seed"] == 0, 0.5, 0.99)
    study = analysis.load(synthetic.write(tmp_path / "a", rows))
    own = per_trial(study, ["largest_cluster_share"]).set_index("trial").loc["emargin-0000"]
    assert own["largest_cluster_share_high"] == 1 and own["largest_cluster_share_low"] >= 0
    two = study.with_rows(study.rows[study.rows["seed"] < 2])
    assert per_trial(two, ["largest_cluster_share"])["largest_cluster_share_high"].isna().all()


def test_equal_values_are_told_apart_by_the_other_goal(tmp_path: Path) -> None:
    rows = synthetic.rows(trials=4, baseline_trials=0, seeds=1, diverged=0, failed=0)
    rows["silhouette"] = 0.5
    study = analysis.load(synthetic.write(tmp_path / "a", rows))
    x, y = pareto.goals(study)
    table = pareto.trade_off(study, x, y)
    arm = table[table["method"] == "emargin"]
    assert arm.loc[pareto.best_of(arm, x, y), y.name] == arm[y.name].max()


def test_rows_of_a_tree_with_changes_are_named(tmp_path: Path) -> None:
    rows = synthetic.rows(trials=2, baseline_trials=1, seeds=1, diverged=0, failed=0)
    clean = analysis.load(synthetic.write(tmp_path / "a", rows))
    assert health.dirty_revisions(clean) == []
    rows.loc[:1, "git_revision"] = "9fe99bf55e6d+"
    (said,) = health.dirty_revisions(analysis.load(synthetic.write(tmp_path / "b", rows)))
    assert said.startswith(f"2 of {len(rows)} rows") and "(9fe99bf+)" in said


def test_the_lead_names_the_methods_that_see_a_sequence(study: Study) -> None:
    context = study.rows["method"].map({"emargin": "sequence"}).fillna("frame")
    some = study.with_rows(study.rows.assign(encoder_context=context))
    assert "The encoder of eMargin sees a frame with its sequence; all others see one frame" in lead(some)
    context[context.index[context == "sequence"][0]] = "frame"
    mixed = study.with_rows(study.rows.assign(encoder_context=context))
    assert "The encoder of eMargin sees a frame with its sequence in some trials; all others" in lead(mixed)
