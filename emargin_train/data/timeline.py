"""Samples with time stamps to samples at an even rate; gaps break, several sensors meet on one clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from emargin_train.data.recording import unbroken

SHORTEST_GAP_S = 1.0
GAP_PERIODS = 10


@dataclass(frozen=True)
class Stretch:
    """Samples without a gap: sample k at `start_s + k / rate_hz`, or at `time_s[k]` where given.

    values: (C, n) float32, finite
    time_s: (n,) float64, strictly increasing, or None
    rate_hz: exact where `time_s` is None, else nominal
    codes: (n,) int32 or None, a label for each sample
    """

    values: np.ndarray
    start_s: float
    rate_hz: float
    time_s: np.ndarray | None = None
    codes: np.ndarray | None = None

    @property
    def times(self) -> np.ndarray:
        """(n,) float64 seconds of the samples."""
        if self.time_s is not None:
            return self.time_s
        return self.start_s + np.arange(self.values.shape[1]) / self.rate_hz

    @property
    def end_s(self) -> float:
        """One period after the last sample."""
        if self.time_s is not None:
            return float(self.time_s[-1]) + 1 / self.rate_hz
        return self.start_s + self.values.shape[1] / self.rate_hz


def longest_step(time_s: np.ndarray) -> float:
    """Above this, a step is a gap unless the user says otherwise: ten usual steps, and a second at least."""
    steps = np.diff(time_s)
    steps = steps[steps > 0]
    return max(SHORTEST_GAP_S, GAP_PERIODS * float(np.median(steps)) if len(steps) else 0.0)


def derived_rate(time_s: np.ndarray, gap_s: float) -> float | None:
    """Samples per second within the stretches, to three digits; None where no two samples are together.

    The mean step tells it, not the usual one: stamps of phones arrive in bursts.
    """
    steps = np.diff(time_s)
    steps = steps[np.abs(steps) <= gap_s]
    total = float(steps.sum())
    return float(f"{len(steps) / total:.3g}") if total > 0 else None


def even_stretches(
    values: np.ndarray, rate_hz: float, codes: np.ndarray | None = None, first: int = 0
) -> list[Stretch]:
    """Stretches of evenly sampled `values` (C, n), of which sample 0 is number `first`.

    Samples that are not finite break.
    """
    return [
        Stretch(values[:, i:j], (first + i) / rate_hz, rate_hz, codes=None if codes is None else codes[i:j])
        for i, j in unbroken(values)
    ]


def stamped_stretches(
    values: np.ndarray,
    time_s: np.ndarray,
    rate_hz: float,
    gap_s: float,
    codes: np.ndarray | None = None,
    *,
    even: bool = False,
) -> list[Stretch]:
    """Stretches of stamped `values` (C, n): a step over `gap_s`, forwards or backwards, breaks.

    Samples that are not finite are left out, which is a gap if it lasts. Within a stretch stamps are sorted,
    and samples of one stamp averaged (the first one's label counts); or, with `even`, they are spread evenly
    from its first to its last stamp. Stamps less than half a period off an even clock are taken as even.
    """
    finite = np.isfinite(values).all(0) & np.isfinite(time_s)
    if not finite.all():
        values, time_s = values[:, finite], time_s[finite]
        codes = None if codes is None else codes[finite]
    breaks = np.flatnonzero(np.abs(np.diff(time_s)) > gap_s) + 1
    edges = [0, *breaks.tolist(), len(time_s)]
    stretches = []
    for i, j in zip(edges[:-1], edges[1:], strict=True):
        own_values, own_time = values[:, i:j], time_s[i:j]
        own_codes = None if codes is None else codes[i:j]
        if j - i < 2 or own_time.max() == own_time.min():
            continue  # an instant
        if (np.diff(own_time) < 0).any():
            order = np.argsort(own_time, kind="stable")
            own_values, own_time = own_values[:, order], own_time[order]
            own_codes = None if own_codes is None else own_codes[order]
        start = float(own_time[0])
        if even:
            own_rate = (j - i - 1) / (float(own_time[-1]) - start)
            stretches.append(Stretch(own_values, start, own_rate, codes=own_codes))
            continue
        first = np.flatnonzero(np.diff(own_time, prepend=-np.inf) > 0)
        if len(first) < len(own_time):
            counts = np.diff(first, append=len(own_time))
            own_values = (np.add.reduceat(own_values, first, axis=1) / counts).astype(np.float32)
            own_time = own_time[first]
            own_codes = None if own_codes is None else own_codes[first]
        drift = np.abs(own_time - start - np.arange(len(own_time)) / rate_hz).max()
        stamps = None if drift < 0.5 / rate_hz else own_time
        stretches.append(Stretch(own_values, start, rate_hz, stamps, own_codes))
    return stretches


def together(sensors: Sequence[Sequence[Stretch]]) -> list[tuple[float, float, tuple[Stretch, ...]]]:
    """Start and end of each time in which every sensor records, with the stretches that cover it."""
    windows: list[tuple[float, float, tuple[Stretch, ...]]]
    windows = [(s.start_s, s.end_s, (s,)) for s in sensors[0]]
    for stretches in sensors[1:]:
        windows = [
            (max(start, s.start_s), min(end, s.end_s), (*others, s))
            for start, end, others in windows
            for s in stretches
            if max(start, s.start_s) < min(end, s.end_s)
        ]
    return windows


def at_rate(stretch: Stretch, start_s: float, n: int, rate_hz: float) -> np.ndarray:
    """(C, n) float32: the stretch at `start_s + k / rate_hz`, low-passed where that is the slower rate."""
    from scipy.signal import resample_poly

    own = stretch.rate_hz
    if stretch.time_s is None and start_s == stretch.start_s:
        if own == rate_hz:
            return stretch.values[:, :n]
        ratio = Fraction(rate_hz / own).limit_denominator(1000)
        if abs(float(ratio) * own / rate_hz - 1) < 1e-9:
            out = resample_poly(stretch.values, ratio.numerator, ratio.denominator, axis=1, padtype="line")
            return np.ascontiguousarray(out[:, :n], np.float32)
    times = max(1, round(own / rate_hz))
    grid = start_s + np.arange((n - 1) * times + 1) / (times * rate_hz)
    out = np.stack([np.interp(grid, stretch.times, channel) for channel in stretch.values]).astype(np.float32)
    if times > 1:
        out = resample_poly(out, 1, times, axis=1, padtype="line")
    return np.ascontiguousarray(out[:, :n], np.float32)
