"""Small-sample statistics: arrays in, numbers out; no chart, no file.

Seeds are few, so means come with Student's t intervals: a percentile bootstrap of 5 values covers 84 %.
Each function is checked by simulation in tests/analysis/test_statistics.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """An estimate with its confidence interval; low and high are nan below two values."""

    estimate: float
    low: float
    high: float
    n: int


def mean_interval(values: np.ndarray | Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean with Student's t interval; nan in `values` are left out."""
    x = np.asarray(values, dtype=float)
    x = x[~np.isnan(x)]
    if len(x) == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    half = _half_width(x.std(ddof=1), len(x), confidence) if len(x) > 1 else np.nan
    return Interval(float(x.mean()), float(x.mean() - half), float(x.mean() + half), len(x))


def mean_intervals(
    table: pd.DataFrame, by: list[str], value: str, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """`mean_interval` of a column within each group: columns mean, low, high, sd, n; indexed by group."""
    values = table[value].astype(float)
    groups = values.groupby([table[name] for name in by], dropna=False)
    found = pd.DataFrame({"mean": groups.mean(), "sd": groups.std(ddof=1), "n": groups.count()})
    half = _half_width(found["sd"], found["n"], confidence)
    return found.assign(low=found["mean"] - half, high=found["mean"] + half)


def _half_width(sd: float | pd.Series, n: int | pd.Series, confidence: float) -> float | pd.Series:
    """t quantile times standard error; nan for n < 2."""
    degrees = np.where(np.asarray(n) > 1, np.asarray(n) - 1, np.nan)
    quantile = stats.t.ppf(0.5 + confidence / 2, degrees)
    return quantile * sd / np.sqrt(n)


def spearman_interval(x: np.ndarray, y: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Spearman's rank correlation with Bonett and Wright's interval (Psychometrika 2000); nan below 5 pairs.

    Fisher's z with standard error sqrt((1 + r^2 / 2) / (n - 3)).
    """
    pairs = ~(np.isnan(x) | np.isnan(y))
    n = int(pairs.sum())
    if n < 5 or len(np.unique(x[pairs])) < 2 or len(np.unique(y[pairs])) < 2:
        return Interval(np.nan, np.nan, np.nan, n)
    rho = float(stats.spearmanr(x[pairs], y[pairs]).statistic)
    if abs(rho) >= 1 - 1e-12:
        return Interval(rho, rho, rho, n)
    half = stats.norm.ppf(0.5 + confidence / 2) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(rho) + np.array([-half, half]))
    return Interval(rho, float(low), float(high), n)
