"""Planned contrasts: planted differences are found, and every planned contrast is reported."""

import dataclasses

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis import contrasts, power
from analysis.contrasts import POOLED
from analysis.errors import UserError
from analysis.pooled import effects, random_effects
from analysis.statistics import LEAST_ERROR
from analysis.tables import load
from tests.analysis import synthetic

PLAN = """
[margins]
test_silhouette = 0.1
test_probe_balanced_accuracy = 0.05

[[contrasts]]
name = "labels"
question = "Q1"
hypothesis = "Labels help."
metrics = ["test_silhouette", "test_probe_balanced_accuracy"]
a = { method = "emargin-semi" }
b = { method = "emargin" }
"""


def study(tmp_path, effects, *, splits=10, spread=0.02, levels=(None,), seed=0):
    """Two methods on datasets; effects: dataset -> (Silhouette, accuracy) of a less b."""
    rng = np.random.default_rng(seed)
    rows = []
    for dataset, (silhouette, accuracy) in effects.items():
        for level in levels:
            for split in range(splits):
                subjects = rng.normal(0, 0.2)  # what a split does to both sides
                for method in ("emargin", "emargin-semi"):
                    share = {"label_share": 0.1} if method == "emargin-semi" else {}
                    trial = f"{dataset}-{method}-{level}"
                    values = synthetic.setting(
                        method, dataset=dataset, threshold=0.5, dissimilar_share=0.5, snr_db=level, **share
                    )
                    for repeat in range(2):
                        own = method == "emargin-semi"
                        noise = rng.normal(0, spread, 2) if own else np.zeros(2)
                        rows.append(
                            synthetic.WHO
                            | {"trial": trial, "seed": repeat, "split_seed": split, "status": "ok"}
                            | values
                            | dict.fromkeys(synthetic.METRICS, 0.5)
                            | {"test_silhouette": 0.3 + subjects + own * silhouette + noise[0]}
                            | {"test_probe_balanced_accuracy": 0.5 + subjects + own * accuracy + noise[1]}
                        )
    return load(synthetic.write(tmp_path / "planted", pd.DataFrame(rows)))


def plan(tmp_path, text=PLAN):
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return contrasts.read(path)


def test_planted_differences_get_their_verdicts(tmp_path):
    effects = {"a": (0.3, 0.0), "b": (0.25, 0.005), "c": (-0.2, -0.2)}
    found = contrasts.table(study(tmp_path, effects), plan(tmp_path))
    assert len(found) == 2 * 4  # two metrics; three datasets and all together
    of = found.set_index(["metric", "dataset"])
    verdicts = of["verdict"].to_dict()
    assert [verdicts["test_silhouette", d] for d in "abc"] == ["higher", "higher", "lower"]
    assert [verdicts["test_probe_balanced_accuracy", d] for d in "abc"] == [
        "equivalent",
        "equivalent",
        "lower",
    ]
    assert verdicts["test_silhouette", POOLED] == "undecided"  # +0.3, +0.25 and -0.2
    assert contrasts.decided(found) == (6, 6)
    assert (found["splits"] == np.where(found["dataset"] == POOLED, 3, 10)).all()


def test_numbers_equal_plain_scipy(tmp_path):
    """One contrast recomputed with pandas and SciPy alone: means over seeds, differences by split, t test."""
    read = study(tmp_path, {"a": (0.05, 0.0), "b": (0.0, 0.0)})
    found = contrasts.table(read, plan(tmp_path))
    raw = pd.read_parquet(read.folder / "results.parquet")
    p = []
    for dataset in "ab":
        own = raw[raw["dataset"] == dataset]
        means = own.pivot_table(index="split_seed", columns="method", values="test_silhouette")
        gap = means["emargin-semi"] - means["emargin"]
        test = stats.ttest_1samp(gap, 0)
        row = found[(found["metric"] == "test_silhouette") & (found["dataset"] == dataset)].iloc[0]
        assert row["difference"] == pytest.approx(gap.mean())
        assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval()))
        assert row["p"] == pytest.approx(test.pvalue)
        p.append(test.pvalue)
    smaller, larger = sorted(p)
    adjusted = found[(found["metric"] == "test_silhouette") & (found["dataset"] != POOLED)]["p_holm"]
    assert sorted(adjusted) == pytest.approx([2 * smaller, max(2 * smaller, larger)])


