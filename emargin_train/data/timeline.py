"""Turn samples with time stamps into samples at an even rate: split at gaps, join sensors on one clock."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from emargin_train.data.recording import unbroken

SHORTEST_GAP_S = 1.0
GAP_PERIODS = 10
HOUR_S = 3600.0
UNEVEN = 0.1  # of the usual step: the middle half of the steps of a device lie closer together
FINER = 4  # samples in place of one, where stamped samples are low-passed


@dataclass(frozen=True)
class Stretch:
    """Samples without a gap: sample k at `start_s + k / rate_hz`, or at `time_s[k]` where given.

    values: (C, n) float32, finite
    time_s: (n,) float64, strictly increasing, or None
    rate_hz: exact where `time_s` is None, else nominal
    codes: (n,) int32 or None, a label for each sample
    merged: samples that were averaged with one before, since their stamps are equal
    """

    values: np.ndarray
    start_s: float
    rate_hz: float
    time_s: np.ndarray | None = None
    codes: np.ndarray | None = None
    merged: int = 0

    def moved(self, seconds: float) -> "Stretch":
        """The same samples so much later."""
        stamps = None if self.time_s is None else self.time_s + seconds
        return replace(self, start_s=self.start_s + seconds, time_s=stamps)

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

    The mean step tells it, not the usual one: stamps of phones arrive in bursts, and a clock of whole seconds
    repeats. A run of equal stamps counts from its first sample; the first run of a stretch may be cut short,
    and does not count.
    """
    breaks = np.flatnonzero(np.abs(np.diff(time_s)) > gap_s) + 1
    samples, seconds = 0, 0.0
    for i, j in itertools.pairwise([0, *breaks.tolist(), len(time_s)]):
        own = time_s[i:j] if time_s[j - 1] >= time_s[i] else time_s[i:j][::-1]
        first = new_stamps(own)
        samples += int(first[-1] - first[0])
        seconds += float(own[first[-1]] - own[first[0]])
    return float(f"{samples / seconds:.3g}") if seconds > 0 and samples > 0 else None


def even_steps(time_s: np.ndarray) -> bool:
    """Whether stamps come as from a device with one rate, and not whenever something happens, as beats do."""
    steps = np.diff(time_s)
    steps = steps[steps > 0]
    if not len(steps):
        return False
    low, middle, high = np.quantile(steps, (0.25, 0.5, 0.75))
    return bool(high - low <= UNEVEN * middle)


