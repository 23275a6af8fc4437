"""The report's first sentences: for each goal, the best method against the best reference.

Validation chooses both; where there are test subjects, the sentence is about them.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis import replicates
from analysis.pareto import best_of, controls, goals
from analysis.statistics import UNKNOWN, Interval, mean_interval
from analysis.tables import Metric, Study, per_trial, settings_text
from analysis.verdicts import IDLE
from analysis.words import bracketed, capitalised, inline, plural
from analysis.worlds import main_worlds, worlds

ARCHIVE = "ucr:"
BY_SUBJECT = ("subject", "leave-one-subject-out")  # splits in which nobody is on two sides
CEILING = 0.01  # of a metric's range: what lies so near to its best end leaves nothing to tell apart
SAME = 0.0005  # a difference that three digits do not show
UPPER_BOUND = "upper bound"  # role of a method that sees all labels: no reference to be beaten


class Side(NamedTuple):
    """One of the two that a headline compares: its row of the candidates, and its value."""

    row: "pd.Series[Any]"
    title: str
    value: Interval


@dataclass(frozen=True)
class Headline:
    """What one goal says in one world.

    verdict: "beats", "loses", "tie" (an interval around zero, or no difference), "unsure" (no interval),
        "ceiling", or "alone" where one of the two sides is missing
    claim: the answer in one sentence; details: the numbers behind it
    column: the metric's column that the numbers are of, with test_ in front where they are of test subjects
    method, reference: the trials compared, where there are any; difference: of the first minus the second
    """

    world: str
    metric: Metric
    verdict: str
    claim: str
    details: str
    column: str
    method: str | None = None
    reference: str | None = None
    difference: Interval = UNKNOWN


def headlines(study: Study) -> list[Headline]:
    """One for each goal and dataset, at its least noise."""
    pair = goals(study)
    table = candidates(study, pair)
    several = table["world"].nunique() > 1
    found = []
    for world in main_worlds(table):
        own = table[table["world"] == world]
        dataset = str(own["dataset"].iloc[0])
        where = f"on {study.data_title(dataset)}{world.removeprefix(dataset)}, " if several else ""
        for metric, other in (pair, pair[::-1]):
            found.append(_headline(study, own, metric, other, where))
    return found


def candidates(study: Study, pair: tuple[Metric, Metric]) -> pd.DataFrame:
    """Every trial with both goals and their values on test subjects; null where it may not be called best."""
    names = [name for m in pair for name in (m.name, f"test_{m.name}") if name in study.metrics]
    table = per_trial(study, list(dict.fromkeys(names)))
    table["world"] = worlds(table)
    table["setting"] = ""
    for _, own in table.groupby("world"):  # what varies between worlds is not a setting to choose
        table.loc[own.index, "setting"] = settings_text(study, own)
    table.loc[~table["complete"] | controls(study, table), list(names)] = np.nan
    return table


def _headline(study: Study, table: pd.DataFrame, metric: Metric, other: Metric, where: str) -> Headline:
    about = f"{where}{inline(metric.title)}"
    measured = table.dropna(subset=[metric.name])
    is_reference = measured["role"] == "reference"
    bound = measured["method"].map(lambda name: study.methods[name].role == UPPER_BOUND)
    trained, fixed = measured[~is_reference], measured[is_reference & ~bound]
    if trained.empty or fixed.empty:
        return _alone(study, table, metric, other, about, trained, fixed)
    rows = [part.loc[best_of(part, metric, other)] for part in (trained, fixed)]
    column = _column(metric, rows)
    method, reference = (_side(study, row, column) for row in rows)
    difference = _difference(study, rows, metric, column)
    verdict = judged(metric, method.value, reference.value, difference)
    unit = replicates.unit_word(study.rows[study.rows["trial"] == rows[0]["trial"]])
    details = [_numbers(study, metric, column, method, reference, difference, unit, len(trained))]
    details += _next(study, trained, method, metric, other, column)
    details += [idle] if (idle := idle_gate(rows[0], method.title)) else []
    if verdict == "ceiling":
        details.append("Nothing can score visibly higher, so this metric cannot tell encoders apart here.")
    return Headline(
        str(rows[0]["world"]),
        metric,
        verdict,
        f"{capitalised(about)}: {_claim(verdict, method, reference, metric, unit)}.",
        " ".join(details),
        column,
        rows[0]["trial"],
        rows[1]["trial"],
        difference,
    )


def judged(metric: Metric, method: Interval, reference: Interval, difference: Interval) -> str:
    """The verdict of a headline from its numbers."""
    end = metric.high if metric.best == "max" else metric.low
    room = CEILING * (metric.high - metric.low)
    if np.isfinite(room) and all(abs(end - side.estimate) <= room for side in (method, reference)):
        return "ceiling"
    if abs(difference.estimate) < SAME:
        return "tie"
    if np.isnan(difference.low):
        return "unsure"
    if difference.low <= 0 <= difference.high:
        return "tie"
    return "beats" if (difference.estimate > 0) == (metric.best == "max") else "loses"


def _claim(verdict: str, method: Side, reference: Side, metric: Metric, unit: str) -> str:
    ahead = (method.value.estimate > reference.value.estimate) == (metric.best == "max")
    best = f"the best reference, {reference.title},"  # singular, whatever the reference is called
    pair = (
        f"{method.title} is ahead of {best}"
        if ahead
        else f"{best} is ahead of the best method, {method.title},"
    )
    match verdict:
        case "beats":
            return f"{method.title} beats the best reference, {reference.title}"
        case "loses":
            return f"{best} beats the best method, {method.title}"
        case "unsure":
            return f"{pair} with too few {unit}s to be sure"
        case "ceiling":
            return f"{method.title} and the best reference, {reference.title}, are at the ceiling"
    if abs(method.value.estimate - reference.value.estimate) < SAME:
        return f"{method.title} equals the best reference, {reference.title}"
    return f"{method.title} and the best reference, {reference.title}, cannot be told apart"


def _numbers(
    study: Study,
    metric: Metric,
    column: str,
    method: Side,
    reference: Side,
    difference: Interval,
    unit: str,
    tried: int,
) -> str:
    setting = str(method.row["setting"])
    chosen = f"the best on validation of the {tried} settings of all methods" if tried > 1 else ""
    about = "; ".join(text for text in (setting, chosen) if text)
    where = subjects_text(study, method.row, column != metric.name)
    n = difference.n
    over = f"{n} {plural(n, unit)}" if unit == "split" else f"{n} training {plural(n, 'seed')} of one split"
    gap = f"{difference.estimate:+.3f}{_bounds(difference, '+')}"
    if np.isnan(difference.low):
        gap += f" over {over}, too few for an interval"
    else:
        gap += f" over {over}" + (", which may be zero" if difference.low <= 0 <= difference.high else "")
    return (
        f"{capitalised(where)}, {method.title}{f' ({about})' if about else ''} has "
        f"{method.value.estimate:.3f}{_bounds(method.value)} and {reference.title} "
        f"{reference.value.estimate:.3f}{_bounds(reference.value)}: a difference of {gap}."
    )


def _next(
    study: Study, trained: pd.DataFrame, best: Side, metric: Metric, other: Metric, column: str
) -> list[str]:
    """The best of the other methods, and whether it can be told apart from the best one."""
    others = trained[trained["method"] != best.row["method"]].dropna(subset=[column])
    if others.empty:
        return []
    row = others.loc[best_of(others, metric, other)]
    side = _side(study, row, column)
    gap = _difference(study, [best.row, row], metric, column)
    if abs(gap.estimate) < SAME:
        said = "the same"
    elif np.isnan(gap.low):
        said = f"a difference of {gap.estimate:+.3f}, without an interval"
    elif gap.low <= 0 <= gap.high:
        said = f"a difference of {gap.estimate:+.3f}{_bounds(gap, '+')}, which may be zero"
    else:
        said = f"a difference of {gap.estimate:+.3f}{_bounds(gap, '+')}"
    return [f"The next method, {side.title}, has {side.value.estimate:.3f}: {said}."]


def idle_gate(row: "pd.Series[Any]", title: str) -> str:
    """What is to be said beside a best threshold whose gate fires hardly ever or nearly always; else ''."""
    share = pd.to_numeric(row["dissimilar_share"])
    if row["gate"] != "intended" or pd.isna(share) or IDLE < share < 1 - IDLE:
        return ""
    if share in (0, 1):
        fires = "never fires" if share == 0 else "fires at every step"
    else:
        fires = f"fires at {_percent(share)} of steps"
    given = "dissimilar_share" if row.get("gate_given_as") == "dissimilar_share" else "threshold"
    value, word = row[given], given.replace("_", " ")
    named = f"a {word} of {float(value):.3g}" if pd.notna(value) else "this setting"
    few = "no frame" if share == 0 else "hardly any frame"
    effect = f"{few} is handled by the margin" if share <= IDLE else "it does not choose between steps"
    return f"The gate of {title} at {named} {fires}, so that {effect}."


def idle_mark(row: "pd.Series[Any]") -> str:
    """The same in three words, for a table; else ''."""
    if not idle_gate(row, ""):
        return ""
    return "the gate never fires" if float(row["dissimilar_share"]) <= IDLE else "all steps dissimilar"


def _percent(share: float) -> str:
    """A share near 0 or 1 in per cent, without rounding it to either."""
    return "under 0.1%" if share < 0.001 else "over 99.9%" if share > 0.999 else f"{share:.1%}"


def subjects_text(study: Study, row: "pd.Series[Any]", tested: bool) -> str:
    """On whom a value was measured: "on 3 test subjects"."""
    own = study.rows[study.rows["trial"] == row["trial"]]
    splits = pd.to_numeric(own[replicates.SPLIT]).dropna().astype(int).unique()
    side = "test" if tested else "validation"
    if set(own["split"].dropna()) - set(BY_SUBJECT):
        part = f"on the {side} part of recordings whose other parts are in training"
        return part if tested else f"{part}, on which the settings were chosen too"
    said = study.manifest.get("subjects", {}).get(row["dataset"], {})
    names = [(said.get(str(seed)) or {}).get(side, []) for seed in splits]
    if len(names) and all(names):
        n = len(set().union(*names))
        # in an archive of single series, each series counts as a subject
        who = "series" if str(row["dataset"]).startswith(ARCHIVE) else plural(n, "subject")
        text = f"on {n} {side} {who}"
    else:
        text = f"on {side} subjects (the study does not say how many)"
    return text if tested else f"{text}, on whom the settings were chosen too"


def _alone(
    study: Study,
    table: pd.DataFrame,
    metric: Metric,
    other: Metric,
    about: str,
    trained: pd.DataFrame,
    fixed: pd.DataFrame,
) -> Headline:
    """The headline where there is no method, no reference, or neither."""
    world = str(table["world"].iloc[0])
    if trained.empty and fixed.empty:
        said = "nothing was measured in every replicate, so there is nothing to say"
        return Headline(world, metric, "alone", f"{capitalised(about)}: {said}.", "", metric.name)
    part, kind = (trained, "method") if fixed.empty else (fixed, "reference")
    row = part.loc[best_of(part, metric, other)]
    column = _column(metric, [row])
    side = _side(study, row, column)
    why = (
        "no reference was measured, so nothing says whether training helped"
        if fixed.empty
        else "no method has a trial that ended well with every replicate"
    )
    details = f"The best {kind}, {side.title}, has {side.value.estimate:.3f}{_bounds(side.value)} "
    details += f"{subjects_text(study, row, column != metric.name)}."
    details += f" {idle}" if (idle := idle_gate(row, side.title)) else ""
    trials = (row["trial"], None) if fixed.empty else (None, row["trial"])
    return Headline(world, metric, "alone", f"{capitalised(about)}: {why}.", details, column, *trials)


def _column(metric: Metric, rows: list["pd.Series[Any]"]) -> str:
    """The column of test subjects where all rows have it, else that of validation."""
    tested = f"test_{metric.name}"
    return tested if all(pd.notna(row.get(tested)) for row in rows) else metric.name


def _side(study: Study, row: "pd.Series[Any]", column: str) -> Side:
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return Side(
        row,
        inline(bracketed(study.method_title(row["method"]))),
        Interval(row[column], low, high, row["units"]),
    )


def _difference(study: Study, rows: list["pd.Series[Any]"], metric: Metric, column: str) -> Interval:
    a, b = (replicates.values(study.ok[study.ok["trial"] == row["trial"]], column) for row in rows)
    return mean_interval(replicates.against(a, b).to_numpy(dtype=float), within=metric.differences)


def _bounds(found: Interval, sign: str = "") -> str:
    return "" if np.isnan(found.low) else f" [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"