def test_levels_are_compared_at_equal_noise_and_then_averaged(tmp_path):
    read = study(tmp_path, {"a": (0.3, 0.0)}, levels=(0.0, 10.0))
    within = PLAN + 'within = ["snr_db"]\n'
    found = contrasts.table(read, plan(tmp_path, within))
    assert found.iloc[0]["difference"] == pytest.approx(0.3, abs=0.05) and found.iloc[0]["splits"] == 10
    with pytest.raises(UserError, match=r"side a is more than one setting on a; they differ in snr_db"):
        contrasts.table(read, plan(tmp_path))


def test_a_side_that_no_row_meets_is_named(tmp_path):
    read = study(tmp_path, {"a": (0.3, 0.0)})
    missing = PLAN.replace('b = { method = "emargin" }', 'b = { method = "infonce" }')
    with pytest.raises(UserError, match="no row meets the condition"):
        contrasts.table(read, plan(tmp_path, missing))


@pytest.mark.parametrize(
    "change, message",
    [
        (('name = "labels"\n', ""), "contrast number 1 has no name"),
        (("metrics = ", "metric = "), "has 'metric': did you mean 'metrics'"),
        (("test_silhouette = 0.1", ""), r"\[margins\] has no number above 0 for test_silhouette"),
        (("[margins]", "[margin]"), "has 'margin': did you mean 'margins'"),
        (("[[contrasts]]", "[[contrast]]"), "did you mean 'contrasts'"),
        ((PLAN, PLAN + PLAN.split("\n\n", 1)[1]), "two contrasts are named labels"),
        ((PLAN, "level = 0.05"), r"has no \[\[contrasts\]\]"),
        ((PLAN, "level ="), "is not TOML"),
    ],
)
def test_faults_of_a_plan_are_named(tmp_path, change, message):
    assert change[0] in PLAN
    with pytest.raises(UserError, match=message):
        plan(tmp_path, PLAN.replace(*change))


def test_program_prints_every_contrast(tmp_path, capsys):
    read = study(tmp_path, {"a": (0.3, 0.0), "b": (0.3, 0.0)})
    plan(tmp_path)
    contrasts.main([str(tmp_path / "plan.toml"), str(read.folder)])
    out = capsys.readouterr().out
    assert "**labels.** Labels help." in out and "4 of 4 verdicts on single datasets are decided." in out
    power.main([str(tmp_path / "plan.toml"), str(read.folder), "--splits", "5,10"])
    assert capsys.readouterr().out.count("| Q1 | labels |") == 4
    with pytest.raises(UserError, match="--splits has 2"):
        power.main([str(tmp_path / "plan.toml"), str(read.folder), "--splits", "2"])


def test_overlapping_splits_make_a_difference_less_sure():
    gap = np.random.default_rng(0).normal(0.05, 0.05, 10)
    t = gap.mean() / (gap.std(ddof=1) * np.sqrt(1 / 10 + 1 / 3))
    p, inside = contrasts.overlap_p(gap, 0.1)
    assert p == pytest.approx(2 * stats.t.sf(abs(t), 9)) and p > stats.ttest_1samp(gap, 0).pvalue
    error = abs(gap.mean() / t)
    assert inside == pytest.approx(stats.t.sf((0.1 - abs(gap.mean())) / error, 9))
    assert contrasts.overlap_p(np.zeros(5), 0.1)[0] == 1
    assert contrasts.overlap_p(np.full(5, 0.1), 0.05)[0] == pytest.approx(0, abs=1e-9)


def test_a_share_that_was_set_is_one_setting_whatever_was_counted(tmp_path):
    """At each noise level the share 0.5 gives another cosine, and is recorded as 0.50003."""
    folder = study(tmp_path, {"a": (0.3, 0.0)}, levels=(0.0, 10.0)).folder
    raw = pq.read_table(folder / "results.parquet")
    rows = raw.to_pandas()
    own = rows["method"] == "emargin"
    rows.loc[own, "gate_given_as"] = "dissimilar_share"
    rows.loc[own, "threshold"] = 0.9 + 0.001 * rows["snr_db"] + 0.01 * rows["split_seed"]
    rows.loc[own, "dissimilar_share"] = 0.50003 - 0.00001 * rows["snr_db"]
    pq.write_table(pa.Table.from_pandas(rows, raw.schema, preserve_index=False), folder / "results.parquet")
    text = PLAN.replace('b = { method = "emargin" }', 'b = { method = "emargin", dissimilar_share = 0.5 }')
    found = contrasts.table(load(folder), plan(tmp_path, text + 'within = ["snr_db"]\n'))
    assert found.iloc[0]["splits"] == 10 and found.iloc[0]["verdict"] == "higher"


