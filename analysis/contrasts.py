"""Report all planned comparisons, which were written down before the studies were run.

python -m analysis.contrasts PLAN.toml runs/NAME ...   # what the studies say about each planned contrast

The plan is a TOML file:

    level = 0.05

    [margins]                        # the difference that matters, for each metric
    test_silhouette = 0.1

    [[contrasts]]
    name = "infonce-narrowed"
    question = "Q2"
    hypothesis = "InfoNCE has the better Silhouette when its embeddings are narrowed."
    metrics = ["test_silhouette"]
    a = { method = "infonce", spread_weight = -1 }    # conditions on columns, as in tables.toml
    b = { method = "infonce", spread_weight = 0 }
    within = ["snr_db"]              # optional: a and b are compared at equal values, which are then averaged

Each contrast is the mean of a minus the mean of b for each data set, paired by split and seed. The splits of
the subjects are what repeats independently; training seeds are averaged within them. Holm's correction is
over the data sets of a contrast and metric. A contrast is

- *higher* or *lower* where the difference is shown not to be zero;
- *equivalent* where it is shown to lie within the margin (two one-sided tests), whether or not it is zero;
- *undecided* where neither is shown, and then the table says how many splits would decide it.
"""

import argparse
import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from analysis import replicates
from analysis.errors import UserError, exit_on_user_error, nearest
from analysis.joined import join
from analysis.markdown import bounds, markdown
from analysis.pooled import random_effects
from analysis.selection import meeting, selected
from analysis.statistics import equivalence_p, holm, mean_interval, mean_p, seeds_needed
from analysis.tables import SHARE_DIGITS, Study, as_given, load

POOLED = "all data sets"
SHOWN = ("higher", "lower")  # verdicts that show a difference
NO_ROWS = "No data set has rows of both sides yet."
LEVEL = 0.05
TOP = {"contrasts", "margins", "level"}
KEYS = {"name", "question", "hypothesis", "metrics", "a", "b", "within"}
COLUMNS = (
    "question", "contrast", "metric", "dataset", "difference", "low", "high", "splits", "margin",
    "p", "p_holm", "p_equivalent", "p_equivalent_holm", "p_overlap", "verdict", "splits_needed",
)  # fmt: skip


@dataclass(frozen=True)
class Contrast:
    """One planned comparison; `a` and `b` are conditions on columns (`analysis.selection`)."""

    name: str
    question: str
    hypothesis: str
    metrics: tuple[str, ...]
    a: Mapping[str, Any]
    b: Mapping[str, Any]
    within: tuple[str, ...] = ()


Sides = tuple[pd.DataFrame, pd.DataFrame]


@dataclass(frozen=True)
class Plan:
    """margins: the difference that matters, by metric; level: of the tests"""

    contrasts: tuple[Contrast, ...]
    margins: Mapping[str, float]
    level: float = LEVEL


