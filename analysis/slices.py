"""Each searched setting against the goals, all other settings varying along.

python -m analysis.slices runs/NAME [runs/OTHER ...]
"""

from collections.abc import Sequence

import altair as alt
import pandas as pd
from altair.typing import ChartType

from analysis import charts
from analysis.errors import UserError, exit_on_user_error
from analysis.pareto import goals, worlds
from analysis.sections import Figure, Section, parser, run
from analysis.statistics import spearman_interval
from analysis.tables import Metric, Study, per_trial, settings_text

KNOBS = ("threshold", "dissimilar_share", "margin", "temperature", "supervised_weight")
LOGARITHMIC = ("margin", "temperature", "supervised_weight")
MAX_WORLDS = 3  # drawn; the table holds all
MINIMUM = 10  # distinct values that make a curve; fewer are a grid, which robustness.py reads


def section(study: Study) -> Section | None:
    """The threshold against both goals, then the other knobs; None where no setting takes ten values."""
    x, y = goals(study)
    table = per_trial(study, [x.name, y.name]).dropna(subset=[x.name, y.name])
    searched = table[table["kind"] != "reference"]
    knobs = [name for name in KNOBS if searched[name].nunique() >= MINIMUM]
    if "threshold" in knobs and "dissimilar_share" in knobs:  # one determines the other
        by_share = "dissimilar_share" in study.settings.get("dimensions", {})
        knobs.remove("threshold" if by_share else "dissimilar_share")
    if not knobs:
        return None
    table["setting"] = settings_text(table)
    found = correlations(table, knobs, (x, y))
    return Section(
        name="settings",
        title="The knobs",
        intro="What does each setting do to both goals, with the others varying along?",
        verdicts=tuple(_sentences(found, (x, y))),
        headlines=2,
        notes=charts.thinned(len(searched)),
        figures=tuple(knob_figure(table, knob, (x, y), found) for knob in knobs),
    )


def correlations(table: pd.DataFrame, knobs: Sequence[str], metrics: Sequence[Metric]) -> pd.DataFrame:
    """Spearman's rho of knob and metric over the trials of an objective in a world, with 95 % intervals."""
    rows = []
    for knob in knobs:
        named = table[table[knob].notna() & (table["kind"] != "reference")]
        for (world, objective), arm in named.groupby([worlds(named), "objective"], sort=False):
            if arm[knob].nunique() < MINIMUM:
                continue
            for metric in metrics:
                rho = spearman_interval(
                    arm[knob].to_numpy(dtype=float), arm[metric.name].to_numpy(dtype=float)
                )
                rows.append(
                    {
                        "knob": knob,
                        "world": world,
                        "objective": objective,
                        "metric": metric.name,
                        "trials": rho.n,
                        "spearman": rho.estimate,
                        "low": rho.low,
                        "high": rho.high,
                    }
                )
    return pd.DataFrame(
        rows, columns=["knob", "world", "objective", "metric", "trials", "spearman", "low", "high"]
    )


def knob_figure(table: pd.DataFrame, knob: str, metrics: Sequence[Metric], found: pd.DataFrame) -> Figure:
    """One knob against each goal, side by side."""
    title = knob.replace("_", " ")
    named = table[table[knob].notna() & (table["kind"] != "reference")]
    panels: dict[str, ChartType] = {}
    for world, part in list(named.groupby(worlds(named), sort=False))[:MAX_WORLDS]:
        for metric in metrics:
            panels[f"{metric.title} on {world}"] = knob_chart(part, knob, metric)
    return Figure(
        name=f"settings-{knob.replace('_', '-')}",
        title=f"{title.capitalize()} against both goals",
        reading=f"Each point is a trial at its {title}; the line is its local mean (LOESS). "
        "A flat line means that the setting does not matter within the range searched.",
        charts=panels,
        table=found[found["knob"] == knob],
    )


def knob_chart(trials: pd.DataFrame, knob: str, metric: Metric) -> ChartType:
    """Points with t intervals and their local mean, for each objective that has the knob."""
    m = metric.name
    named = trials.assign(method=trials["objective"].map(charts.objective_title))
    named = charts.within_range(named, metric)
    data = charts.compact(named, ["trial", "method", "kind", "setting", knob, m, f"{m}_low", f"{m}_high"])
    data = charts.thin(data, data["trial"].isna())
    base = alt.Chart(data)
    scale = alt.Scale(type="log", nice=False) if knob in LOGARITHMIC else alt.Scale(zero=False, nice=False)
    at_x = alt.X(f"{knob}:Q", title=knob.replace("_", " "), scale=scale)
    at_y = charts.axis(alt.Y, m, metric)
    colour = charts.objective_colour(named["objective"].unique())
    points = base.mark_point(size=45, opacity=0.55).encode(
        x=at_x,
        y=at_y,
        color=colour,
        shape=charts.kind_shape(),
        tooltip=[
            alt.Tooltip("method:N", title="method"),
            alt.Tooltip("trial:N", title="trial"),
            alt.Tooltip("setting:N", title="setting"),
            alt.Tooltip(f"{m}:Q", title=metric.title, format=".3f"),
        ],
    )
    whiskers = base.mark_rule(opacity=0.25).encode(
        x=at_x, y=alt.Y(f"{m}_low:Q"), y2=f"{m}_high:Q", color=colour
    )
    trend = base.transform_loess(knob, m, groupby=["method"], bandwidth=0.6).mark_line(strokeWidth=2)
    intervals = bool(data[f"{m}_low"].notna().any())
    layers = [(whiskers, intervals), (points, True), (trend.encode(x=at_x, y=at_y, color=colour), True)]
    return charts.layered(layers).properties(width=charts.WIDTH, height=charts.HEIGHT - 60)


def _sentences(found: pd.DataFrame, metrics: Sequence[Metric]) -> list[str]:
    titles = {metric.name: metric.title for metric in metrics}
    several = found["world"].nunique() > 1
    sentences = []
    for _, row in found[found["knob"].isin(["threshold", "dissimilar_share"])].iterrows():
        where = f" on {row['world']}" if several else ""
        relation = "rises" if row["low"] > 0 else "falls" if row["high"] < 0 else "shows no clear trend"
        sentences.append(
            f"{titles[row['metric']]} {relation} with the {row['knob'].replace('_', ' ')} of "
            f"{charts.objective_title(row['objective'])}{where}: rank correlation {row['spearman']:.2f} "
            f"[{row['low']:.2f}, {row['high']:.2f}] over {row['trials']} trials."
        )
    return sentences


def main(argv: Sequence[str] | None = None) -> None:
    def needed(study: Study) -> Section:
        found = section(study)
        if found is None:
            raise UserError(
                f"{study.folder} has no setting with {MINIMUM} values, so there is no curve to draw: search "
                "a range, as --threshold 0.2:0.99, or read a grid with `python -m analysis.robustness`"
            )
        return found

    run(parser(__doc__, "python -m analysis.slices").parse_args(argv), needed)


if __name__ == "__main__":
    exit_on_user_error(main)