def test_contrasts_without_rows_are_left_out_until_they_come(tmp_path):
    read = study(tmp_path, {"a": (0.3, 0.0)})
    later = PLAN.split("[[contrasts]]")[1].replace('"labels"', '"later"').replace('"emargin" }', '"cpc" }')
    planned = plan(tmp_path, f"{PLAN}[[contrasts]]{later}")
    there = contrasts.with_rows(read, planned)
    assert [contrast.name for contrast in there.contrasts] == ["labels"]
    said = contrasts.text(contrasts.table(read, there), planned)
    assert f"**later.** Labels help.\n\n{contrasts.NO_ROWS}" in said


def test_simulated_datasets_are_left_out_of_a_second_mean(tmp_path):
    """The simulated one alone makes the mean over all datasets."""
    read = study(tmp_path, {"a": (0.01, 0.0), "b": (-0.01, 0.0), "c-sim": (0.3, 0.0)})
    found = contrasts.table(read, plan(tmp_path)).set_index(["metric", "dataset"])
    silhouette = found.loc["test_silhouette"]
    assert list(silhouette.index) == ["a", "b", "c-sim", POOLED, contrasts.REAL]
    assert silhouette.loc[POOLED, "difference"] == pytest.approx(0.1, abs=0.03)
    assert silhouette.loc[contrasts.REAL, "difference"] == pytest.approx(0.0, abs=0.02)
    assert silhouette.loc[contrasts.REAL, "splits"] == 2
    assert contrasts.decided(found.reset_index())[1] == 6  # three datasets and two metrics
    text = contrasts.text(contrasts.table(read, plan(tmp_path)), plan(tmp_path))
    assert "| 3 sets |" in text and "| 2 sets |" in text
    table = contrasts.table(study(tmp_path / "real", {"a": (0, 0), "b": (0, 0)}), plan(tmp_path))
    assert contrasts.REAL not in set(table["dataset"])


def rewritten(read, change):
    """The study with its rows changed."""
    raw = pq.read_table(read.folder / "results.parquet")
    rows = change(raw.to_pandas())
    table = pa.Table.from_pandas(rows, raw.schema, preserve_index=False)
    pq.write_table(table, read.folder / "results.parquet")
    return load(read.folder)


def test_trainings_that_diverged_leave_no_verdict(tmp_path):
    """The five worst splits of one side diverge: the others show a difference where there is none."""
    read = study(tmp_path, {"a": (0.0, 0.0), "b": (0.3, 0.0), "c": (0.3, 0.0)}, spread=0.2)

    def diverge(rows):
        own = rows["method"].eq("emargin-semi") & rows["dataset"].eq("a")
        gap = rows[own].groupby("split_seed")["test_silhouette"].mean()
        other = rows[rows["method"].eq("emargin") & rows["dataset"].eq("a")]
        worst = (gap - other.groupby("split_seed")["test_silhouette"].mean()).nsmallest(5).index
        rows.loc[own & rows["split_seed"].isin(worst), "status"] = "diverged"
        return rows

    found = contrasts.table(rewritten(read, diverge), plan(tmp_path)).set_index(["metric", "dataset"])
    row = found.loc["test_silhouette", "a"]
    assert row["difference"] > 0.05 and (row["verdict"], row["lost"]) == (contrasts.LOST, 10)
    assert found.loc[("test_silhouette", POOLED), "splits"] == 2  # without it
    assert contrasts.decided(found.reset_index())[0] <= 4
    assert "| lost |" in contrasts.text(found.reset_index(), plan(tmp_path))