def read(path: Path) -> Plan:
    """The plan in a TOML file. Raises UserError for what is missing, unknown, or named twice."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give the plan's TOML file") from None
    except ValueError as error:
        raise UserError(f"{path} is not TOML ({error}): correct it") from None
    for key in sorted(found.keys() - TOP):
        raise UserError(f"{path} has '{key}': {nearest(key, TOP)}")
    margins = found.get("margins", {})
    contrasts: list[Contrast] = []
    for given in found.get("contrasts", []):
        name = given.get("name", f"number {len(contrasts) + 1}")
        for key in given.keys() - KEYS:
            raise UserError(f"{path}: contrast {name} has '{key}': {nearest(key, KEYS)}")
        missing = sorted(KEYS - {"within"} - given.keys())
        if missing:
            raise UserError(f"{path}: contrast {name} has no {missing[0]}: add it")
        if name in (other.name for other in contrasts):
            raise UserError(f"{path}: two contrasts are named {name}: rename one")
        for metric in given["metrics"]:
            if not margins.get(metric, 0) > 0:
                raise UserError(
                    f"{path}: [margins] has no number above 0 for {metric}: add the difference that matters"
                )
        as_read = given | {"metrics": tuple(given["metrics"]), "within": tuple(given.get("within", ()))}
        contrasts.append(Contrast(**as_read))
    if not contrasts:
        raise UserError(f"{path} has no [[contrasts]]: add one")
    return Plan(tuple(contrasts), margins, found.get("level", LEVEL))


def table(study: Study, plan: Plan) -> pd.DataFrame:
    """Every contrast of the plan: a row for each metric and data set, and one over all data sets (COLUMNS).

    p_overlap: as p, with the variance that splits sharing subjects need, (1 / n + 1 / 3) sd^2 for 20 % of the
        subjects in the test split and 60 % in the training split (Nadeau & Bengio 2003). It is not corrected
        over data sets, and decides nothing: it says which differences would still be shown to a reader who
        wants to speak about other people.
    Raises UserError where a contrast selects no row, or more than one setting on one side.
    """
    rows = []
    for contrast in plan.contrasts:
        both = sides(study, contrast)
        for metric in contrast.metrics:
            about = {"question": contrast.question, "contrast": contrast.name, "metric": metric}
            of = differences(both, contrast, metric)
            rows += judged(of, plan.margins[metric], plan.level, about)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def with_rows(study: Study, plan: Plan) -> Plan:
    """The plan without the contrasts for which no data set has rows on both sides, as while studies run."""

    rows = study.ok

    def sets(side: Mapping[str, Any]) -> set[str]:
        return set(rows.loc[meeting(rows, side), "dataset"])

    there = tuple(contrast for contrast in plan.contrasts if sets(contrast.a) & sets(contrast.b))
    return dataclasses.replace(plan, contrasts=there)


def judged(
    of: Mapping[str, "pd.Series[float]"], margin: float, level: float, about: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Rows with the verdicts (COLUMNS) for each data set and over all, from differences by split.

    about: what all rows say besides
    """
    names, gaps = list(of), [gap.to_numpy(dtype=float) for gap in of.values()]
    p = [mean_p(gap) for gap in gaps]
    equivalent = [float(equivalence_p(gap, margin)) for gap in gaps]
    p_holm, equivalent_holm = holm(p), holm(equivalent)
    about = {**about, "margin": margin}
    rows = []
    for i, (name, gap) in enumerate(zip(names, gaps, strict=True)):
        found = mean_interval(gap)
        verdict = word(found.estimate, p_holm[i], equivalent_holm[i], level)
        needed = None
        if verdict == "undecided" and found.n > 1:
            needed = splits_needed(found.estimate, float(np.nanstd(gap, ddof=1)), margin, level / len(gaps))
        rows.append(
            about
            | {"dataset": name, "difference": found.estimate, "low": found.low, "high": found.high}
            | {"splits": found.n, "p": p[i], "p_holm": p_holm[i], "p_equivalent": equivalent[i]}
            | {"p_equivalent_holm": equivalent_holm[i], "p_overlap": overlap_p(gap)}
            | {"verdict": verdict, "splits_needed": needed}
        )
    errors = np.array([np.nanstd(gap, ddof=1) / np.sqrt(np.isfinite(gap).sum()) for gap in gaps])
    pooled = random_effects(np.array([row["difference"] for row in rows]), errors, margin)
    rows.append(
        about
        | {"dataset": POOLED, "difference": pooled.estimate, "low": pooled.low, "high": pooled.high}
        | {"splits": pooled.n, "p": pooled.p, "p_holm": pooled.p, "p_equivalent": pooled.p_equivalent}
        | {"p_equivalent_holm": pooled.p_equivalent, "p_overlap": np.nan, "splits_needed": None}
        | {"verdict": word(pooled.estimate, pooled.p, pooled.p_equivalent, level)}
    )
    return rows


def sides(study: Study, contrast: Contrast) -> Sides:
    """The rows of side a and b, each of one setting on a data set. UserError where it is none or several."""
    ok = study.ok
    for metric in contrast.metrics:
        study.metric(metric)
    both = selected(ok, [contrast.a]), selected(ok, [contrast.b])
    for name, rows in zip("ab", both, strict=True):
        _one_setting(study, contrast, name, rows)
    return both


