"""Statistics of small samples: functions from arrays to numbers, without charts or files.

Replicates are few, so means have Student's t intervals: a percentile bootstrap of 5 values would cover only
84 %. Each function is checked by simulation in tests/analysis/test_statistics.py.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from scipy import special, stats

CONFIDENCE = 0.95
LEAST_ERROR = 1e-12  # values that differ by less count as equal: nothing about them is random
FEWEST = 3  # values that an interval needs: from two, it would extend 13 standard errors each way
ANY = (-np.inf, np.inf)
Values = np.ndarray | Sequence[float]
Numbers = TypeVar("Numbers", float, "pd.Series[float]")


class Interval(NamedTuple):
    """An estimate with its confidence interval; low and high are nan where n is too small for one."""

    estimate: float
    low: float
    high: float
    n: int


UNKNOWN = Interval(np.nan, np.nan, np.nan, 0)


def known(values: Values) -> np.ndarray:
    """The values that are not nan, as floats."""
    x = np.asarray(values, dtype=float)
    return x[~np.isnan(x)]


def mean_interval(
    values: Values, confidence: float = CONFIDENCE, *, within: tuple[float, float] = ANY
) -> Interval:
    """Mean with Student's t interval. nan in `values` are left out.

    within: range of the quantity; the interval is cut at its ends
    """
    x = known(values)
    if len(x) < FEWEST:
        return UNKNOWN._replace(estimate=float(x.mean()), n=len(x)) if len(x) else UNKNOWN
    half = float(half_width(x.std(ddof=1), len(x), confidence))
    low, high = np.clip([x.mean() - half, x.mean() + half], *within)
    return Interval(float(x.mean()), float(low), float(high), len(x))


def mean_intervals(
    table: pd.DataFrame, by: list[str], value: str, *, within: tuple[float, float] = ANY
) -> pd.DataFrame:
    """`mean_interval` of a column within each group: columns mean, sd, n, error, low, high; indexed by group.

    error: standard error of the mean
    """
    values = table[value].astype(float)
    groups = values.groupby([table[name] for name in by], dropna=False, sort=False)
    found = pd.DataFrame({"mean": groups.mean(), "sd": groups.std(ddof=1), "n": groups.count()})
    half = half_width(found["sd"], found["n"]).where(found["n"] >= FEWEST)
    return found.assign(
        error=found["sd"] / np.sqrt(found["n"]),
        low=(found["mean"] - half).clip(*within),
        high=(found["mean"] + half).clip(*within),
    )


def variance_components(values: Values, groups: np.ndarray) -> tuple[float, float]:
    """Standard deviations (between groups, within groups), by moments; nan where they cannot be separated.

    The variance of group means contains the within-group variance over n; the rest is between groups, >= 0.
    """
    table = pd.DataFrame({"group": groups, "value": np.asarray(values, dtype=float)}).dropna()
    of = table.groupby("group")["value"]
    n, means = of.count(), of.mean()
    degrees = int((n - 1).sum())
    within = float(((n - 1) * of.var(ddof=1).fillna(0)).sum() / degrees) if degrees else np.nan
    if len(n) < 2:
        return np.nan, float(np.sqrt(within))
    between = means.var(ddof=1) - within * float((1 / n).mean())
    return float(np.sqrt(max(between, 0.0))) if degrees else np.nan, float(np.sqrt(within))


def mean_p(differences: Values) -> float:
    """Two-sided p of the t test that the mean is 0; nan below two values."""
    upper = above_p(differences, 0.0)
    return float(2 * np.minimum(upper, 1 - upper))


def moments(values: Values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, mean, sd) along the last axis, nan left out; mean is nan for none, sd for fewer than two."""
    x = np.asarray(values, dtype=float)
    there = ~np.isnan(x)
    n = there.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(there, x, 0).sum(axis=-1) / np.where(n > 0, n, np.nan)
        squares = np.where(there, (x - mean[..., None]) ** 2, 0).sum(axis=-1)
        return n, mean, np.sqrt(squares / np.where(n > 1, n - 1, np.nan))


def above_p(values: Values, bound: float) -> np.ndarray:
    """One-sided p of the t test that the mean is at most `bound`: small where it is above.

    It is computed along the last axis, and is nan for fewer than two values.
    """
    return moments_above_p(*moments(values), bound)


