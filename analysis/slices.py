"""Draw the goals over each searched hyper-parameter, while all other hyper-parameters vary too.

python -m analysis.slices runs/NAME [runs/OTHER ...]
"""

import re
from collections.abc import Sequence

import altair as alt
import pandas as pd
from altair.typing import ChartType

from analysis import charts
from analysis.distinct import distinct
from analysis.errors import UserError, exit_on_user_error
from analysis.pareto import goals
from analysis.sections import Figure, Section, parser, run
from analysis.statistics import spearman_interval
from analysis.tables import Metric, Study, as_given, per_trial, settings_text
from analysis.words import capitalised
from analysis.worlds import worlds

MAX_WORLDS = 3  # worlds that are drawn; the table has all
MINIMUM = 10  # distinct values that a curve needs; fewer are a grid, which robustness.py reads
TREND_TRIALS = 20  # of a method; fewer points do not show a local mean
COLUMNS = ["setting", "world", "method", "metric", "trials", "spearman", "low", "high"]


def section(study: Study) -> Section | None:
    """Both goals over each searched hyper-parameter; None where none has ten values."""
    x, y = goals(study)
    table = per_trial(study, [x.name, y.name]).dropna(subset=[x.name, y.name])
    table = as_given(table[table["role"] != "reference"])
    names = searched(study, table)
    if not names:
        return None
    table["text"] = settings_text(study, table)
    found = correlations(study, table, names, (x, y))
    return Section(
        name="settings",
        title="The hyper-parameters",
        intro="How does each hyper-parameter change both goals, while the others vary too?",
        verdicts=tuple(_sentences(study, found, (x, y))),
        headlines=2,
        notes=charts.thinned(len(table)),
        figures=tuple(setting_figure(study, table, name, (x, y), found) for name in names),
    )


def searched(study: Study, table: pd.DataFrame) -> list[str]:
    """Numeric hyper-parameters with at least ten values; those that the study asks about come first."""
    names = [
        name
        for name in study.setting_columns
        if pd.api.types.is_numeric_dtype(study.rows[name]) and table[name].nunique() >= MINIMUM
    ]
    return sorted(names, key=lambda name: not _scientific(study, name))


def _scientific(study: Study, name: str) -> bool:
    return name in study.hyperparameters and study.hyperparameters[name].role == "scientific"


def correlations(
    study: Study, table: pd.DataFrame, names: Sequence[str], metrics: Sequence[Metric]
) -> pd.DataFrame:
    """Spearman's rho of hyper-parameter and metric over the distinct trials of a method in a world."""
    rows = []
    table = distinct(study, table, [metric.name for metric in metrics])
    for name in names:
        own = table[table[name].notna()]
        for (world, method), arm in own.groupby([worlds(own), "method"], sort=False):
            if arm[name].nunique() < MINIMUM:
                continue
            for metric in metrics:
                rho = spearman_interval(arm[name].to_numpy(float), arm[metric.name].to_numpy(float))
                rows.append((name, world, method, metric.name, rho.n, rho.estimate, rho.low, rho.high))
    return pd.DataFrame(rows, columns=COLUMNS)


def setting_figure(
    study: Study, table: pd.DataFrame, name: str, metrics: Sequence[Metric], found: pd.DataFrame
) -> Figure:
    """Each goal over one hyper-parameter, side by side."""
    title = study.title(name)
    own = table[table[name].notna()]
    panels: dict[str, ChartType] = {}
    for world, part in list(own.groupby(worlds(own), sort=False))[:MAX_WORLDS]:
        for metric in metrics:
            panels[f"{metric.title} on {world}"] = setting_chart(study, part, name, metric)
    return Figure(
        name=f"settings-{re.sub(r'[^a-z0-9]+', '-', name.lower())}",
        title=f"{capitalised(title)} and both goals",
        reading=f"Each point is a trial at its {title}. A method with at least {TREND_TRIALS} trials has a "
        "line, the local mean of its points (LOESS); a flat line means that the hyper-parameter does not "
        "matter within the range searched.",
        charts=panels,
        table=found[found["setting"] == name],
    )


def setting_chart(study: Study, trials: pd.DataFrame, name: str, metric: Metric) -> ChartType:
    """Points with t intervals and their local mean, for each method that has the hyper-parameter."""
    m = metric.name
    # A column's name may hold a dot, which Vega would read as a path: the chart calls it `at`.
    named = trials.assign(method=trials["method"].map(study.method_title), at=trials[name].astype(float))
    data = charts.compact(named, ["trial", "method", "role", "text", "at", m, f"{m}_low", f"{m}_high"])
    data = charts.thin(data, data["trial"].isna())
    base = alt.Chart(data)
    logarithmic = study.logarithmic(name) and (data["at"] > 0).all()
    scale = alt.Scale(type="log", nice=False) if logarithmic else alt.Scale(zero=False, nice=False)
    at_x = alt.X("at:Q", title=study.title(name), scale=scale)
    at_y = charts.axis(alt.Y, m, metric)
    colour = charts.method_colour(study, trials["method"].unique())
    points = base.mark_point(size=45, opacity=0.55).encode(
        x=at_x,
        y=at_y,
        color=colour,
        shape=charts.method_shape(study, trials["method"].unique()),
        tooltip=[
            alt.Tooltip("method:N", title="method"),
            alt.Tooltip("trial:N", title="trial"),
            alt.Tooltip("text:N", title="setting"),
            alt.Tooltip(f"{m}:Q", title=metric.title, format=".3f"),
        ],
    )
    whiskers = base.mark_rule(opacity=0.25).encode(
        x=at_x, y=alt.Y(f"{m}_low:Q"), y2=f"{m}_high:Q", color=colour
    )
    counts = named["method"].value_counts()
    many = sorted(counts[counts >= TREND_TRIALS].index)
    trend = (
        base.transform_filter(alt.FieldOneOfPredicate(field="method", oneOf=many))
        .transform_loess("at", m, groupby=["method"], bandwidth=0.6)
        .mark_line(strokeWidth=2)
    )
    intervals = bool(data[f"{m}_low"].notna().any())
    layers = [(whiskers, intervals), (points, True), (trend.encode(x=at_x, y=at_y, color=colour), bool(many))]
    return charts.layered(layers).properties(width=charts.WIDTH, height=charts.HEIGHT - 60)


def _sentences(study: Study, found: pd.DataFrame, metrics: Sequence[Metric]) -> list[str]:
    titles = {metric.name: metric.title for metric in metrics}
    several = found["world"].nunique() > 1
    sentences = []
    for _, row in found[found["setting"].map(lambda name: _scientific(study, name))].iterrows():
        where = f" on {row['world']}" if several else ""
        relation = "rises" if row["low"] > 0 else "falls" if row["high"] < 0 else "shows no clear trend"
        sentences.append(
            f"{titles[row['metric']]} {relation} with the {study.title(row['setting'])} of "
            f"{study.method_title(row['method'])}{where}: rank correlation {row['spearman']:.2f} "
            f"[{row['low']:.2f}, {row['high']:.2f}] over {row['trials']} trials."
        )
    return sentences


def main(argv: Sequence[str] | None = None) -> None:
    def needed(study: Study) -> Section:
        found = section(study)
        if found is None:
            raise UserError(
                f"{study.folder} has no hyper-parameter with {MINIMUM} values, so there is no curve to draw: "
                "search a range, such as --threshold 0.2:0.99, or read a grid with "
                "`python -m analysis.robustness`"
            )
        return found

    run(parser(__doc__, "python -m analysis.slices").parse_args(argv), needed)


if __name__ == "__main__":
    exit_on_user_error(main)
