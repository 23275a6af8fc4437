"""One estimate from several data sets: a random-effects mean with the Hartung-Knapp interval."""

from typing import NamedTuple

import numpy as np
from scipy import special

from analysis.statistics import CONFIDENCE, LEAST_ERROR


class Pooled(NamedTuple):
    """The mean effect over data sets, with its interval; nan where fewer than two have an estimate.

    p: two-sided, of a mean effect of 0
    p_equivalent: of two one-sided tests; small where the mean lies within the margin
    between: standard deviation of the true effects between data sets
    i2: share of the spread of the estimates that their own errors do not explain
    n: data sets
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
    """Weigh each data set by 1 / (error^2 + between^2).

    between^2 is DerSimonian and Laird's (Controlled Clinical Trials 1986). The standard error is Hartung and
    Knapp's (Statistics in Medicine 2001) with n - 1 degrees of freedom, and never below the one without
    their correction (Röver et al. 2015): data sets that agree by chance have an interval of some width.

    estimates, errors: (n,) means and standard errors; a data set without either is left out
    """
    there = np.isfinite(estimates) & np.isfinite(errors)
    x, squared = np.asarray(estimates)[there], np.maximum(np.asarray(errors)[there], LEAST_ERROR) ** 2
    n = len(x)
    if n < 2:
        alone = float(x[0]) if n else np.nan
        return Pooled(alone, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, n)
    w = 1 / squared
    q = float((w * (x - (w * x).sum() / w.sum()) ** 2).sum())
    between = max(0.0, (q - (n - 1)) / (w.sum() - (w**2).sum() / w.sum()))
    w = 1 / (squared + between)
    mean = float((w * x).sum() / w.sum())
    knapp = float((w * (x - mean) ** 2).sum()) / (n - 1)
    error = float(np.sqrt(max(1.0, knapp) / w.sum()))
    half = float(special.stdtrit(n - 1, 0.5 + confidence / 2)) * error
    p = float(2 * special.stdtr(n - 1, -abs(mean) / error))
    inside = float(special.stdtr(n - 1, -(margin - abs(mean)) / error))
    i2 = max(0.0, 1 - (n - 1) / q) if q > 0 else 0.0
    return Pooled(mean, mean - half, mean + half, p, inside, float(np.sqrt(between)), i2, n)