def new_stamps(time_s: np.ndarray) -> np.ndarray:
    """Where later stamps than before begin, without the first run of equal ones if two others are left."""
    first = np.flatnonzero(np.diff(np.maximum.accumulate(time_s), prepend=-np.inf) > 0)
    return first[1:] if len(first) > 2 else first


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

    So does a clock that is set back (`set_back`). Samples that are not finite are left out, which is a gap if
    it lasts. Within a stretch stamps are sorted, and samples of one stamp averaged (the first one's label
    counts, and `merged` counts them); or, with `even`, samples are spread evenly over the stretch. Stamps
    less than half a period off an even clock are taken as even.
    """
    finite = np.isfinite(values).all(0) & np.isfinite(time_s)
    if not finite.all():
        values, time_s = values[:, finite], time_s[finite]
        codes = None if codes is None else codes[finite]
    breaks = (np.abs(np.diff(time_s)) > gap_s) | set_back(time_s, rate_hz)
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(time_s)]
    stretches = []
    for i, j in itertools.pairwise(edges):
        own_values, own_time = values[:, i:j], time_s[i:j]
        own_codes = None if codes is None else codes[i:j]
        if j - i < 2 or own_time.max() == own_time.min():
            continue  # an instant
        if (np.diff(own_time) < 0).any():
            order = np.argsort(own_time, kind="stable")
            own_values, own_time = own_values[:, order], own_time[order]
            own_codes = None if own_codes is None else own_codes[order]
        if even:
            first = new_stamps(own_time)
            own_rate = (first[-1] - first[0]) / float(own_time[first[-1]] - own_time[first[0]])
            start = float(own_time[first[0]]) - float(first[0]) / own_rate
            stretches.append(Stretch(own_values, start, own_rate, codes=own_codes))
            continue
        first = np.flatnonzero(np.diff(own_time, prepend=-np.inf) > 0)
        merged = len(own_time) - len(first)
        if merged:
            counts = np.diff(first, append=len(own_time))
            own_values = (np.add.reduceat(own_values, first, axis=1) / counts).astype(np.float32)
            own_time = own_time[first]
            own_codes = None if own_codes is None else own_codes[first]
        start = float(own_time[0])
        drift = np.abs(own_time - start - np.arange(len(own_time)) / rate_hz).max()
        stamps = None if drift < 0.5 / rate_hz else own_time
        stretches.append(Stretch(own_values, start, rate_hz, stamps, own_codes, merged))
    return stretches


def set_back(time_s: np.ndarray, rate_hz: float) -> np.ndarray:
    """(n - 1,) bool: whether the clock was set back at that step, rather than a sample arriving late.

    After a late sample the stamps go on where they were; after a clock was set back they pass through the
    same time again, so that it holds about twice as many samples as the rate allows.
    """
    back = np.zeros(max(0, len(time_s) - 1), bool)
    for k in np.flatnonzero(np.diff(time_s) * rate_hz < -1.5).tolist():
        low, high = time_s[k + 1], time_s[k]
        allowed = (high - low) * rate_hz
        around = time_s[max(0, k - 2 * int(allowed) - 9) : k + 2 * int(allowed) + 10]
        back[k] = ((around >= low) & (around <= high)).sum() > 1.5 * allowed + 3
    return back


def unfolded(stretches: Sequence[Stretch], *, dated: bool = True) -> tuple[list[Stretch], list[float]]:
    """The stretches in the order of their samples, one after another; by how much each overlap was shifted.

    Stretches that overlap come from a clock that was set back, as local time in autumn: what comes later in
    the file is later. Without an overlap nothing is shifted, and the stretches are put in order of time.
    dated: whether the stamps have dates; a time of day that goes back is one of the next day.
    """
    out: list[Stretch] = []
    shifts: list[float] = []
    shift = 0.0
    for stretch in stretches:
        start, end = stretch.start_s + shift, stretch.end_s + shift
        tolerance = 0.5 / stretch.rate_hz
        overlaps = any(start < o.end_s - tolerance and o.start_s + tolerance < end for o in out)
        if overlaps or (not dated and out and start < out[-1].start_s):
            last = max(o.end_s for o in out)
            step = last - start
            hours = max(1, round(step / HOUR_S)) * HOUR_S
            more = hours if -1.0 < hours - step < SHORTEST_GAP_S * GAP_PERIODS else step + SHORTEST_GAP_S
            shift += more
            shifts.append(more)
        out.append(stretch if shift == 0 else stretch.moved(shift))
    return (out, shifts) if shifts else (sorted(out, key=lambda s: s.start_s), [])


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
    grid = start_s + np.arange(n) / rate_hz
    if own <= rate_hz * (1 + 1e-6):
        out = [np.interp(grid, stretch.times, channel) for channel in stretch.values]
        return np.array(out, np.float32).reshape(len(stretch.values), n)
    values, times = low_passed(stretch, rate_hz)
    return np.array([np.interp(grid, times, channel) for channel in values], np.float32)


def low_passed(stretch: Stretch, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """The stretch without what `rate_hz` cannot hold, on `FINER` times as many samples; and their times.

    The filter runs along the samples, as a device takes them; their stamps say where each of them lies. Where
    samples are missing, the filter starts again, so that nothing is smeared over a hole.
    """
    from scipy.signal import firwin, resample_poly

    own, times = stretch.rate_hz, stretch.times
    half = round(10 * FINER * own / rate_hz)
    taps = firwin(2 * half + 1, rate_hz / (own * FINER), window=("kaiser", 5.0))
    holes = np.flatnonzero(np.diff(times) > 2.5 / own) + 1
    values, places = [], []
    for i, j in itertools.pairwise([0, *holes.tolist(), len(times)]):
        piece = stretch.values[:, i:j]
        if j - i > 1:
            fine = resample_poly(piece, FINER, 1, axis=1, window=taps, padtype="line")
            piece = fine[:, : (j - i - 1) * FINER + 1]
        values.append(piece)
        places.append(np.interp(np.arange(piece.shape[1]) / FINER, np.arange(j - i), times[i:j]))
    return np.concatenate(values, axis=1), np.concatenate(places)
