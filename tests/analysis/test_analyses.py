"""Each analysis on simulated studies with known answers: its numbers and sentences give those answers."""

from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pytest

import analysis
from analysis import (
    compare,
    embeddings,
    geometry,
    geometry_charts,
    grids,
    hypervolumes,
    importance,
    pareto,
    pareto_charts,
    robustness,
    semi,
    slices,
)
from analysis.errors import UserError
from analysis.sections import Figure, Section, show
from analysis.tables import Study
from tests.analysis import synthetic


def study_of(folder: Path, rows: pd.DataFrame) -> Study:
    return analysis.load(synthetic.write(folder, rows))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_of(tmp_path_factory.mktemp("runs") / "searched", synthetic.rows())


@pytest.fixture(scope="module")
def gridded(tmp_path_factory: pytest.TempPathFactory) -> Study:
    rows = synthetic.grid(gates=("intended", "all-similar", "random"))
    return study_of(tmp_path_factory.mktemp("runs") / "gridded", rows)


def test_pareto_front_of_planted_trials(tmp_path: Path) -> None:
    rows = synthetic.rows(trials=4, baseline_trials=0, references=True, diverged=0, failed=0, seeds=2)
    planted = {"emargin-0000": (0.9, 0.2), "emargin-0001": (0.6, 0.6), "emargin-0002": (0.5, 0.5)}
    planted["emargin-0003"] = (0.95, 0.9)  # the best of all, but one seed diverged
    for trial, values in planted.items():
        at = rows["trial"] == trial
        rows.loc[at, ["silhouette", "probe_balanced_accuracy"]] = values
    rows.loc[(rows["trial"] == "emargin-0003") & (rows["seed"] == 1), "status"] = "diverged"
    study = study_of(tmp_path / "a", rows)
    table = pareto.trade_off(study, *pareto.goals(study)).set_index("trial")
    assert set(table.index[table["on_front"]]) == {"emargin-0000", "emargin-0001"}
    assert not table.loc[["raw", "supervised"], "on_front"].any()
    found = pareto.section(study)
    assert "0.900" in found.verdicts[0] and any("lost replicates" in note for note in found.notes)


def test_whiskers_end_where_the_metric_does(tmp_path: Path) -> None:
    """A t interval of three unlike seeds would reach beyond 1; of two, none is given."""
    rows = synthetic.rows(trials=4, baseline_trials=0, diverged=0, failed=0, seeds=3)
    rows["silhouette"] = np.where(rows["seed"] == 0, -0.8, 0.98)
    study = study_of(tmp_path / "a", rows)
    x, y = pareto.goals(study)
    table = pareto.trade_off(study, x, y).assign(setting="")
    spec = pareto_charts.front_chart(study, table, x, y).to_dict()
    data = [row for rows in spec["datasets"].values() for row in rows]
    ends = [row[f"silhouette_{end}"] for row in data for end in ("low", "high") if row["silhouette_low"]]
    assert ends and min(ends) == -1 and max(ends) == 1
    few = study_of(tmp_path / "b", rows[rows["seed"] < 2])
    assert pareto.trade_off(few, x, y)["silhouette_high"].isna().all()


def test_goals_can_be_named_and_must_have_a_direction(searched: Study) -> None:
    x, y = pareto.goals(searched, "davies_bouldin", "knn_balanced_accuracy")
    table = pareto.trade_off(searched, x, y)
    assert table["on_front"].any()
    with pytest.raises(UserError, match="no better end"):
        pareto.goals(searched, "effective_rank")


def test_worlds_are_never_mixed_in_a_front(gridded: Study) -> None:
    table = pareto.trade_off(gridded, *pareto.goals(gridded))
    assert table["world"].nunique() == 3
    for _, part in table[table["role"] != "reference"].groupby("world"):
        assert part["on_joint_front"].any()
    assert set(table["gate"].dropna()) == {"intended"}  # controls are no settings to choose


def test_reference_point_is_the_worst_end_or_the_worst_seen(searched: Study) -> None:
    x, y = pareto.goals(searched, "silhouette", "davies_bouldin")
    table = pareto.trade_off(searched, x, y)
    assert hypervolumes.reference_point(table, x, y) == (-1, table["davies_bouldin"].max())
    sizes = hypervolumes.volumes(table, x, y)
    assert (sizes["at_equal_budget"] <= sizes["hypervolume"] + 1e-12).all()