def test_only_levels_that_all_datasets_have_are_averaged(tmp_path):
    """A level that one dataset alone has, as while studies run, would make the datasets incomparable."""
    read = study(tmp_path, {"a": (0.1, 0.0), "b": (0.1, 0.0)}, levels=(None, 0.0, 10.0))

    def fewer(rows):
        only_a = rows["snr_db"].eq(10) & rows["dataset"].eq("a") & rows["method"].eq("emargin-semi")
        rows.loc[only_a, "test_silhouette"] += 3
        return rows[~(rows["snr_db"].eq(10) & rows["dataset"].eq("b"))]

    within = plan(tmp_path, PLAN + 'within = ["snr_db"]\n')
    read = rewritten(read, fewer)
    found = contrasts.table(read, within).set_index(["metric", "dataset"])
    for dataset in "ab":  # recordings without noise have a level too
        assert found.loc[("test_silhouette", dataset), "difference"] == pytest.approx(0.1, abs=0.05)
    (contrast,) = within.contrasts
    assert contrasts.levels(contrasts.sides(read, contrast), contrast) == {(contrasts.NO_VALUE,), (0.0,)}


def test_two_encoder_variants_are_not_one_setting(tmp_path):
    read = study(tmp_path, {"a": (0.3, 0.0)})

    def two(rows):
        rows.loc[rows["method"].eq("emargin-semi") & rows["split_seed"].gt(4), "encoder_variant"] = "released"
        rows.loc[rows["method"].eq("emargin-semi") & rows["split_seed"].gt(4), "trial"] = "other"
        return rows

    with pytest.raises(UserError, match="they differ in encoder_variant"):
        contrasts.table(rewritten(read, two), plan(tmp_path))


def test_splits_of_an_archive_share_their_test_series(tmp_path):
    found = contrasts.table(study(tmp_path, {"ucr:X": (0.3, 0.0), "y": (0.3, 0.0)}), plan(tmp_path))
    of = found.set_index(["metric", "dataset"])["p_overlap"]
    assert np.isnan(of["test_silhouette", "ucr:X"]) and of["test_silhouette", "y"] < 0.05


def test_as_many_splits_as_are_needed_show_equivalence():
    """Simulated: at no difference, both one-sided tests have to reject."""
    rng = np.random.default_rng(5)
    for difference in (0.0, 0.02):
        n = contrasts.splits_needed(difference, 0.06, 0.05, 0.05)
        gaps = rng.normal(difference, 0.06, (4000, n))
        inside = [
            stats.ttest_1samp(gaps, side * 0.05, axis=1, alternative=way).pvalue < 0.05
            for side, way in ((-1, "greater"), (1, "less"))
        ]
        rate = (inside[0] & inside[1]).mean()
        shown = (stats.ttest_1samp(gaps, 0, axis=1).pvalue < 0.05).mean()
        assert 0.78 < max(rate, shown) < 0.9


# The pooled estimate.


def test_one_dataset_without_any_spread_does_not_decide():
    """Trainings that are equal on one dataset have an error of nothing; the others still count."""
    x, alone, two = np.array([0, 0.2, 0.25, 0.3]), [0, 0.01, 0.01, 0.01], [0, 0, 0.01, 0.01]
    found = random_effects(x, np.array(alone), 0.1)
    assert found.estimate == pytest.approx(0.187, abs=0.001) and found.low < 0 < found.high
    found = random_effects(np.array([0, 0, 0.2, 0.25]), np.array(two), 0.1)
    assert found.estimate == pytest.approx(0.112, abs=0.001) and found.p_equivalent > 0.05


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.01, 1)), min_size=2, max_size=8))
@settings(max_examples=100, deadline=None)
def test_the_variance_between_datasets_solves_its_equation(sets):
    x, error = map(np.array, zip(*sets, strict=True))
    found = random_effects(x, error)
    for between2, least in ((found.between**2, -1e-6), (0.0, None)):
        w = 1 / (error**2 + between2)
        q = (w * (x - np.average(x, weights=w)) ** 2).sum()
        if least is None:
            assert (q <= len(x) - 1 + 1e-9) or found.between > 0
        elif found.between > 0:
            assert q == pytest.approx(len(x) - 1, rel=1e-6)


