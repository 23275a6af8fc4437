"""Simulations check the statistics: intervals have their coverage, and tests have their error rates."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis import statistics as s
from analysis.replicates import units

DRAWS = 4000  # standard error of a 5 % rate: 0.34 points


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def covered(interval: s.Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("kind", ["normal", "t with 5 degrees", "triangular"])
def test_t_interval_covers_95_percent(n: int, kind: str) -> None:
    g = rng(n)
    draws = {"normal": g.normal, "t with 5 degrees": lambda size: g.standard_t(5, size=size)}.get(
        kind, lambda size: g.triangular(-1, 0, 1, size=size)
    )(size=(DRAWS, n))
    table = pd.DataFrame({"draw": np.repeat(np.arange(DRAWS), n), "value": draws.ravel()})
    found = s.mean_intervals(table, ["draw"], "value")
    coverage = ((found["low"] <= 0) & (found["high"] >= 0)).mean()
    assert 0.93 <= coverage <= 0.97, coverage


def test_percentile_bootstrap_would_not() -> None:
    """The reason for t intervals: at n = 5 the bootstrap misses far more often than 1 in 20."""
    g = rng()
    hits = []
    for _ in range(1000):
        x = g.normal(size=5)
        low, high = np.percentile(x[g.integers(0, 5, size=(400, 5))].mean(axis=1), [2.5, 97.5])
        hits.append(low <= 0 <= high)
    assert np.mean(hits) < 0.88


def test_grouped_and_single_intervals_agree() -> None:
    values = rng().normal(size=12)
    table = pd.DataFrame({"g": np.repeat(list("abc"), 4), "value": values})
    found = s.mean_intervals(table, ["g"], "value").loc["b"]
    one = s.mean_interval(values[4:8])
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((one.estimate, one.low, one.high))
    exact = stats.ttest_1samp(values[4:8], 0).confidence_interval()
    assert (one.low, one.high) == pytest.approx((exact.low, exact.high))


def test_no_interval_below_three_values() -> None:
    assert np.isnan(s.mean_interval([0.3, 0.4]).low) and not np.isnan(s.mean_interval([0.3, 0.4, 0.5]).low)
    assert np.isnan(s.mean_interval([0.3]).low) and s.mean_interval([0.3]).estimate == 0.3
    assert np.isnan(s.mean_interval([]).estimate) and np.isnan(s.mean_interval([np.nan]).estimate)
    assert np.isnan(s.mean_p([0.5])) and np.isnan(s.equivalence_p([0.1], 1.0))


def test_nested_interval_covers_where_pooling_does_not() -> None:
    """Five splits of five seeds: pooling 25 seeds as if independent covers far below 95 %."""
    g = rng()
    index = pd.MultiIndex.from_product([range(5), range(5)], names=["split_seed", "seed"])
    nested, pooled = [], []
    for _ in range(1500):
        values = np.repeat(g.normal(size=5), 5) + 0.5 * g.normal(size=25)
        nested.append(covered(s.mean_interval(units(pd.Series(values, index)).to_numpy()), 0))
        pooled.append(covered(s.mean_interval(values), 0))
    assert 0.93 <= np.mean(nested) <= 0.97
    assert np.mean(pooled) < 0.75


def test_variance_components_are_recovered() -> None:
    g = rng()
    groups = np.repeat(np.arange(400), 5)
    values = np.repeat(g.normal(scale=2.0, size=400), 5) + g.normal(scale=0.5, size=2000)
    between, within = s.variance_components(values, groups)
    assert between == pytest.approx(2.0, rel=0.1) and within == pytest.approx(0.5, rel=0.1)
    assert np.isnan(s.variance_components([1.0, 2.0], np.array([0, 0]))[0])


@pytest.mark.parametrize("n", [3, 5, 10])
def test_paired_test_errs_at_its_level(n: int) -> None:
    g = rng(n)
    shared = g.normal(scale=3, size=(DRAWS, n))  # the seed's own effect, which pairing removes
    a, b = shared + g.normal(size=(DRAWS, n)), shared + g.normal(size=(DRAWS, n))
    rate = np.mean([s.mean_p(x - y) < 0.05 for x, y in zip(a, b, strict=True)])
    assert 0.04 <= rate <= 0.06, rate


def test_paired_test_is_scipys() -> None:
    a, b = rng(1).normal(size=6), rng(2).normal(size=6)
    assert s.mean_p(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue)


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("test", [s.equivalence_p, s.exceedance_p])
def test_margin_tests_err_at_most_at_their_level(n: int, test: object) -> None:
    """At a true mean exactly on the margin, neither equivalence nor exceedance is claimed too often."""
    g = rng(n)
    draws = 0.05 + 0.01 * g.normal(size=(DRAWS, n))
    rate = np.mean([test(x, 0.05) < 0.05 for x in draws])  # type: ignore[operator]
    assert rate <= 0.06, rate


def test_margin_tests_have_power() -> None:
    g = rng()
    draws = 0.01 * g.normal(size=(500, 5))
    assert np.mean([s.equivalence_p(x, 0.05) < 0.05 for x in draws]) > 0.99
    assert np.mean([s.exceedance_p(x + 0.1, 0.05) < 0.05 for x in draws]) > 0.95


def test_identical_trainings_are_equivalent() -> None:
    assert s.equivalence_p(np.zeros(3), 0.05) == 0 and s.exceedance_p(np.zeros(3), 0.05) == 1
    assert s.exceedance_p(np.full(3, 0.2), 0.05) == 0 and s.equivalence_p(np.full(3, 0.2), 0.05) == 1


def test_holm_by_hand() -> None:
    assert s.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    adjusted = s.holm([0.01, np.nan, 0.02])
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.02]) and np.isnan(adjusted[1])


def test_holm_controls_the_family() -> None:
    p = rng().uniform(size=(DRAWS, 6))
    assert np.mean([(s.holm(row) < 0.05).any() for row in p]) <= 0.06
    assert np.mean((p < 0.05).any(axis=1)) > 0.2  # without it


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_monotone_and_never_smaller(p: list[float]) -> None:
    adjusted = s.holm(p)
    assert (adjusted >= np.array(p) - 1e-15).all() and (adjusted <= 1).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= -1e-15).all()


def test_improvement_counts_pairs_and_covers() -> None:
    found = s.improvement([1, 2, 3, 0], [0, 1, 3, 1], higher_is_better=True)
    assert found.estimate == pytest.approx(2.5 / 4)
    assert s.improvement([1, 2], [0, 1], higher_is_better=False).estimate == 0
    g = rng()
    truth = stats.norm.cdf(0.5 / np.sqrt(2))
    hits = [
        covered(s.improvement(g.normal(0.5, size=10), g.normal(size=10), higher_is_better=True), truth)
        for _ in range(400)
    ]
    assert np.mean(hits) >= 0.94  # exact intervals are conservative


@pytest.mark.parametrize("n", [12, 40])
def test_spearman_interval_covers(n: int) -> None:
    g = rng(n)
    rho = 0.6
    truth = 6 / np.pi * np.arcsin(rho / 2)  # Spearman's rho of a bivariate normal
    hits = []
    for _ in range(1000):
        x, y = g.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=n).T
        hits.append(covered(s.spearman_interval(x, y), truth))
    assert 0.93 <= np.mean(hits) <= 0.97, np.mean(hits)


def test_spearman_of_a_perfect_order_is_still_uncertain() -> None:
    x = np.arange(6.0)
    found = s.spearman_interval(x, x**3)
    assert found.estimate == pytest.approx(1) and found.low < 1
    assert np.isnan(s.spearman_interval(x, np.ones(6)).estimate)


def test_seeds_needed_gives_its_power() -> None:
    n = s.seeds_needed(0.02, 0.02)
    assert n is not None
    draws = 0.02 + 0.02 * rng().normal(size=(DRAWS, n))
    assert np.mean([s.above_p(x, 0.0) < 0.05 for x in draws]) == pytest.approx(0.8, abs=0.06)
    assert s.seeds_needed(1.0, 1e-4) is None
