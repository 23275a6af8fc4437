"""One estimate from several datasets: a random-effects mean with the Hartung-Knapp interval."""

from typing import Any, NamedTuple

import numpy as np
from scipy import special

from analysis.statistics import CONFIDENCE, LEAST_ERROR

HALVINGS = 40


class Pooled(NamedTuple):
    """The mean effect over datasets, with its interval; nan where fewer than two have an estimate.

    p: two-sided, of a mean effect of 0
    p_equivalent: of two one-sided tests; small where the mean lies within the margin
    between: standard deviation of the true effects between datasets
    i2: share of the spread of the estimates that their own errors do not explain
    n: datasets
    """

    estimate: float
    low: float
    high: float
    p: float
    p_equivalent: float
    between: float
    i2: float
    n: int


def random_effects(
    estimates: np.ndarray, errors: np.ndarray, margin: float = np.nan, confidence: float = CONFIDENCE
) -> Pooled:
    """Weigh each dataset by 1 / (error^2 + between^2).

    between^2 is Paule and Mandel's (Journal of Research of the National Bureau of Standards 1982), which
    needs no difference of large numbers, so it holds where one dataset's error is next to nothing. The
    standard error is Hartung and Knapp's (Statistics in Medicine 2001) with n - 1 degrees of freedom, and
    never below the one without their correction (Röver et al. 2015): datasets that agree by chance have an
    interval of some width.

    estimates, errors: (n,) means and standard errors; a dataset without either is left out
    """
    there = np.isfinite(estimates) & np.isfinite(errors)
    x, error = np.asarray(estimates)[there], np.asarray(errors)[there]
    n = len(x)
    if n < 2:
        alone = float(x[0]) if n else np.nan
        return Pooled(alone, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, n)
    mean, error, between, i2 = map(float, effects(x, error))
    half = float(special.stdtrit(n - 1, 0.5 + confidence / 2)) * error
    p, inside = map(float, p_values(mean, error, n, margin))
    return Pooled(mean, mean - half, mean + half, p, inside, between, i2, n)


def effects(x: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(mean effect, its standard error, between, i2) along the last axis; (..., n >= 2), without nan."""
    n = x.shape[-1]
    squared = np.maximum(errors, LEAST_ERROR) ** 2
    between2 = _between2(x, squared)
    mean, q, weight = _weighed(x, squared + between2[..., None])
    error = np.sqrt(np.maximum(1.0, q / (n - 1)) / weight)
    q = _weighed(x, squared)[1]
    i2 = 1 - (n - 1) / np.maximum(q, n - 1)  # 0 up to the expectation of q, which may be as small as 1e-310
    return mean, error, np.sqrt(between2), i2


def _weighed(x: np.ndarray, squared: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(weighted mean, weighted sum of squared distances from it, sum of weights) for these variances."""
    w = 1 / squared
    total = w.sum(-1)
    mean = (w * x).sum(-1) / total
    return mean, (w * (x - mean[..., None]) ** 2).sum(-1), total


def _between2(x: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """The variance between datasets with which the weighted sum of squares has its expectation, n - 1.

    0 where the sum is below it without any. Otherwise by halving, from 0 and the variance of x, at which the
    sum is at most n - 1.
    """
    n = x.shape[-1]
    spread = _weighed(x, squared)[1] > n - 1
    x, squared = x[spread], squared[spread]
    low, high = np.zeros(len(x)), x.var(-1, ddof=1)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        more = _weighed(x, squared + middle[..., None])[1] > n - 1
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    found = np.zeros(spread.shape)
    found[spread] = (low + high) / 2
    return found


def p_values(mean: Any, error: Any, n: int, margin: float) -> tuple[Any, Any]:
    """(two-sided p of a mean effect of 0, p of the hypothesis that it lies outside ± margin)"""
    size = np.abs(mean)
    return 2 * special.stdtr(n - 1, -size / error), special.stdtr(n - 1, -(margin - size) / error)