def test_grid_is_found_with_its_gate_activity(gridded: Study) -> None:
    found = grids.grids(gridded)
    assert [grid.gate for grid in found] == ["intended", "all-similar", "random"]
    grid = found[0]
    assert grid.given == "threshold" and len(grid.at) == 7 and list(grid.snrs) == [0, 10, 20]
    assert all(curve.shape == (7, 5) for curve in grid.curves("silhouette"))
    assert grid.activity()[0][-1] == pytest.approx(synthetic.share_of(0.99))
    assert (np.array(found[1].activity()) == 0).all()


def test_share_grids_are_told_from_threshold_grids(tmp_path: Path) -> None:
    """The study says which was given; how many digits the other has does not matter."""
    rows = synthetic.grid(snrs=(0.0,))
    rows.loc[rows["gate_given_as"].notna(), "gate_given_as"] = "dissimilar_share"
    rows["dissimilar_share"] = rows["threshold"].map(lambda t: abs(t) if pd.notna(t) else None)
    rows["threshold"] = rows["threshold"] * 0.987654321
    (grid,) = grids.grids(study_of(tmp_path / "a", rows))
    assert grid.given == "dissimilar_share"


def test_robustness_verdicts_follow_the_plant(gridded: Study) -> None:
    found = robustness.section(gridded)
    assert found is not None
    words = {(row.gate, row.metric): row.verdict for row in found.figures[0].table.itertuples()}
    assert words["intended", "probe_balanced_accuracy"] == "sensitive"
    assert words["all-similar", "silhouette"] == "vacuous"
    assert "sensitive" in found.verdicts[0] and found.headlines == 2


def test_rank_correlations_follow_the_plant(gridded: Study) -> None:
    found = grids.grids(gridded)[:1]
    table = robustness.rank_correlations(found, gridded.metrics["probe_balanced_accuracy"])
    rho = table.set_index("relation")
    assert rho.loc["SNR", "low"] > 0.5 and rho.loc["threshold", "high"] < -0.3
    shared = robustness.common_curve(found, gridded.metrics["probe_balanced_accuracy"]).set_index("over")
    assert (
        shared.loc["dissimilar_share", "r2"] > shared.loc["threshold", "r2"]
    )  # the plant is linear in the share


def test_margin_is_a_twentieth_of_the_range_or_given(searched: Study) -> None:
    assert robustness.margin_of(searched.metrics["silhouette"]) == pytest.approx(0.1)
    with pytest.raises(UserError, match="no finite range"):
        robustness.margin_of(searched.metrics["davies_bouldin"])
    with pytest.raises(UserError, match="--margin is -1"):
        robustness.margin_of(searched.metrics["silhouette"], -1)


def test_split_seeds_are_the_units_where_there_are_three(tmp_path: Path) -> None:
    parts = []
    for split_seed in range(3):
        part = synthetic.grid(snrs=(None,), seeds=4, seed=split_seed, baseline=False)
        parts.append(part.assign(split_seed=split_seed, trial=part["trial"] + f"-s{split_seed}"))
    (grid,) = grids.grids(study_of(tmp_path / "a", pd.concat(parts)))
    assert grid.curves("silhouette")[0].shape == (7, 3)


def test_geometry_finds_the_planted_relation(searched: Study) -> None:
    table = geometry.measured(searched)
    r2 = geometry.fits(table).set_index(["score", "shape"])["r2"]
    assert r2["silhouette", "effective_rank"] > 0.6
    gaps = geometry.gaps(searched, table).set_index(["method", "quantity"])
    assert gaps.loc[("emargin", "MLP minus linear"), "mean"] == pytest.approx(0.03, abs=1e-6)
    rho = geometry.correlations(table).set_index(["method", "clustering", "probe"])
    assert rho.loc[("emargin", "silhouette", "probe_balanced_accuracy"), "high"] < 0


def test_reference_shapes_are_cut_into_as_many_clusters_as_the_trials(searched: Study) -> None:
    """None are shown where nobody knows how many."""
    table = geometry.measured(searched)
    rank, score = searched.metric("effective_rank"), searched.metric("silhouette")

    def shapes(clusters: int | None) -> list[dict]:
        made = geometry_charts.rank_chart(searched, table, rank, score, clusters).to_dict()
        return [row for data in made["datasets"].values() for row in data if "shape" in row]

    assert shapes(None) == []
    of_four = {row["shape"]: row["silhouette"] for row in shapes(4)}
    of_twelve = {row["shape"]: row["silhouette"] for row in shapes(12)}
    assert of_four.keys() == of_twelve.keys() and "spiral" in of_four
    assert of_four["Gaussian, 2 dimensions"] != of_twelve["Gaussian, 2 dimensions"]