def test_pooled_estimate_of_a_worked_example():
    """By hand: equal errors give equal weights; 0, 2 and 4 spread more than their errors of 1.

    The weighted sum of squares 8 / (1 + between^2) is 2 where between^2 is 3.
    """
    found = random_effects(np.array([0.0, 2.0, 4.0]), np.ones(3), margin=10)
    assert found.estimate == pytest.approx(2)
    assert found.between**2 == pytest.approx(3)
    assert found.i2 == pytest.approx(0.75)
    error = np.sqrt(4 / 3)  # Hartung-Knapp's factor is exactly 1 here
    assert found.high - found.estimate == pytest.approx(stats.t.ppf(0.975, 2) * error)
    assert found.p == pytest.approx(2 * stats.t.sf(2 / error, 2))
    assert found.p_equivalent == pytest.approx(stats.t.sf(8 / error, 2))


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0.01, 1)), min_size=2, max_size=8),
    st.floats(-5, 5),
    st.floats(0.1, 10),
)
@settings(max_examples=100, deadline=None)
def test_pooled_estimate_moves_and_scales_with_its_data(sets, shift, scale):
    x, error = map(np.array, zip(*sets, strict=True))
    one, moved = random_effects(x, error), random_effects(scale * x + shift, scale * error)
    assert moved.estimate == pytest.approx(scale * one.estimate + shift, abs=1e-6)
    assert moved.high - moved.low == pytest.approx(scale * (one.high - one.low), rel=1e-5, abs=1e-9)
    assert x.min() - 1e-9 <= one.estimate <= x.max() + 1e-9 and one.low < one.estimate < one.high


