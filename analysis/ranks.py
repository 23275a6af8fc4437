"""Average ranks of methods over datasets, and which of them can be told apart: arrays in, numbers out.

Friedman's test asks whether any two differ; Nemenyi's critical difference says by how much average ranks must
differ (Demšar, Journal of Machine Learning Research 7, 2006). SciPy has both distributions. The tests compare
with aeon's Friedman test and Demšar's table.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.05
FEWEST_METHODS, FEWEST_SETS = 3, 2


@dataclass(frozen=True)
class Ranks:
    """Average ranks of k methods over n datasets; rank 1 is best.

    ranks: (n, k), equal values share the mean of their ranks; average: (k,)
    friedman_p: of Friedman's test with its chi-squared approximation, which is rough below some ten datasets
    critical_difference: average ranks farther apart than this differ at the 5 % level (Nemenyi)
    """

    ranks: np.ndarray
    average: np.ndarray
    friedman_p: float
    critical_difference: float

    @property
    def can_differ(self) -> bool:
        """Whether any two average ranks could be so far apart: too few datasets make that impossible."""
        return self.critical_difference < len(self.average) - 1


def average_ranks(scores: np.ndarray, *, higher_is_better: bool) -> Ranks:
    """Ranks of scores (n datasets, k methods), without nan; k >= 3, n >= 2."""
    n, k = scores.shape
    assert k >= FEWEST_METHODS and n >= FEWEST_SETS and not np.isnan(scores).any()
    ranks = stats.rankdata(-scores if higher_is_better else scores, axis=1)
    same = (ranks == ranks[:, :1]).all()  # all methods equal everywhere: the statistic is 0 / 0
    p = 1.0 if same else float(stats.friedmanchisquare(*ranks.T).pvalue)
    return Ranks(ranks, ranks.mean(axis=0), p, critical_difference(k, n))


def critical_difference(k: int, n: int) -> float:
    """Nemenyi's critical difference of average ranks of k methods over n datasets, at the 5 % level.

    q sqrt(k (k + 1) / 6 n), q = the 95 % quantile of the studentised range of k with infinitely many degrees
    of freedom, over the root of 2
    """
    q = stats.studentized_range.ppf(1 - LEVEL, k, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(k * (k + 1) / (6 * n)))


def groups(average: np.ndarray, difference: float) -> list[tuple[int, int]]:
    """Largest runs of methods, in order of rank, whose ends are not told apart: (first, last) positions.

    average: sorted. Runs of a single method are left out, as are runs within another.
    """
    found: list[tuple[int, int]] = []
    for first in range(len(average)):
        last = int(np.flatnonzero(average - average[first] < difference)[-1])
        if last > first and not (found and last <= found[-1][1]):
            found.append((first, last))
    return found
