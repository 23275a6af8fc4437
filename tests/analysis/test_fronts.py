"""Fronts and hypervolumes equal slow references and known values, and have the right properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import fronts

BEST = [("max", "max"), ("max", "min"), ("min", "max"), ("min", "min")]
coordinates = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=25)


def slow_front(points: np.ndarray, best: tuple[str, str]) -> np.ndarray:
    """By definition: every pair compared, one goal at a time."""

    def better(a: float, b: float, end: str) -> bool:
        return a > b if end == "max" else a < b

    mask = []
    for p in points:
        beaten = False
        for q in points:
            as_good = all(not better(p[k], q[k], best[k]) for k in (0, 1))
            beaten |= as_good and any(better(q[k], p[k], best[k]) for k in (0, 1))
        mask.append(not beaten)
    return np.array(mask)


@pytest.mark.parametrize("best", BEST)
@given(points=coordinates)
def test_front_is_the_definition(best: tuple[str, str], points: list[tuple[int, int]]) -> None:
    p = np.array(points, dtype=float)
    assert (fronts.non_dominated(p, best) == slow_front(p, best)).all()


def test_points_without_value_are_on_no_front() -> None:
    p = np.array([[np.nan, 9], [1, 1], [np.nan, np.nan]])
    assert fronts.non_dominated(p, ("max", "max")).tolist() == [False, True, False]
    assert not fronts.non_dominated(p[[0]], ("max", "max")).any()


@pytest.mark.parametrize("best", BEST)
@settings(max_examples=50)
@given(points=coordinates)
def test_hypervolume_is_the_area_counted_in_cells(
    best: tuple[str, str], points: list[tuple[int, int]]
) -> None:
    p = np.array(points, dtype=float)
    reference = [0 if end == "max" else 6 for end in best]
    up = fronts.upward(p, best) - fronts.upward(np.array(reference), best)  # cells counted from the reference
    cells = {(i, j) for x, y in up for i in range(int(x)) for j in range(int(y))}
    assert fronts.hypervolume(p, reference, best) == pytest.approx(len(cells))


def test_course_ends_at_the_whole_and_never_falls() -> None:
    p = np.random.default_rng(0).uniform(size=(60, 2))
    p[7] = np.nan
    course = fronts.hypervolume_course(p, (0, 0), ("max", "max"))
    assert (np.diff(course) >= 0).all()
    assert course[-1] == pytest.approx(fronts.hypervolume(p, (0, 0), ("max", "max")))


def test_equal_budgets_do_not_reward_more_trials() -> None:
    """Of 400 trials, the area expected of 50 is that of 50 fresh ones; the whole has more."""
    rng = np.random.default_rng(1)
    best, ref = ("max", "max"), (0, 0)
    fresh = np.mean([fronts.hypervolume(rng.uniform(size=(50, 2)), ref, best) for _ in range(200)])
    many = rng.uniform(size=(400, 2))
    assert fronts.expected_hypervolume(many, ref, best, size=50, rng=rng) == pytest.approx(fresh, abs=0.015)
    assert fronts.hypervolume(many, ref, best) > fresh + 0.02


def test_front_probability_follows_seed_noise() -> None:
    means = np.array([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9], [0.499, 0.499], [0.2, 0.2]])
    exact, wide = np.full((5, 2), 1e-6), np.full((5, 2), 0.05)
    degrees = np.full(5, 4)

    def given_errors(errors: np.ndarray) -> np.ndarray:
        return fronts.front_probability(
            means, errors, degrees, ("max", "max"), rng=np.random.default_rng(0), draws=500
        )

    assert given_errors(exact).tolist() == [1, 1, 1, 0, 0]
    near = given_errors(wide)
    assert near[3] == pytest.approx(near[1], abs=0.1) and 0.3 < near[3] < 0.9  # noise makes them equals
    assert near[4] < 0.05
    wide[1] = np.nan
    assert np.isnan(given_errors(wide)[1])


def test_knee_is_the_bulge() -> None:
    p = np.array([[0, 1], [0.7, 0.75], [1, 0], [0.2, 0.2]])
    assert fronts.knee(p, ("max", "max")) == 1
    assert fronts.knee(p * [1, -1], ("max", "min")) == 1
    assert fronts.knee(np.array([[0, 1], [1, 0]]), ("max", "max")) is None
    assert fronts.knee(np.array([[0, 1], [0.3, 0.3], [1, 0]]), ("max", "max")) is None  # bulges in
