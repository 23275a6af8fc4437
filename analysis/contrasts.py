"""Report all planned comparisons, which were written down before the studies were run.

python -m analysis.contrasts PLAN.toml runs/NAME ...   # what the studies say about each planned contrast

The plan is a TOML file:

    level = 0.05

    [margins]                        # the difference that matters, for each metric
    test_silhouette = 0.1

    [looks]                          # optional: Q2 is judged for the second time, so at half the level
    Q2 = 2

    [[contrasts]]
    name = "infonce-narrowed"
    question = "Q2"
    hypothesis = "InfoNCE has the better Silhouette when its embeddings are narrowed."
    metrics = ["test_silhouette"]
    a = { method = "infonce", spread_weight = -1 }    # conditions on columns, as in tables.toml
    b = { method = "infonce", spread_weight = 0 }
    within = ["snr_db"]              # optional: a and b are compared at equal values, which are then averaged

Each contrast is the mean of a minus the mean of b for each dataset, paired by split and seed. The splits of
the subjects are what repeats independently; training seeds are averaged within them. Values of `within` count
that all datasets of the contrast have. Holm's correction is over the datasets of a contrast and metric. A
contrast is

- *equivalent* where it is shown to lie within the margin (two one-sided tests), whether or not it is zero;
- else *higher* or *lower* where the difference is shown not to be zero;
- *undecided* where neither is shown, and then the table says how many splits would decide it;
- *not judged* on a dataset where trainings of one side diverged or failed, since the others may be the easy
  ones; such a dataset is not part of the mean over datasets either.

The mean over all datasets is given twice if some are simulated (their names end in -sim): of all, and of the
real ones alone.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import replicates
from analysis.contrast_plan import Contrast, Plan, read
from analysis.errors import UserError, exit_on_user_error
from analysis.joined import join
from analysis.markdown import bounds, markdown
from analysis.pooled import p_values, random_effects
from analysis.program import Parser
from analysis.selection import meeting, selected
from analysis.statistics import (
    LEAST_ERROR,
    equivalence_p,
    equivalence_seeds,
    holm,
    mean_interval,
    mean_p,
    seeds_needed,
)
from analysis.tables import SHARE_DIGITS, Study, as_given, load

POOLED, REAL = "all datasets", "real datasets"
MEANS = (POOLED, REAL)  # rows that are no single dataset
SIMULATED = "-sim"  # how the names of simulated datasets end
SHOWN = ("higher", "lower")  # verdicts that show a difference
LOST = "not judged"
ENCODED = ("encoder", "encoder_variant", "encoder_context")  # how a method came to its embeddings
NO_ROWS = "No dataset has rows of both sides yet."
NO_VALUE = "none"  # nan is not equal to itself, so it could not be a key
COLUMNS = (
    "question", "contrast", "metric", "dataset", "difference", "low", "high", "splits", "margin",
    "p", "p_holm", "p_equivalent", "p_equivalent_holm", "p_overlap", "p_equivalent_overlap", "lost",
    "verdict", "splits_needed",
)  # fmt: skip


Sides = tuple[pd.DataFrame, pd.DataFrame]
Parts = dict[str, dict[tuple[Any, ...], Sides]]  # by dataset, by the values of `within`


def table(study: Study, plan: Plan) -> pd.DataFrame:
    """Every contrast of the plan: a row for each metric and dataset, and one over all datasets (COLUMNS).

    splits: number of differences; of datasets in a mean over these
    p_overlap, p_equivalent_overlap: as p and p_equivalent, with the variance that splits sharing subjects
        need, (1 / n + 1 / 3) sd^2 for 20 % of the subjects in the test split and 60 % in the training split
        (Nadeau & Bengio 2003). They are not corrected over datasets, and decide nothing: they say which
        verdicts a reader may still hold who wants to speak about other people. nan where all splits have the
        same test subjects, or none in common
    lost: trainings of both sides that diverged or failed
    Raises UserError where a contrast selects no row, or more than one setting on one side.
    """
    rows = []
    for contrast in plan.contrasts:
        both = sides(study, contrast)
        lost, apart = lost_trainings(study, contrast), other_splits(both)
        level = plan.level_of(contrast.question)
        for metric in contrast.metrics:
            about = {"question": contrast.question, "contrast": contrast.name, "metric": metric}
            of, margin = differences(both, contrast, metric), plan.margins[metric]
            rows += judged(of, margin, level, about, lost=lost, other_splits=apart)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def lost_trainings(study: Study, contrast: Contrast) -> dict[str, int]:
    """By dataset: how many trainings of a side did not end, where a side has such trainings."""
    bad = study.rows[study.rows["status"] != "ok"]
    found: dict[str, int] = {}
    for side in (contrast.a, contrast.b):
        for dataset, n in bad.loc[meeting(bad, side), "dataset"].value_counts().items():
            found[str(dataset)] = found.get(str(dataset), 0) + int(n)
    return found


def other_splits(both: Sides) -> set[str]:
    """The datasets whose splits share all test subjects (a UCR archive's) or none (one subject left out)."""
    rows = pd.concat(both)
    alone = rows["split"] == "leave-one-subject-out"
    return set(rows.loc[alone | rows["dataset"].str.startswith("ucr:"), "dataset"])


def with_rows(study: Study, plan: Plan) -> Plan:
    """The plan without the contrasts for which no dataset has rows on both sides, as while studies run."""

    rows = study.ok

    def sets(side: Mapping[str, Any]) -> set[str]:
        return set(rows.loc[meeting(rows, side), "dataset"])

    there = tuple(contrast for contrast in plan.contrasts if sets(contrast.a) & sets(contrast.b))
    return dataclasses.replace(plan, contrasts=there)


def judged(
    of: Mapping[str, "pd.Series[float]"],
    margin: float,
    level: float,
    about: Mapping[str, Any],
    *,
    lost: Mapping[str, int] | None = None,
    other_splits: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Rows with the verdicts (COLUMNS) for each dataset and over all, from differences by split.

    about: what all rows say besides
    lost: by dataset, trainings that did not end
    other_splits: datasets for which the splits' overlap is not that of random splits of subjects
    """
    lost = lost or {}
    names, gaps = list(of), [gap.to_numpy(dtype=float) for gap in of.values()]
    counts = np.array([name not in lost for name in names], dtype=bool)
    p, equivalent = (
        np.where(counts, values, np.nan)
        for values in ([mean_p(gap) for gap in gaps], [float(equivalence_p(gap, margin)) for gap in gaps])
    )
    p_holm, equivalent_holm = holm(p), holm(equivalent)
    about = {**about, "margin": margin}
    rows = []
    for i, (name, gap) in enumerate(zip(names, gaps, strict=True)):
        found = mean_interval(gap)
        verdict = word(found.estimate, p_holm[i], equivalent_holm[i], level) if counts[i] else LOST
        needed = None
        if verdict == "undecided" and found.n > 1:
            needed = splits_needed(found.estimate, float(np.nanstd(gap, ddof=1)), margin, level / sum(counts))
        overlap = (np.nan, np.nan) if name in other_splits else overlap_p(gap, margin)
        rows.append(
            about
            | {"dataset": name, "difference": found.estimate, "low": found.low, "high": found.high}
            | {"splits": found.n, "p": p[i], "p_holm": p_holm[i], "p_equivalent": equivalent[i]}
            | {"p_equivalent_holm": equivalent_holm[i], "p_overlap": overlap[0]}
            | {"p_equivalent_overlap": overlap[1], "lost": lost.get(name, 0)}
            | {"verdict": verdict, "splits_needed": needed}
        )
    errors = np.array([np.nanstd(gap, ddof=1) / np.sqrt(np.isfinite(gap).sum()) for gap in gaps])
    mean = np.array([row["difference"] for row in rows])
    real = np.array([not name.endswith(SIMULATED) for name in names], dtype=bool)
    over = {POOLED: counts} | ({REAL: counts & real} if real.any() and not real.all() else {})
    for name, which in over.items():
        pooled = random_effects(mean[which], errors[which], margin)
        rows.append(
            about
            | {"dataset": name, "difference": pooled.estimate, "low": pooled.low, "high": pooled.high}
            | {"splits": pooled.n, "p": pooled.p, "p_holm": pooled.p, "p_equivalent": pooled.p_equivalent}
            | {"p_equivalent_holm": pooled.p_equivalent, "p_overlap": np.nan, "p_equivalent_overlap": np.nan}
            | {"lost": sum(lost.get(name, 0) for name in names), "splits_needed": None}
            | {"verdict": word(pooled.estimate, pooled.p, pooled.p_equivalent, level)}
        )
    return rows


def sides(study: Study, contrast: Contrast) -> Sides:
    """The rows of side a and b, each of one setting on a dataset. UserError where it is none or several."""
    ok = study.ok
    for metric in contrast.metrics:
        study.metric(metric)
    both = selected(ok, [contrast.a]), selected(ok, [contrast.b])
    for name, rows in zip("ab", both, strict=True):
        _one_setting(study, contrast, name, rows)
    return both


def differences(both: Sides, contrast: Contrast, metric: str) -> dict[str, "pd.Series[float]"]:
    """Differences a - b by split (of one split, by seed), for each dataset that has both `sides`.

    Raises UserError where no dataset has the metric on both sides at the same values of `within`.
    """
    parts = _parts(both, contrast)
    common = _common(parts)
    found = {}
    for dataset, of in parts.items():
        gaps = [
            replicates.values(a, metric) - replicates.values(b, metric)
            for level, (a, b) in of.items()
            if level in common
        ]
        mean = pd.concat(gaps, axis=1).mean(axis=1, skipna=False) if gaps else pd.Series(dtype=float)
        units = replicates.units(mean)
        if units.notna().any():
            found[dataset] = units
    if not found:
        raise UserError(
            f"contrast {contrast.name}: no dataset has {metric} for both {dict(contrast.a)} and "
            f"{dict(contrast.b)}: run both, or correct the plan"
        )
    return found


def levels(both: Sides, contrast: Contrast) -> set[tuple[Any, ...]]:
    """The values of `within` that all datasets have on both sides; NO_VALUE stands for null.

    A mean over other values for each dataset would compare what differs in these.
    """
    return _common(_parts(both, contrast))


def _common(parts: Parts) -> set[tuple[Any, ...]]:
    found = [set(of) for of in parts.values() if of]
    return set.intersection(*found) if found else set()


def _parts(both: Sides, contrast: Contrast) -> Parts:
    """By dataset and by the values of `within`, for those that both sides have: the rows of both."""
    a, b = (_by_level(rows, contrast.within) for rows in both)
    return {
        dataset: {level: (rows, b[dataset][level]) for level, rows in of.items() if level in b[dataset]}
        for dataset, of in sorted(a.items())
        if dataset in b
    }


def _by_level(rows: pd.DataFrame, within: Sequence[str]) -> dict[str, dict[tuple[Any, ...], pd.DataFrame]]:
    keys = [rows[name].astype(object).where(rows[name].notna(), NO_VALUE) for name in within]
    found: dict[str, dict[tuple[Any, ...], pd.DataFrame]] = {}
    for (dataset, *level), own in rows.groupby([rows["dataset"], *keys]):
        found.setdefault(str(dataset), {})[tuple(level)] = own
    return found


def _one_setting(study: Study, contrast: Contrast, side: str, rows: pd.DataFrame) -> None:
    """A side with two settings would average what nobody planned to average."""
    trials = as_given(rows.drop_duplicates("trial"))
    compared = ["method", *(name for name in ENCODED if name in trials)]
    compared += [name for name in study.setting_columns if name not in (*contrast.within, *compared)]
    trials["dissimilar_share"] = trials["dissimilar_share"].astype(float).round(SHARE_DIGITS)
    for dataset, part in trials.groupby("dataset"):
        values = part[compared].to_numpy(dtype=object)
        null = pd.isna(values)
        same = ((values == values[0]) | (null & null[0])).all(0)
        if not same.all():
            varied = [name for name, alike in zip(compared, same, strict=True) if not alike]
            raise UserError(
                f"contrast {contrast.name}: side {side} is more than one setting on {dataset}; they differ "
                f"in {', '.join(varied)}: add a condition"
            )


def word(difference: float, p: float, p_equivalent: float, level: float) -> str:
    """The verdict on one difference from its (corrected) p; equivalence within the margin comes first."""
    if p_equivalent < level:
        return "equivalent"
    if p < level:
        return "higher" if difference > 0 else "lower"
    return "undecided"


def overlap_p(gap: np.ndarray, margin: float) -> tuple[float, float]:
    """(p of no difference, p of one outside ± margin), each of the corrected resampled t test.

    It is that of Nadeau & Bengio (2003); nan below two values.
    """
    x = gap[np.isfinite(gap)]
    if len(x) < 2:
        return np.nan, np.nan
    error = max(float(np.sqrt((1 / len(x) + 1 / 3) * x.var(ddof=1))), LEAST_ERROR)
    p, inside = p_values(x.mean(), error, len(x), margin)
    return float(p), float(inside)


def splits_needed(difference: float, sd: float, margin: float, level: float) -> int | None:
    """Splits that decide, four times in five, a true difference as found; None beyond 1,000."""
    shown = seeds_needed(sd, abs(difference), alpha=level / 2) if difference else None
    inside = equivalence_seeds(sd, difference, margin, alpha=level) if abs(difference) < margin else None
    return min((n for n in (shown, inside) if n is not None), default=None)


def text(found: pd.DataFrame, plan: Plan) -> str:
    """The table as Markdown: each contrast with its hypothesis, over all datasets and for each of them."""
    parts = []
    for contrast in plan.contrasts:
        own = found[found["contrast"] == contrast.name]
        if own.empty:
            parts.append(f"**{contrast.name}.** {contrast.hypothesis}\n\n{NO_ROWS}")
            continue
        parts.append(f"**{contrast.name}.** {contrast.hypothesis}\n\n{shown(own, ['splits_needed'])}")
    return "\n\n".join(parts)


def shown(rows: pd.DataFrame, last: Sequence[str] = (), first: Sequence[str] = ()) -> str:
    """Judged rows as a Markdown table. first, last: further columns"""
    means = rows["dataset"].isin(MEANS)
    table = rows.assign(difference=bounds(rows, "difference", "low", "high", sign="+"))
    table["splits"] = [f"{n} sets" if mean else str(n) for n, mean in zip(rows["splits"], means, strict=True)]
    names = [*first, "metric", "dataset", "difference", "splits", "margin", "p_holm", "p_equivalent_holm"]
    names += ["p_overlap", *(["lost"] if (rows["lost"] > 0).any() else []), "verdict", *last]
    return markdown(table[names])


def decided(found: pd.DataFrame) -> tuple[int, int]:
    """(decided, all) verdicts on single datasets."""
    single = found[~found["dataset"].isin(MEANS)]
    return int((~single["verdict"].isin(["undecided", LOST])).sum()), len(single)


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser("analysis.contrasts", __doc__)
    parser.add_argument("plan", type=Path, help="The TOML file with the planned contrasts.")
    parser.add_argument(
        "studies", nargs="+", type=Path, help="The folders of the studies, which are read together."
    )
    arguments = parser.parse_args(argv)
    plan = read(arguments.plan)
    study = join([load(folder) for folder in arguments.studies])
    found = table(study, plan)
    print(text(found, plan))
    print("\n{} of {} verdicts on single datasets are decided.".format(*decided(found)))


if __name__ == "__main__":
    exit_on_user_error(main)