def differences(both: Sides, contrast: Contrast, metric: str) -> dict[str, "pd.Series[float]"]:
    """Differences a - b by split (of one split, by seed), for each data set that has both `sides`."""
    found = {}
    for dataset in sorted(set(both[0]["dataset"]) & set(both[1]["dataset"])):
        a, b = (rows[rows["dataset"] == dataset] for rows in both)
        parts = [
            replicates.values(a_rows, metric) - replicates.values(b_rows, metric)
            for a_rows, b_rows in _pairs(a, b, contrast.within)
        ]
        mean = pd.concat(parts, axis=1).mean(axis=1, skipna=False) if parts else pd.Series(dtype=float)
        units = replicates.units(mean)
        if units.notna().any():
            found[dataset] = units
    if not found:
        raise UserError(
            f"contrast {contrast.name}: no data set has {metric} for both {dict(contrast.a)} and "
            f"{dict(contrast.b)}: run both, or correct the plan"
        )
    return found


def _pairs(
    a: pd.DataFrame, b: pd.DataFrame, within: Sequence[str]
) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    if not within:
        return [(a, b)]
    of_b = dict(iter(b.groupby(list(within), dropna=False)))
    return [(rows, of_b[key]) for key, rows in a.groupby(list(within), dropna=False) if key in of_b]


def _one_setting(study: Study, contrast: Contrast, side: str, rows: pd.DataFrame) -> None:
    """A side with two settings would average what nobody planned to average."""
    compared = ["method", *(name for name in study.setting_columns if name not in contrast.within)]
    trials = as_given(rows.drop_duplicates("trial"))
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


def overlap_p(gap: np.ndarray) -> float:
    """Two-sided p of the corrected resampled t test (Nadeau & Bengio 2003); nan below two values."""
    x = gap[np.isfinite(gap)]
    if len(x) < 2:
        return np.nan
    error = float(np.sqrt((1 / len(x) + 1 / 3) * x.var(ddof=1)))
    return float(2 * special.stdtr(len(x) - 1, -abs(x.mean()) / error)) if error else float(x.mean() == 0)


def splits_needed(difference: float, sd: float, margin: float, level: float) -> int | None:
    """Splits that decide, four times in five, a true difference as found; None beyond 1,000."""
    shown = seeds_needed(sd, abs(difference), alpha=level / 2) if difference else None
    inside = seeds_needed(sd, margin - abs(difference), alpha=level) if abs(difference) < margin else None
    return min((n for n in (shown, inside) if n is not None), default=None)


def text(found: pd.DataFrame, plan: Plan) -> str:
    """The table as Markdown: each contrast with its hypothesis, over all data sets and for each of them."""
    parts = []
    for contrast in plan.contrasts:
        own = found[found["contrast"] == contrast.name]
        if own.empty:
            parts.append(f"**{contrast.name}.** {contrast.hypothesis}\n\n{NO_ROWS}")
            continue
        shown = own.assign(difference=bounds(own, "difference", "low", "high", sign="+"))
        names = [
            "metric",
            "dataset",
            "difference",
            "splits",
            "margin",
            "p_holm",
            "p_equivalent_holm",
            "p_overlap",
        ]
        names += ["verdict", "splits_needed"]
        parts.append(f"**{contrast.name}.** {contrast.hypothesis}\n\n{markdown(shown[names])}")
    return "\n\n".join(parts)


def decided(found: pd.DataFrame) -> tuple[int, int]:
    """(decided, all) verdicts on single data sets."""
    single = found[found["dataset"] != POOLED]
    return int((single["verdict"] != "undecided").sum()), len(single)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "python -m analysis.contrasts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("plan", type=Path, help="The TOML file with the planned contrasts.")
    parser.add_argument(
        "studies", nargs="+", type=Path, help="The folders of the studies, which are read together."
    )
    arguments = parser.parse_args(argv)
    plan = read(arguments.plan)
    study = join([load(folder) for folder in arguments.studies])
    found = table(study, plan)
    print(text(found, plan))
    print("\n{} of {} verdicts on single data sets are decided.".format(*decided(found)))


if __name__ == "__main__":
    exit_on_user_error(main)
