"""Stamped samples on an even clock: gaps, jitter, drift, several sensors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emargin_train.data import timeline
from emargin_train.data.timeline import Stretch


def wave(time_s: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * 1.5 * time_s)[None].astype(np.float32)


def test_gap_and_backward_jump_break_and_short_steps_do_not():
    time_s = np.concatenate([np.arange(50) / 50, 10 + np.arange(40) / 50, 3 + np.arange(30) / 50])
    values = np.arange(120, dtype=np.float32)[None]
    cut = timeline.stamped_stretches(values, time_s, 50, 1.0)
    assert [s.values.shape[1] for s in cut] == [50, 40, 30]
    assert [s.start_s for s in cut] == [0, 10, 3]
    assert np.concatenate([s.values for s in cut], axis=1).tolist() == values.tolist()


def test_missing_values_are_a_gap_only_if_they_last():
    time_s = np.arange(1000) / 100
    values = np.ones((2, 1000), np.float32)
    values[0, 100:105] = np.nan
    values[1, 500:700] = np.inf
    cut = timeline.stamped_stretches(values, time_s, 100, 1.0)
    assert [(s.start_s, round(s.end_s, 6)) for s in cut] == [(0, 5), (7, 10)]
    assert all(np.isfinite(s.values).all() for s in cut)


def test_even_samples_break_at_every_missing_value():
    values = np.ones((1, 10), np.float32)
    values[0, 4] = np.nan
    cut = timeline.even_stretches(values, 5.0, np.arange(10, dtype=np.int32), first=20)
    assert [(s.start_s, s.values.shape[1], s.codes.tolist()) for s in cut] == [
        (4.0, 4, [0, 1, 2, 3]),
        (5.0, 5, [5, 6, 7, 8, 9]),
    ]


def test_equal_stamps_are_averaged_and_disorder_is_sorted():
    time_s = np.array([0.0, 0.02, 0.02, 0.06, 0.04])
    values = np.array([[1, 2, 4, 7, 5]], np.float32)
    (stretch,) = timeline.stamped_stretches(values, time_s, 50, 1.0, np.arange(5, dtype=np.int32))
    assert stretch.values.tolist() == [[1, 3, 5, 7]]
    assert stretch.codes.tolist() == [0, 1, 4, 3]
    assert stretch.time_s is None, "less than half a period off an even clock"


def test_bursts_are_spread_evenly_when_told():
    true = np.arange(200) / 100
    arrival = np.ceil(true * 10) / 10  # ten at a time
    cut = timeline.stamped_stretches(wave(true), arrival, 100, 1.0, even=True)
    assert len(cut) == 1 and cut[0].rate_hz == pytest.approx(100)


@pytest.mark.parametrize("rate", [97.3, 100, 50, 25.6, 31])
def test_resampling_meets_the_wave_it_sampled(rate):
    """Drifting clocks, higher and lower rates: within 3 % of a 1.5 Hz sine at 50 Hz, edges aside."""
    rng = np.random.default_rng(0)
    time_s = np.cumsum(1 / rate * (1 + rng.uniform(-0.05, 0.05, int(20 * rate))))
    (stretch,) = timeline.stamped_stretches(wave(time_s), time_s, rate, 1.0)
    n = int((stretch.end_s - stretch.start_s) * 50)
    got = timeline.at_rate(stretch, stretch.start_s, n, 50.0)
    want = wave(stretch.start_s + np.arange(n) / 50)
    assert np.abs(got - want)[:, 50:-50].max() < 0.03


@pytest.mark.parametrize(("rate", "wanted"), [(200, 100), (50, 100), (100, 100), (360, 250), (128, 100)])
def test_even_resampling_keeps_duration_and_wave(rate, wanted):
    stretch = Stretch(wave(np.arange(10 * rate) / rate), 0.0, rate)
    got = timeline.at_rate(stretch, 0.0, 10 * wanted, wanted)
    assert got.shape == (1, 10 * wanted) and got.dtype == np.float32
    assert np.abs(got - wave(np.arange(10 * wanted) / wanted))[:, 20:-20].max() < 0.01


def test_an_offset_is_kept_to_the_ends_when_decimating():
    """Gravity must not ring at the edges: padding with zeros would."""
    stretch = Stretch(np.full((1, 400), 9.81, np.float32), 0.0, 100.0)
    assert np.abs(timeline.at_rate(stretch, 0.0, 200, 50.0) - 9.81).max() < 1e-3


def test_frequencies_above_half_the_new_rate_are_removed():
    time_s = np.arange(4000) / 200
    high = np.sin(2 * np.pi * 70 * time_s)[None].astype(np.float32)
    even = timeline.at_rate(Stretch(high, 0.0, 200.0), 0.0, 1000, 50.0)
    stamped = timeline.at_rate(Stretch(high, 0.0, 200.0, time_s), 0.001, 990, 50.0)
    assert max(np.abs(even[:, 10:-10]).max(), np.abs(stamped[:, 10:-10]).max()) < 0.02


def test_derived_rate_sees_through_bursts_and_gaps():
    arrival = np.ceil(np.arange(1000) / 100 * 20) / 20
    arrival[500:] += 3600
    assert timeline.derived_rate(arrival, 1.0) == pytest.approx(100, rel=0.01)
    assert timeline.derived_rate(np.array([0.0, 50.0, 100.0]), 1.0) is None
    assert timeline.derived_rate(np.zeros(5), 1.0) is None


def stretches_of(edges: list[float]) -> list[Stretch]:
    """Stretches at 10 Hz between successive pairs of increasing edges."""
    pairs = zip(edges[::2], edges[1::2], strict=False)
    return [Stretch(np.zeros((1, max(1, round((b - a) * 10)))), a, 10.0) for a, b in pairs]


edges = st.lists(st.integers(0, 300), min_size=2, max_size=8, unique=True).map(
    lambda e: [v / 10 for v in sorted(e)]
)


@given(edges, edges)
def test_sensors_meet_exactly_where_both_record(a, b):
    """Against a grid of tenths of a second."""
    one, other = stretches_of(a), stretches_of(b)
    windows = timeline.together([one, other])
    grid = np.arange(0, 31, 0.1) + 0.05

    def inside(spans):
        return np.any(
            [(grid > start) & (grid < end) for start, end in spans] or [np.zeros(len(grid), bool)], axis=0
        )

    expected = inside([(s.start_s, s.end_s) for s in one]) & inside([(s.start_s, s.end_s) for s in other])
    assert (inside([(start, end) for start, end, _ in windows]) == expected).all()


@given(
    st.lists(st.floats(0.001, 3.0), min_size=1, max_size=60),
    st.sampled_from([10.0, 50.0, 64.0]),
)
def test_no_grid_sample_lies_in_a_gap(steps, rate):
    """Every resampled sample lies within a stretch, whatever the stamps."""
    time_s = np.cumsum(steps)
    gap_s = 1.0
    for stretch in timeline.stamped_stretches(wave(time_s), time_s, rate, gap_s):
        own = time_s[(time_s >= stretch.start_s - 1e-9) & (time_s <= stretch.end_s)]
        n = int((stretch.end_s - stretch.start_s) * rate + 1e-6)
        got = timeline.at_rate(stretch, stretch.start_s, n, rate) if n else np.zeros((1, 0))
        assert got.shape == (1, n) and np.isfinite(got).all()
        assert (np.diff(own) <= gap_s + 1e-9).all()
