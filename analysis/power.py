"""What a plan of contrasts can decide: how often it is wrong and how often it decides, by simulation.

python -m analysis.power PLAN.toml runs/NAME ... --splits 5,10,20

The spread of each contrast and metric on each data set is the standard deviation of its differences between
splits, as the studies have it. Differences of that spread are drawn around a true difference, the whole
procedure of `analysis.contrasts` (t tests, equivalence tests, Holm over the data sets) is applied, and its
verdicts are counted:

- false: the share of simulated contrasts with any data set called higher or lower although its true
  difference is 0; and with any called equivalent although its true difference is the margin;
- power: the share of data sets called higher or lower where the true difference is twice the margin, and the
  share called equivalent where it is 0.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import contrasts
from analysis.contrasts import Plan
from analysis.errors import UserError, exit_on_user_error
from analysis.joined import join
from analysis.markdown import markdown
from analysis.statistics import above_p, equivalence_p, holm
from analysis.tables import Study, load

REPEATS = 1000
COLUMNS = (
    "question", "contrast", "metric", "splits", "sd", "margin", "false_difference", "false_equivalence",
    "power_difference", "power_equivalence",
)  # fmt: skip


def table(study: Study, plan: Plan, splits: Sequence[int], *, repeats: int = REPEATS) -> pd.DataFrame:
    """Rates of verdicts for each contrast, metric and number of splits (COLUMNS).

    sd: median over data sets of the standard deviation between splits
    """
    rng = np.random.default_rng(0)
    rows = []
    for contrast in plan.contrasts:
        for metric in contrast.metrics:
            gaps = contrasts.differences(study, contrast, metric).values()
            sds = np.array([gap.std(ddof=1) for gap in gaps if gap.notna().sum() > 1])
            if not len(sds):
                raise UserError(
                    f"contrast {contrast.name}: no data set has two splits with {metric}: run more splits"
                )
            margin = plan.margins[metric]
            for n in splits:
                rates = simulated(sds, n, margin, plan.level, rng, repeats)
                about = (contrast.question, contrast.name, metric, n, float(np.median(sds)), margin)
                rows.append((*about, *(rates[name] for name in COLUMNS[-4:])))
    return pd.DataFrame(rows, columns=COLUMNS)


def simulated(
    sds: np.ndarray, n: int, margin: float, level: float, rng: np.random.Generator, repeats: int
) -> dict[str, float]:
    """Rates of verdicts over `repeats` simulated contrasts with n splits; sds: of each data set.

    The true difference is the same on every data set.
    """
    noise = rng.standard_normal((repeats, len(sds), n)) * sds[:, None]
    words = {size: _verdicts(noise + size * margin, margin, level) for size in (0, 1, 2)}
    shown = {size: np.isin(found, ("higher", "lower")) for size, found in words.items()}
    same = {size: found == "equivalent" for size, found in words.items()}
    return {
        "false_difference": float(shown[0].any(1).mean()),
        "false_equivalence": float(same[1].any(1).mean()),
        "power_difference": float(shown[2].mean()),
        "power_equivalence": float(same[0].mean()),
    }


def _verdicts(gaps: np.ndarray, margin: float, level: float) -> np.ndarray:
    """Verdicts (repeats, data sets) of differences (repeats, data sets, splits)."""
    upper = above_p(gaps, 0.0)
    p = 2 * np.minimum(upper, 1 - upper)
    inside = equivalence_p(gaps, margin)
    found = [
        [contrasts.word(*values, level) for values in zip(mean, holm(one), holm(other), strict=True)]
        for mean, one, other in zip(gaps.mean(-1), p, inside, strict=True)
    ]
    return np.array(found)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "python -m analysis.power", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", type=Path, help="TOML file with the planned contrasts")
    parser.add_argument("studies", nargs="+", type=Path, help="folders of studies that show the spread")
    parser.add_argument("--splits", default="5,10,20", help="numbers of splits, a list (default: 5,10,20)")
    arguments = parser.parse_args(argv)
    try:
        splits = [int(n) for n in arguments.splits.split(",")]
    except ValueError:
        raise UserError(f"--splits is '{arguments.splits}': give whole numbers, such as 5,10,20") from None
    if min(splits) < 3:
        raise UserError(f"--splits has {min(splits)}: give numbers of at least 3, since a t test needs them")
    study = join([load(folder) for folder in arguments.studies])
    print(markdown(table(study, contrasts.read(arguments.plan), splits)))


if __name__ == "__main__":
    exit_on_user_error(main)