def test_pooled_interval_covers_the_true_mean():
    """Six datasets with a true spread: 95 % intervals hold the mean effect in 93 to 99 of 100 cases."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(1500):
        true = 0.3 + 0.1 * rng.standard_normal(6)
        gaps = true[:, None] + 0.1 * rng.standard_normal((6, 10))
        found = random_effects(gaps.mean(1), gaps.std(1, ddof=1) / np.sqrt(10))
        held.append(found.low <= 0.3 <= found.high)
    assert 0.93 <= np.mean(held) <= 0.99


def test_pooled_estimate_of_too_few():
    assert np.isnan(random_effects(np.array([]), np.array([])).estimate)
    alone = random_effects(np.array([0.4, np.nan]), np.array([0.1, 0.1]))
    assert alone.estimate == 0.4 and np.isnan(alone.low) and alone.n == 1
    equal = random_effects(np.array([0.4, 0.4]), np.zeros(2))
    assert equal.estimate == pytest.approx(0.4) and equal.high - equal.low < 1e3 * LEAST_ERROR


def test_effects_of_many_at_once_are_those_of_each():
    rng = np.random.default_rng(0)
    x, error = rng.normal(size=(20, 5)), rng.uniform(0.1, 1, (20, 5))
    mean, spread, between, i2 = effects(x, error)
    for i in range(20):
        one = random_effects(x[i], error[i])
        assert (mean[i], between[i], i2[i]) == pytest.approx((one.estimate, one.between, one.i2))
        assert one.high - one.estimate == pytest.approx(stats.t.ppf(0.975, 4) * spread[i])


# Power.


def test_simulated_verdicts_are_those_of_the_procedure():
    """From means and deviations alone, as from the differences: t tests, Holm, words, pooled verdict."""
    gaps = np.random.default_rng(3).normal(0.03, 0.06, (50, 6, 10))
    mean, sd = gaps.mean(-1), gaps.std(-1, ddof=1)
    found, over_all = (of(mean, sd, 10, 0.05, 0.05) for of in (power._verdicts, power._pooled))
    for i in range(50):
        of = {str(k): pd.Series(gap) for k, gap in enumerate(gaps[i])}
        rows = contrasts.judged(of, 0.05, 0.05, {})
        assert [row["verdict"] for row in rows] == [*found[i], *over_all[i]]
    assert len(np.unique(found)) > 2 and len(np.unique(over_all)) > 1


def test_pooled_verdict_errs_at_most_at_its_level_where_datasets_differ():
    rates = power.simulated(np.full(6, 0.05), 10, 0.05, 0.05, np.random.default_rng(4), 2000, between=0.03)
    noise = 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert rates["pooled_false_difference"] <= 0.05 + noise
    assert rates["pooled_false_equivalence"] <= 0.05 + noise
    assert rates["pooled_power_difference"] > 0.8


def test_the_splits_that_are_asked_for_decide(tmp_path):
    """Half the margin at a spread of twice the margin is undecided with ten splits."""
    read = study(tmp_path, {"a": (0.05, 0.02), "b": (0.04, 0.03)}, spread=0.2)
    found = power.needed(read, plan(tmp_path))
    assert len(found) and (found["splits_needed"] > 10).all()
    assert (found["decided"] > 0.75).all()


def test_procedure_errs_at_most_at_its_level_and_has_power():
    """At a spread of half the margin, six datasets and ten splits."""
    rng = np.random.default_rng(1)
    rates = power.simulated(np.full(6, 0.025), 10, 0.05, 0.05, rng, 1000)
    noise = 3 * np.sqrt(0.05 * 0.95 / 1000)
    assert rates["false_difference"] <= 0.05 + noise
    assert rates["false_equivalence"] <= 0.05 + noise
    assert rates["power_difference"] > 0.95 and rates["power_equivalence"] > 0.9


def test_splits_that_share_people_err_on_a_dataset_but_not_over_all():
    """A true correlation of 1/4 between splits, drawn split by split, gives what `simulated` says."""
    rates = power.simulated(np.full(6, 0.05), 10, 0.05, 0.05, np.random.default_rng(6), 3000)
    rng = np.random.default_rng(7)
    shared = rng.normal(0, 0.05 * np.sqrt(1 / 3), (1500, 6, 1))
    gaps = shared + rng.normal(0, 0.05, (1500, 6, 10))
    shown = power._verdicts(gaps.mean(-1), gaps.std(-1, ddof=1), 10, 0.05, 0.05)
    rate = np.isin(shown, ("higher", "lower")).any(-1).mean()
    assert rates["overlap_false_difference"] == pytest.approx(rate, abs=0.05) and rate > 0.3
    assert rates["overlap_pooled_false_difference"] < 0.07
    assert rates["power_difference_least"] <= rates["power_difference"]


def test_datasets_may_have_different_numbers_of_splits():
    """What six datasets with ten splits give, and what each gives where only one has more."""
    rng, sds = np.random.default_rng, np.full(3, 0.1)
    equal = power.simulated(sds, 10, 0.05, 0.05, rng(3), 500)
    assert power.simulated(sds, np.full(3, 10), 0.05, 0.05, rng(3), 500) == equal
    more = power.simulated(sds, np.array([10, 10, 90]), 0.05, 0.05, rng(3), 500)
    assert more["power_difference"] > equal["power_difference"] + 0.05
    assert more["false_difference"] < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_who_looks_twice_judges_each_look_at_half_the_level(tmp_path):
    """A p between the two levels: shown at the first look, undecided at a second one."""
    read = study(tmp_path, {"a": (0.0045, 0.0)}, spread=0.02, splits=12)
    once = plan(tmp_path)
    (contrast,) = {one.question for one in once.contrasts}
    twice = dataclasses.replace(once, margins=dict.fromkeys(once.margins, 0.001), looks={contrast: 2})
    once = dataclasses.replace(twice, looks={})
    first, second = (contrasts.table(read, one).iloc[0] for one in (once, twice))
    assert first["p"] == second["p"] and 0.025 < first["p"] < 0.05
    assert (first["verdict"], second["verdict"]) == ("higher", "undecided")
    assert twice.level_of(contrast) == 0.025 and twice.level_of("Q9") == 0.05


@pytest.mark.parametrize(
    ("looks", "why"), [("Q7 = 2", r"\[looks\] has 'Q7'"), ("Q1 = 0", "give a whole number of 1 or more")]
)
def test_looks_are_of_a_question_and_at_least_one(tmp_path, looks, why):
    given = PLAN.replace("[margins]", f"[looks]\n{looks}\n\n[margins]")
    (tmp_path / "plan.toml").write_text(given)
    with pytest.raises(UserError, match=why):
        contrasts.read(tmp_path / "plan.toml")


def test_more_splits_give_more_power():
    rates = [
        power.simulated(np.full(4, 0.1), n, 0.05, 0.05, np.random.default_rng(2), 400)["power_difference"]
        for n in (4, 10, 40)
    ]
    assert rates[0] < rates[1] < rates[2]