def moments_above_p(n: np.ndarray, mean: np.ndarray, sd: np.ndarray, bound: float) -> np.ndarray:
    """`above_p` of values of which only the number, mean and standard deviation are known.

    Values without spread (settings that train identically) give 0 or 1, since nothing about them is random.
    """
    excess, error = mean - bound, sd / np.sqrt(np.maximum(n, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = special.stdtr(np.maximum(n - 1, 1), -excess / error)
    certain = np.where(np.abs(excess) < LEAST_ERROR, 0.5, (excess < 0).astype(float))
    return np.where(np.isnan(sd), np.nan, np.where(error < LEAST_ERROR, certain, p))


def equivalence_p(differences: Values, margin: float) -> np.ndarray:
    """p of two one-sided tests (Schuirmann 1987): small where the mean is shown to lie within ± margin."""
    d = np.asarray(differences, dtype=float)
    return np.maximum(above_p(d, -margin), above_p(-d, -margin))


def exceedance_p(differences: Values, margin: float) -> np.ndarray:
    """p of the hypothesis that the mean lies within ± margin: small where it is shown to lie outside."""
    d = np.asarray(differences, dtype=float)
    return np.minimum(1.0, 2 * np.minimum(above_p(d, margin), above_p(-d, margin)))


def holm(p: Values) -> np.ndarray:
    """Adjusted p of a family (Holm 1979): controls the chance of any false rejection; nan stay nan."""
    p = np.asarray(p, dtype=float)
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]  # nan sort last
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else []
    return adjusted


def improvement(a: Values, b: Values, *, higher_is_better: bool, confidence: float = CONFIDENCE) -> Interval:
    """Share of pairs in which a beats b (ties count half), with Clopper and Pearson's exact interval."""
    d = known(np.asarray(a, dtype=float) - np.asarray(b, dtype=float)) * (1 if higher_is_better else -1)
    if len(d) == 0:
        return UNKNOWN
    wins = float((d > 0).sum() + 0.5 * (d == 0).sum())
    lost, tail = len(d) - wins, (1 - confidence) / 2
    low = special.betaincinv(wins, lost + 1, tail) if wins else 0.0
    high = special.betaincinv(wins + 1, lost, 1 - tail) if lost else 1.0
    return Interval(wins / len(d), float(low), float(high), len(d))


def spearman_interval(x: np.ndarray, y: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Spearman's rank correlation with Bonett and Wright's interval (Psychometrika 2000); nan below 5 pairs.

    It uses Fisher's z with standard error sqrt((1 + r^2 / 2) / (n - 3)). A perfect order of n pairs would
    give an interval without width, so it counts as half way to the next possible value of rho, 1 - 12 / (n^3
    - n).
    """
    pairs = ~(np.isnan(x) | np.isnan(y))
    n = int(pairs.sum())
    if n < 5 or len(np.unique(x[pairs])) < 2 or len(np.unique(y[pairs])) < 2:
        return UNKNOWN._replace(n=n)
    rho = float(stats.spearmanr(x[pairs], y[pairs]).statistic)
    most = 1 - 6 / (n**3 - n)
    bounded = np.clip(rho, -most, most)
    half = stats.norm.ppf(0.5 + confidence / 2) * np.sqrt((1 + bounded**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(bounded) + np.array([-half, half]))
    return Interval(rho, min(float(low), rho), max(float(high), rho), n)


def seeds_needed(
    sd: float, gap: float, *, alpha: float = 0.05, power: float = 0.8, limit: int = 1000
) -> int | None:
    """Smallest n with which a one-sided t test detects a gap with this power; None if it is above `limit`.

    sd: that of the paired differences; gap: distance of the true mean from the tested bound, > 0
    """
    n = np.arange(2, limit + 1)
    needed = special.stdtrit(n - 1, 1 - alpha)
    enough = 1 - special.nctdtr(n - 1, gap * np.sqrt(n) / max(sd, LEAST_ERROR), needed) >= power
    return int(n[enough.argmax()]) if enough.any() else None


def equivalence_seeds(
    sd: float, difference: float, margin: float, *, alpha: float = 0.05, power: float = 0.8, limit: int = 1000
) -> int | None:
    """Smallest n with which both one-sided t tests show a difference to lie within ± margin; else None.

    sd: that of the paired differences; difference: the true one, whose size is below the margin
    """
    n = np.arange(2, limit + 1)
    needed, error = special.stdtrit(n - 1, 1 - alpha), max(sd, LEAST_ERROR) / np.sqrt(n)
    above, below = (
        1 - special.nctdtr(n - 1, (margin + sign * difference) / error, needed) for sign in (1, -1)
    )
    enough = above + below - 1 >= power  # both reject unless one of them does not
    return int(n[enough.argmax()]) if enough.any() else None


def half_width(sd: Numbers, n: Any, confidence: float = CONFIDENCE) -> Numbers:
    """t quantile times standard error; nan for n < 2."""
    degrees = np.where(np.asarray(n) > 1, np.asarray(n) - 1, np.nan)
    return special.stdtrit(degrees, 0.5 + confidence / 2) * sd / np.sqrt(n)


def determination(x: np.ndarray, y: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """R2 of a straight line, with an interval from Fisher's z of the correlation; nan below 5 pairs."""
    pairs = ~(np.isnan(x) | np.isnan(y))
    n = int(pairs.sum())
    if n < 5 or np.ptp(x[pairs]) == 0 or np.ptp(y[pairs]) == 0:
        return UNKNOWN._replace(n=n)
    r = float(stats.pearsonr(x[pairs], y[pairs]).statistic)
    z = np.arctanh(np.clip(r, -1 + 1e-9, 1 - 1e-9))
    half = stats.norm.ppf(0.5 + confidence / 2) / np.sqrt(n - 3)
    low, high = np.tanh([z - half, z + half])
    ends = low**2, high**2
    return Interval(r**2, 0.0 if low < 0 < high else float(min(ends)), float(max(ends)), n)
