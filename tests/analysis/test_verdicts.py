"""Verdicts on simulated data with known answers: they are right, and rarely wrong in a misleading way."""

import numpy as np
import pytest

from analysis.verdicts import WORDS, Judged, corrected, judge

MARGIN = 0.05
STUDIES = 200
SEEDS, THRESHOLDS, NOISE_LEVELS = 5, 6, 3


def planted(kind: str, seed: int) -> Judged:
    """One made-up study: a curve over thresholds, shared seed effects, independent noise.

    robust: a tenth to a quarter of the margin; sensitive: two to six margins;
    vacuous: a gate that fires at under 1 % of steps;
    undecided: an effect near the margin under noise as large, with three seeds
    """
    g = np.random.default_rng([WORDS.index(kind), seed])
    effect, noise, seeds = {
        "robust": (MARGIN * g.uniform(0.1, 0.25), 0.007, SEEDS),
        "sensitive": (MARGIN * g.uniform(2, 6), 0.007, SEEDS),
        "vacuous": (0.0, 0.007, SEEDS),
        "undecided": (MARGIN * g.uniform(0.6, 1.4), MARGIN, 3),
    }[kind]
    shape = [np.linspace(0, 1, THRESHOLDS), np.linspace(0, 1, THRESHOLDS) ** 3, np.arange(THRESHOLDS) >= 4]
    curve = effect * shape[g.integers(3)].astype(float)
    curves = [
        curve[:, None] + 0.03 * g.normal(size=seeds) + noise * g.normal(size=(THRESHOLDS, seeds))
        for _ in range(NOISE_LEVELS)
    ]
    top = 0.008 if kind == "vacuous" else 0.95
    return judge(curves, [np.linspace(0, top, THRESHOLDS)] * NOISE_LEVELS, MARGIN)


@pytest.fixture(scope="module")
def confusion() -> dict[str, dict[str, int]]:
    table = {}
    for kind in WORDS:
        found = [planted(kind, seed).word() for seed in range(STUDIES)]
        table[kind] = {word: found.count(word) for word in WORDS}
    print("\nplanted -> found " + " ".join(f"{word:>10}" for word in WORDS))
    for kind, row in table.items():
        print(f"{kind:>16} " + " ".join(f"{row[word]:10d}" for word in WORDS))
    return table


@pytest.mark.parametrize("kind", WORDS)
def test_verdicts_are_right(confusion: dict[str, dict[str, int]], kind: str) -> None:
    assert confusion[kind][kind] >= 0.95 * STUDIES


def test_no_sensitive_study_is_called_robust(confusion: dict[str, dict[str, int]]) -> None:
    assert confusion["sensitive"]["robust"] <= 0.01 * STUDIES


def false_claims(effect: float, word: str, n: int = 400) -> float:
    """Share of studies with a step of that size between two thresholds that get that verdict."""
    g = np.random.default_rng(0)
    found = 0
    for _ in range(n):
        curve = np.array([0, effect])[:, None] + 0.01 * g.normal(size=(2, 5))
        found += judge([curve], [np.array([0.1, 0.9])], MARGIN).word() == word
    return found / n


def test_false_positive_rates_hold_at_the_margin() -> None:
    """The hardest null of both claims is an effect of exactly the margin."""
    assert false_claims(MARGIN, "robust") <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    assert false_claims(MARGIN, "sensitive") <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    assert false_claims(0.0, "sensitive") == 0


def test_sensitive_errs_at_its_level_over_many_pairs() -> None:
    """Without effect no study of 15 pairs and 3 noise levels is called sensitive for the largest of 45."""
    g = np.random.default_rng(1)
    shares = [np.linspace(0, 1, THRESHOLDS)] * NOISE_LEVELS
    found = [
        judge([0.1 * g.normal(size=(THRESHOLDS, SEEDS)) for _ in range(NOISE_LEVELS)], shares, 1e-6).word()
        for _ in range(200)
    ]
    assert found.count("sensitive") <= 0.05 * 200 + 6


def test_bounds_hold_the_true_range() -> None:
    g = np.random.default_rng(2)
    inside = []
    for _ in range(300):
        curve = np.linspace(0, 0.1, 5)[:, None] + 0.02 * g.normal(size=(5, 5))
        found = judge([curve], [np.linspace(0, 1, 5)], MARGIN)
        inside.append(found.low <= 0.1 <= found.high)
    assert np.mean(inside) >= 0.88  # each bound errs in at most 5 %


def test_undecided_says_how_many_seeds_would_do() -> None:
    """Given that many seeds, four in five such studies are decided."""
    g = np.random.default_rng(3)
    shares = [np.array([0.1, 0.9])]

    def study(seeds: int) -> Judged:
        return judge([np.array([0, 0.02])[:, None] + 0.03 * g.normal(size=(2, seeds))], shares, MARGIN)

    few = [j for j in (study(3) for _ in range(100)) if j.word() == "undecided"]
    needed = int(np.median([n for j in few if (n := j.needed())]))
    decided = [study(needed).word() != "undecided" for _ in range(100)]
    assert len(few) > 80 and np.mean(decided) > 0.5


def test_one_seed_decides_nothing() -> None:
    found = judge([np.array([[0.1], [0.9]])], [np.array([0.2, 0.8])], MARGIN)
    assert found.word() == "undecided" and np.isnan(found.p_robust)


def test_lost_cells_forbid_robust() -> None:
    curve = np.zeros((3, 5)) + 1e-4 * np.random.default_rng(0).normal(size=(3, 5))
    shares = [np.array([0.1, 0.5, 0.9])]
    assert judge([curve], shares, MARGIN).word() == "robust"
    curve[2, 1:] = np.nan
    assert judge([curve], shares, MARGIN).word() == "undecided"


def test_correction_over_datasets_only_takes_claims_away() -> None:
    family = [planted("robust", seed) for seed in range(6)]
    for own, (word, p_robust, *_) in zip(family, corrected(family), strict=True):
        assert p_robust >= own.p_robust and word in (own.word(), "undecided")
