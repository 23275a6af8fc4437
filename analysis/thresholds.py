"""Is there a best threshold? For each dataset, the one chosen on validation, and what that choice costs.

For one metric and the values of one knob (the threshold, or the share of dissimilar steps):

- the *best in hindsight* is the value with the best mean over splits on test subjects;
- it is *shown* to be the best where it beats every other value that trains differently on test subjects
  (t tests over splits, Holm); never where trainings diverged or failed (*lost*), since splits and values
  without them are left out, and the others may be the easy ones;
- *regret* is what one loses against it on test subjects: by taking, in each split, the value that is best on
  the validation subjects of that split, and by always taking one given value, such as the paper's.

Values that give the same labels train the same encoder, so they count as one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.statistics import UNKNOWN, Interval, holm, mean_interval, mean_p
from analysis.tables import GIVEN, SHARE_DIGITS, Metric, Study

LEVEL = 0.05
COLUMNS = (
    "dataset", "metric", "values", "distinct", "worst", "best", "best_at", "shown", "equal", "regret_chosen",
    "regret_chosen_low", "regret_chosen_high", "regret_fixed", "regret_fixed_low", "regret_fixed_high",
    "splits", "lost", "at_end",
)  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """A metric by value of the knob, on validation and on test subjects: (values, splits) each."""

    at: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def curve(rows: pd.DataFrame, knob: str, metric: Metric) -> Curve:
    """The rows of one dataset as a curve; splits without all values are left out."""
    at = rows[knob].astype(float).round(SHARE_DIGITS)
    sides = [
        rows.assign(at=at, value=rows[name].astype(float)).pivot_table(
            index="at", columns="split_seed", values="value", aggfunc="mean"
        )
        for name in (metric.name, f"test_{metric.name}")
    ]
    validation, test = (side.dropna(axis=1) for side in sides)
    both = validation.columns.intersection(test.columns)
    return Curve(validation.index.to_numpy(), validation[both].to_numpy(), test[both].to_numpy())


def judge(found: Curve, *, higher_is_better: bool, fixed: float | None = None) -> dict[str, Any]:
    """What COLUMNS say of a curve, apart from its names. A regret above 0 is a loss, whatever the better end.

    shown: whether the best in hindsight beats all others; equal: values that train as it does
    at_end: whether it is the smallest or the largest value, so that others beyond may be better
    """
    sign = 1 if higher_is_better else -1
    test, validation = sign * found.test, sign * found.validation
    means = test.mean(1)
    best = int(means.argmax())
    same = (found.test == found.test[best]).all(1)
    rivals = np.flatnonzero(~same)
    p = holm([mean_p(test[best] - test[i]) for i in rivals]) if len(rivals) else np.ones(1)
    chosen = test[validation.argmax(0), np.arange(test.shape[1])]
    about: dict[str, Any] = {"values": len(means), "distinct": len(np.unique(found.test, axis=0))}
    about |= {"worst": float(sign * means.min()), "best": float(sign * means[best])}
    about |= {"best_at": float(found.at[best]), "shown": bool((p < LEVEL).all()), "splits": test.shape[1]}
    about |= {"at_end": best in (0, len(means) - 1)}
    about |= {"equal": ", ".join(f"{at:g}" for at in found.at[same])}
    about |= _named("regret_chosen", mean_interval(test[best] - chosen))
    taken = test[np.isclose(found.at, np.nan if fixed is None else fixed)]
    always = mean_interval(test[best] - taken[0]) if len(taken) else UNKNOWN
    return about | _named("regret_fixed", always)


def _named(name: str, found: Interval) -> dict[str, float]:
    return {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}


def table(study: Study, metrics: list[Metric], knob: str, fixed: float | None = None) -> pd.DataFrame:
    """One row for each dataset and metric (COLUMNS), of the rows in which the knob was set.

    A dataset with fewer than three values, or fewer than two splits that have all of them, is left out.
    """
    assert knob in GIVEN
    given = study.ok[study.ok["gate_given_as"] == knob]
    ended = study.rows[study.rows["gate_given_as"] == knob]
    lost = (ended["status"] != "ok").groupby(ended["dataset"]).sum()
    rows = []
    for metric in metrics:
        for dataset, part in given.groupby("dataset", sort=True):
            found = curve(part, knob, metric)
            if len(found.at) < 3 or found.test.shape[1] < 2:
                continue
            about = {"dataset": dataset, "metric": metric.name, "lost": int(lost[dataset])}
            about |= judge(found, higher_is_better=metric.best == "max", fixed=fixed)
            rows.append(about | {"shown": about["shown"] and not about["lost"]})
    return pd.DataFrame(rows, columns=list(COLUMNS))