def test_a_figure_of_fewer_panels_leaves_none_of_an_earlier_run(tmp_path: Path) -> None:
    chart, table = alt.Chart(pd.DataFrame({"a": [1]})).mark_point(), pd.DataFrame({"a": [1]})
    for panels in ("abc", "a"):
        figure = Figure("curve", "A curve", "", dict.fromkeys(panels, chart), table)
        show(Section("s", "S", "", figures=(figure,)), tmp_path, ["svg"])
    (tmp_path / "curve-of-the-user.svg").touch()
    show(Section("s", "S", "", figures=(figure,)), tmp_path, ["svg"])
    assert {p.name for p in tmp_path.iterdir()} == {"curve.svg", "curve.csv", "curve-of-the-user.svg"}


def test_slices_see_the_threshold(searched: Study) -> None:
    found = slices.section(searched)
    assert found is not None
    assert any(s.startswith("Silhouette rises with the threshold of eMargin") for s in found.verdicts)


def test_a_method_of_few_trials_has_no_line(tmp_path: Path) -> None:
    """A local mean of a handful of points is their noise; InfoNCE usually has half as many trials."""
    for n, few in (("many", slices.TREND_TRIALS - 1), ("few", slices.TREND_TRIALS)):
        rows = synthetic.rows(trials=slices.TREND_TRIALS, baseline_trials=few, diverged=0, failed=0)
        study = study_of(tmp_path / n, rows)
        found = slices.section(study)
        assert found is not None
        (figure,) = [one for one in found.figures if one.name == "settings-temperature"]
        for chart in figure.charts.values():
            *_, line = chart.to_dict()["layer"]
            filtered, trend = line["transform"]
            drawn = {"eMargin", "InfoNCE"} if few == slices.TREND_TRIALS else {"eMargin"}
            assert "loess" in trend and set(filtered["filter"]["oneOf"]) == drawn


def test_semi_gains_are_paired_and_signed(tmp_path: Path) -> None:
    study = study_of(tmp_path / "a", synthetic.semi())
    table = semi.differences(study, [study.metrics["probe_balanced_accuracy"]])
    own = table[(table["end"] == "emargin") & (table["label_share"] == 0.1)]
    assert (own["low"] > 0.1).all() and (own["p_holm"] < 0.01).all()
    assert (table[table["end"] == "supervised"]["high"] < 0).all()
    by_hand = []
    for seed in range(5):
        at = study.rows[study.rows["seed"] == seed].set_index("trial")["probe_balanced_accuracy"]
        by_hand.append(at["semi-0.1-1.0"] - at["emargin"])
    row = own[own["trial"] == "semi-0.1-1.0"].iloc[0]
    assert row["difference"] == pytest.approx(np.mean(by_hand))


def test_semi_keeps_datasets_apart(tmp_path: Path) -> None:
    """Two studies, one of which gains more: sentences and panels are of one dataset each."""
    first, second = (synthetic.semi(shares=(0.1,), seed=i) for i in range(2))
    second = second.assign(dataset="ecg-sim")
    second.loc[second["method"] == "emargin-semi", "probe_balanced_accuracy"] += 0.3
    both = analysis.join([study_of(tmp_path / str(i), rows) for i, rows in enumerate((first, second))])
    found = semi.section(both)
    assert found is not None
    against = [text for text in found.verdicts if text.startswith("Against eMargin ")]
    assert ["on sleepeeg-sim" in text for text in against] == [True, False]
    assert ["on ecg-sim" in text for text in against] == [False, True]
    gain, ends = found.figures
    assert len(gain.charts) == 2 * 2 and list(ends.charts) == ["sleepeeg-sim", "ecg-sim"]
    for chart in ends.charts.values():
        (data,) = chart.to_dict()["datasets"].values()
        assert sum(row["method"] == "eMargin, semi-supervised" for row in data) == 3


