"""Simulate what a plan of contrasts can decide: how often it is wrong, and how often it decides.

python -m analysis.power PLAN.toml runs/NAME ... --splits 5,10,20

The spread of each contrast and metric on each dataset is the standard deviation of its differences between
splits, as the studies have it; the true differences of the datasets spread around their mean as the pooled
estimate says. Differences of that spread are drawn, the whole procedure of `analysis.contrasts` (t tests,
equivalence tests, Holm over the datasets, the pooled estimate) is applied, and its verdicts are counted:

- false: the share of simulated contrasts with any dataset called higher or lower although its true
  difference is 0; and with any called equivalent although its true difference is the margin;
- power: the share of datasets called higher or lower where the true difference is twice the margin, and the
  share called equivalent where it is 0; least: the same share on the dataset where it is smallest;
- pooled: the same four for the verdict over all datasets, where the mean of the true differences is meant;
- overlap: the false rates where the splits of a dataset are correlated by 1/4, as random splits that share
  people are (Nadeau & Bengio 2003), and 0 or the margin is the true difference for people in general.

For each verdict that is undecided, `needed` draws as many splits as the table of contrasts says would decide
it, with the differences as they were found, and counts how often it is decided.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import contrasts
from analysis.contrasts import SHOWN, Plan
from analysis.errors import UserError, exit_on_user_error
from analysis.joined import join
from analysis.markdown import markdown
from analysis.pooled import effects, p_values, random_effects
from analysis.program import Parser
from analysis.statistics import moments_above_p
from analysis.tables import Study, load

REPEATS = 4000
RATES = ("false_difference", "false_equivalence", "power_difference", "power_equivalence")
ALL_RATES = (
    *RATES, "power_difference_least", *(f"pooled_{name}" for name in RATES),
    *(f"overlap_{pooled}{name}" for pooled in ("", "pooled_") for name in RATES[:2]),
)  # fmt: skip
COLUMNS = ("question", "contrast", "metric", "splits", "sd", "margin", *ALL_RATES)
OVERLAP = 1 / 3  # what sharing people adds to the variance of a mean over splits, in variances of one split
NEEDED = ("question", "contrast", "metric", "dataset", "difference", "sd", "splits_needed", "decided")


def table(study: Study, plan: Plan, splits: Sequence[int] = (), *, repeats: int = REPEATS) -> pd.DataFrame:
    """Rates of verdicts for each contrast, metric and number of splits (COLUMNS).

    splits: numbers to simulate; by default the one that each dataset has
    sd: median over datasets of the standard deviation between splits
    """
    rng = np.random.default_rng(0)
    rows = []
    for contrast in plan.contrasts:
        both = contrasts.sides(study, contrast)
        for metric in contrast.metrics:
            gaps = contrasts.differences(both, contrast, metric).values()
            found = [(gap.mean(), gap.std(ddof=1), gap.count()) for gap in gaps if gap.notna().sum() > 1]
            if not found:
                raise UserError(
                    f"contrast {contrast.name}: no dataset has two splits with {metric}: run more splits"
                )
            mean, sds, n_now = np.array(found, dtype=float).T
            between = random_effects(mean, sds / np.sqrt(n_now)).between
            margin = plan.margins[metric]
            level = plan.level_of(contrast.question)
            for n in splits or (n_now,):
                rates = simulated(sds, n, margin, level, rng, repeats, between=between)
                few, most = np.min(n), np.max(n)
                shown = f"{few:.0f}" if few == most else f"{few:.0f} to {most:.0f}"
                about = (contrast.question, contrast.name, metric, shown, float(np.median(sds)), margin)
                rows.append((*about, *(rates[name] for name in ALL_RATES)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def simulated(
    sds: np.ndarray,
    n: int | np.ndarray,
    margin: float,
    level: float,
    rng: np.random.Generator,
    repeats: int,
    *,
    between: float = 0.0,
) -> dict[str, float]:
    """Rates of verdicts over `repeats` simulated contrasts; sds, n: spread and splits of each dataset.

    between: standard deviation of the true differences around their mean, for the pooled verdicts; for those
        on single datasets, every dataset has the same true difference
    """
    mean, sd = drawn(sds, n, rng, repeats)
    spread = rng.standard_normal(mean.shape) * (between if np.isfinite(between) else 0.0)
    shared = rng.standard_normal(mean.shape) * sds * np.sqrt(OVERLAP)
    rates: dict[str, float] = {}
    for overlap, means in (("", mean), ("overlap_", mean + shared)):
        for prefix, judge, true in (("", _verdicts, means), ("pooled_", _pooled, means + spread)):
            found = [judge(true + size * margin, sd, n, margin, level) for size in (0, 1, 2)]
            shown, same = ([np.isin(one, words) for one in found] for words in (SHOWN, ("equivalent",)))
            rates |= {
                f"{overlap}{prefix}false_difference": float(shown[0].any(-1).mean()),
                f"{overlap}{prefix}false_equivalence": float(same[1].any(-1).mean()),
                f"{overlap}{prefix}power_difference": float(shown[2].mean()),
                f"{overlap}{prefix}power_equivalence": float(same[0].mean()),
                f"{overlap}{prefix}power_difference_least": float(shown[2].mean(0).min()),
            }
    return {name: rates[name] for name in ALL_RATES}


def needed(study: Study, plan: Plan, *, repeats: int = REPEATS) -> pd.DataFrame:
    """For each undecided verdict of which the table names a number of splits: how often that many decide.

    The differences and spreads of all datasets are taken as found, so that Holm's correction is what it
    would be.
    """
    rng = np.random.default_rng(1)
    rows = []
    for contrast in plan.contrasts:
        both = contrasts.sides(study, contrast)
        for metric in contrast.metrics:
            of = contrasts.differences(both, contrast, metric)
            about = {"question": contrast.question, "contrast": contrast.name, "metric": metric}
            margin, level = plan.margins[metric], plan.level_of(contrast.question)
            found = contrasts.judged(of, margin, level, about)
            sds = np.array([gap.std(ddof=1) for gap in of.values()])
            truth = np.array([gap.mean() for gap in of.values()])
            for i, row in enumerate(found[: len(of)]):
                if row["splits_needed"] is None:
                    continue
                mean, sd = drawn(sds, row["splits_needed"], rng, repeats)
                verdicts = _verdicts(mean + truth, sd, row["splits_needed"], margin, level)
                rate = float((verdicts[:, i] != "undecided").mean())
                rows.append(row | {"sd": sds[i], "decided": rate})
    return pd.DataFrame(rows, columns=list(NEEDED))


def drawn(
    sds: np.ndarray, n: int | np.ndarray, rng: np.random.Generator, repeats: int
) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations (repeats, datasets) of n normal differences with mean 0."""
    mean = rng.standard_normal((repeats, len(sds))) * sds / np.sqrt(n)
    return mean, sds * np.sqrt(rng.chisquare(n - 1, (repeats, len(sds))) / (n - 1))


