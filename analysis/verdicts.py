"""Is a metric robust to the threshold? Each verdict follows from statistical tests.

All pairs of thresholds are compared, paired by replicate; the range of the true means is their largest
difference.

- *robust*: every pair is shown to differ by less than the margin (two one-sided tests each; as all must
  succeed, together they err at their own level, whatever the number of pairs);
- *sensitive*: at least one pair is shown to differ by more than the margin (Bonferroni over pairs);
- *vacuous*: at every threshold, hardly any or nearly all steps are called dissimilar, so nothing was varied;
- *undecided*: none of these; it comes with the number of replicates that would decide.

A replicate is what repeats independently: a split of the subjects where there are several, else a
training seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from analysis.statistics import (
    equivalence_p,
    equivalence_seeds,
    exceedance_p,
    holm,
    known,
    moments,
    seeds_needed,
)

LEVEL = 0.05
LIMIT = 1000  # replicates; nobody will run more
IDLE = 0.01  # a gate is idle if the share of dissimilar steps, or of similar ones, is below this
WORDS = ("robust", "sensitive", "vacuous", "undecided")


@dataclass(frozen=True)
class Judged:
    """The result of all pairs for one dataset, method and gate.

    spread: range of the means over thresholds, the largest of all noise levels
    low, high: bounds of the true range, each wrong in at most 5 % of cases
    p_robust, p_sensitive: p of the two claims, before any correction over datasets
    units: the smallest number of replicates in a comparison
    margin: the smallest difference that matters
    mean, sd: (pairs,) of the paired differences
    """

    spread: float
    low: float
    high: float
    p_robust: float
    p_sensitive: float
    idle: bool
    units: int
    margin: float
    mean: np.ndarray
    sd: np.ndarray

    def word(self, p_robust: float | None = None, p_sensitive: float | None = None) -> str:
        """The verdict from the given (corrected) p, or from the uncorrected p."""
        if self.idle:
            return "vacuous"
        if (self.p_robust if p_robust is None else p_robust) < LEVEL:
            return "robust"
        if (self.p_sensitive if p_sensitive is None else p_sensitive) < LEVEL:
            return "sensitive"
        return "undecided"

    def needed(self, family: int = 1) -> int | None:
        """The number of replicates that would show with 80 % power what the means suggest; None beyond LIMIT.

        It always exceeds the present number: a claim with a small uncorrected p may still be undecided after
        the correction.

        family: number of datasets over which the claim is corrected
        """
        if not len(self.mean):
            return None
        size, sd = np.abs(self.mean), np.maximum(self.sd, 1e-12)
        widest = size.argmax()
        if size[widest] >= self.margin:
            level = LEVEL / (2 * len(size) * family)
            found = seeds_needed(sd[widest], size[widest] - self.margin, alpha=level, limit=LIMIT)
        else:
            hard = ((self.margin - size) / sd).argmin()
            found = equivalence_seeds(sd[hard], size[hard], self.margin, alpha=LEVEL / family, limit=LIMIT)
        return None if found is None else max(found, self.units + 1)


def judge(curves: Sequence[np.ndarray], shares: Sequence[np.ndarray], margin: float) -> Judged:
    """Judge the curves of one dataset, method and gate.

    curves: for each noise level (thresholds, replicates), nan where a training has no result
    shares: for each noise level (thresholds,), share of steps that the gate calls dissimilar
    """
    gate = np.concatenate([known(share) for share in shares])
    idle = bool(len(gate)) and bool((gate <= IDLE).all() or (gate >= 1 - IDLE).all())
    first, second = np.triu_indices(len(curves[0]), k=1)
    pairs = np.concatenate([curve[first] - curve[second] for curve in curves])
    n, mean, sd = moments(pairs)
    complete = bool(len(n)) and bool((n > 1).all())
    pairs, n, mean, sd = pairs[n > 1], n[n > 1], mean[n > 1], sd[n > 1]
    spread = max(
        (np.ptp(m) for m in (known(moments(curve)[1]) for curve in curves) if len(m) > 1), default=np.nan
    )
    if not len(pairs):
        none = np.empty(0)
        return Judged(float(spread), np.nan, np.nan, np.nan, np.nan, idle, 1, margin, none, none)
    low, high = _bounds(n, mean, sd)
    p_robust = float(equivalence_p(pairs, margin).max()) if complete else np.nan
    p_sensitive = min(1.0, len(pairs) * float(exceedance_p(pairs, margin).min()))
    return Judged(
        spread=float(spread),
        low=max(0.0, float(low.max())),
        high=float(high.max()) if complete else np.inf,
        p_robust=p_robust,
        p_sensitive=p_sensitive,
        idle=idle,
        units=int(n.min()),
        margin=margin,
        mean=mean,
        sd=sd,
    )


class Corrected(NamedTuple):
    """A verdict after Holm's correction over datasets; `needed` is None where decided or beyond LIMIT."""

    word: str
    p_robust: float
    p_sensitive: float
    needed: int | None


def corrected(family: Sequence[Judged]) -> list[Corrected]:
    """The verdicts of several datasets, with the p of each claim corrected by Holm."""
    robust, sensitive = holm([j.p_robust for j in family]), holm([j.p_sensitive for j in family])
    found = []
    for j, r, s in zip(family, map(float, robust), map(float, sensitive), strict=True):
        word = j.word(r, s)
        needed = j.needed(len(family)) if word == "undecided" else None
        found.append(Corrected(word, r, s, needed))
    return found


def _bounds(n: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One-sided bounds of each |mean|. The lower one is corrected for choosing the largest of all pairs."""
    error = sd / np.sqrt(n)
    lower = np.abs(mean) - special.stdtrit(n - 1, 1 - LEVEL / (2 * len(n))) * error
    return lower, np.abs(mean) + special.stdtrit(n - 1, 1 - LEVEL) * error