def test_importance_finds_the_only_setting_that_matters(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    rows = synthetic.rows(trials=60, baseline_trials=0, seeds=1, diverged=0, failed=0, references=False)
    rows["silhouette"] = np.log(rows["margin"].astype(float)) / 5
    found = importance.section(study_of(tmp_path / "a", rows))
    assert found is not None
    table = found.figures[0].table
    own = table[table["metric"] == "silhouette"].set_index("setting")
    assert own["importance"].idxmax() == "margin" and own.loc["margin", "low"] > 0.5
    assert own["importance"].sum() == pytest.approx(1, abs=0.01)
    assert any(
        "margin" in note and "high end" in note for note in found.notes
    )  # monotone: the best is at the edge


def test_embeddings_are_drawn_side_by_side(tmp_path: Path) -> None:
    study = study_of(tmp_path / "a", synthetic.rows(trials=4, baseline_trials=2, diverged=0, failed=0))
    assert embeddings.section(study) is None
    for trial, rank in (("emargin-0000", 1), ("infonce-0001", 40)):
        synthetic.write_embeddings(study.folder, trial, 0, n=120, rank=rank)
    found = embeddings.section(study)
    assert found is not None and len(found.figures[0].charts) == 2
    titles = list(found.figures[0].charts)
    assert any("effective rank 1" in title for title in titles)
    (drawn,) = found.figures[0].charts[titles[0]].to_dict()["datasets"].values()
    assert {row["class"] for row in drawn} == {"wake", "N1", "N2", "N3", "REM"}
    again = embeddings.section(study)
    assert again is not None
    pd.testing.assert_frame_equal(found.figures[0].table, again.figures[0].table)  # seeds are fixed
    with pytest.raises(UserError, match="were not kept"):
        embeddings.section(study, ["emargin-0009"])
    (study.folder / "embeddings" / "emargin-0000-0-0.arrow").write_bytes(b"not arrow")
    with pytest.raises(UserError, match="not a table of embeddings"):
        embeddings.section(study)


def test_compare_pairs_the_same_settings_of_two_studies(tmp_path: Path) -> None:
    rows = synthetic.rows(trials=3, baseline_trials=1, diverged=0, failed=0)
    better = rows.assign(silhouette=rows["silhouette"].astype(float) + 0.1)
    a, b = study_of(tmp_path / "a", better), study_of(tmp_path / "b", rows)
    gap, won = compare.overall(compare.shared_settings(a, b, "silhouette"), a.metrics["silhouette"])
    assert gap.estimate == pytest.approx(0.1) and gap.n == 3 and won.estimate == 1
    assert won.low == pytest.approx(0.025 ** (1 / 3))  # three wins of three prove little
    other = synthetic.rows(seed=9, references=False)
    with pytest.raises(UserError, match="share no trained setting"):
        compare.shared_settings(a, study_of(tmp_path / "c", other), "silhouette")
    with pytest.raises(UserError, match="did you mean 'infonce'"):
        compare.compared(a, arms=("emargin", "infonc"))


def test_compare_takes_two_methods_of_studies_run_apart(tmp_path: Path) -> None:
    """The best setting of each at each noise level; fixed encoders are no evidence."""
    rows = synthetic.grid(seeds=3, snrs=(0.0, 10.0))
    ours, theirs = rows["method"] == "emargin", rows["method"].isin(["infonce", "raw"])
    a, b = study_of(tmp_path / "a", rows[ours]), study_of(tmp_path / "b", rows[theirs])
    with pytest.raises(UserError, match="share no trained setting"):
        compare.compared(a, b)
    found = compare.compared(a, b, arms=("emargin", "infonce"), metric="silhouette")
    table = found.figures[0].table.set_index("compared")
    assert list(table.index) == ["sleepeeg-sim, 0 dB", "sleepeeg-sim, 10 dB"]
    for snr in (0.0, 10.0):
        of = rows[rows["snr_db"] == snr].groupby(["method", "trial"])["silhouette"].mean()
        best = of["emargin"].max() - of["infonce"].max()
        assert table.loc[f"sleepeeg-sim, {snr:g} dB", "difference"] == pytest.approx(best)


def test_each_program_writes_its_charts(searched: Study, capsys: pytest.CaptureFixture[str]) -> None:
    pareto.main([str(searched.folder), "--x", "davies_bouldin", "--formats", "svg,pdf"])
    compare.main(
        [str(searched.folder), "--arms", "emargin,infonce", "--metric", "silhouette", "--formats", "svg"]
    )
    said = capsys.readouterr().out
    assert "front" in said and "emargin minus infonce" in said
    report = searched.folder / "report"
    assert (report / "pareto.pdf").read_bytes().startswith(b"%PDF") and (report / "compare.svg").exists()


def test_what_is_said_of_a_best_value_near_the_end_depends_on_what_was_tried_beyond(tmp_path: Path) -> None:
    """At the very end, nothing beyond was tried; close to it, something was, and it was worse."""
    study = study_of(tmp_path, synthetic.rows(trials=10, baseline_trials=2, seeds=1, diverged=0, failed=0))
    row = {
        "world": "sleep",
        "method": "emargin",
        "metric": "silhouette",
        "setting": "threshold",
        "end": "high",
    }
    at_end, near = (
        importance.edge_notes(pd.DataFrame([row | {"value": 0.765, "last": last}]), study)[0]
        for last in (0.765, 0.781)
    )
    assert "at threshold 0.765, the high end of what was tried: values beyond it may be better" in at_end
    assert "at threshold 0.765, close to the high end of what was tried (0.781): a wider range" in near