def _verdicts(
    mean: np.ndarray, sd: np.ndarray, n: int | np.ndarray, margin: float, level: float
) -> np.ndarray:
    """Verdicts (repeats, datasets) from means and standard deviations of n differences."""
    counts = np.broadcast_to(n, mean.shape)
    upper = moments_above_p(counts, mean, sd, 0.0)
    inside = np.maximum(
        moments_above_p(counts, mean, sd, -margin), moments_above_p(counts, -mean, sd, -margin)
    )
    p, p_equivalent = _holm(2 * np.minimum(upper, 1 - upper)), _holm(inside)
    return _words(mean, p, p_equivalent, level)


def _pooled(mean: np.ndarray, sd: np.ndarray, n: int | np.ndarray, margin: float, level: float) -> np.ndarray:
    """Verdicts (repeats, 1) over all datasets; undecided where there is only one."""
    sets = mean.shape[1]
    if sets < 2:
        return np.full((len(mean), 1), "undecided")
    estimate, error, _, _ = effects(mean, sd / np.sqrt(n))
    return _words(estimate, *p_values(estimate, error, sets, margin), level)[:, None]


def _words(mean: np.ndarray, p: np.ndarray, p_equivalent: np.ndarray, level: float) -> np.ndarray:
    """`contrasts.word` of arrays."""
    shown = np.where(p < level, np.where(mean > 0, "higher", "lower"), "undecided")
    return np.where(p_equivalent < level, "equivalent", shown)


def _holm(p: np.ndarray) -> np.ndarray:
    """`statistics.holm` of each row, without nan."""
    order = p.argsort(-1, kind="stable")
    steps = np.take_along_axis(p, order, -1) * np.arange(p.shape[-1], 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(steps, -1), 1.0)
    found = np.empty_like(adjusted)
    np.put_along_axis(found, order, adjusted, -1)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser("analysis.power", __doc__)
    parser.add_argument("plan", type=Path, help="The TOML file with the planned contrasts.")
    parser.add_argument("studies", nargs="+", type=Path, help="The folders of studies that show the spread.")
    parser.add_argument(
        "--splits", default="5,10,20", help="Simulate these numbers of splits (default: 5,10,20)."
    )
    arguments = parser.parse_args(argv)
    try:
        splits = [int(n) for n in arguments.splits.split(",")]
    except ValueError:
        raise UserError(f"--splits is '{arguments.splits}': give whole numbers, such as 5,10,20") from None
    if min(splits) < 3:
        raise UserError(f"--splits has {min(splits)}: give numbers of at least 3, since a t test needs them")
    study = join([load(folder) for folder in arguments.studies])
    plan = contrasts.read(arguments.plan)
    print(markdown(table(study, plan, splits)))
    print(f"\n{markdown(needed(study, plan))}")


if __name__ == "__main__":
    exit_on_user_error(main)
