"""Charts of analysis.importance: bars with whiskers, and parallel coordinates."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from analysis import charts
from analysis.tables import Metric, Study, varying


def shares(study: Study, found: pd.DataFrame) -> ChartType:
    """Bars of importance with whiskers, a colour for each method."""
    data = found.assign(method=found["method"].map(study.method_title), role="searched")
    data["setting"] = data["setting"].map(study.title)
    if data["world"].nunique() > 1:
        data["setting"] = data["setting"] + ", " + data["world"]
    data = data.sort_values("importance", ascending=False).assign(start=0)
    columns = ["method", "setting", "importance", "low", "high", "trials"]
    base = alt.Chart(charts.compact(data, [*columns, "role", "start"]))
    y = alt.Y("setting:N", sort=None, title=None, axis=alt.Axis(labelLimit=220))
    shift = alt.YOffset("method:N", sort=None)
    percent = alt.Axis(format="~%", tickCount=6)
    start = alt.X("start:Q", title="importance", scale=alt.Scale(domain=[0, 1]), axis=percent)
    colour = charts.method_colour(study, found["method"].unique())
    bars = base.mark_rule(strokeWidth=11, opacity=0.7).encode(
        x=start, x2="importance:Q", y=y, yOffset=shift, color=colour, tooltip=columns
    )
    whiskers = base.mark_rule(strokeWidth=1.5).encode(x="low:Q", x2="high:Q", y=y, yOffset=shift)
    height = charts.rows_height(data["setting"], 22, data["method"].nunique())
    return alt.layer(bars, whiskers).properties(width=charts.WIDTH, height=height)


def parallel(study: Study, table: pd.DataFrame, method: str, colour_by: Metric, other: Metric) -> ChartType:
    """Parallel coordinates of one method's trials: hyper-parameters, then both goals, each as a rank."""
    arm = table[(table["method"] == method) & table[[colour_by.name, other.name]].notna().all(axis=1)]
    arm = charts.thin(arm, arm["trial"].isna(), 300)
    numeric = [n for n in varying(study, arm) if pd.api.types.is_numeric_dtype(arm[n])]
    axes = numeric + [other.name, colour_by.name]
    ranks = (
        arm[axes].rank(pct=True).assign(trial=arm["trial"], shade=arm[colour_by.name], setting=arm["setting"])
    )
    long = ranks.melt(["trial", "shade", "setting"], var_name="axis", value_name="rank")
    titles = {colour_by.name: colour_by.title, other.name: other.title}
    long["axis"] = long["axis"].map(lambda name: titles.get(name) or study.title(name))
    base = alt.Chart(charts.compact(long, ["trial", "shade", "setting", "axis", "rank"]))
    return (
        base.mark_line(strokeOpacity=0.5)  # not `opacity`, which would make each line a separate layer
        .encode(
            x=alt.X(
                "axis:N", sort=None, title=None, scale=alt.Scale(padding=0.1), axis=alt.Axis(labelAngle=-20)
            ),
            y=alt.Y("rank:Q", title="rank", axis=alt.Axis(format="~%")),
            detail="trial:N",
            color=alt.Color("shade:Q", title=colour_by.title, legend=alt.Legend(gradientLength=160)),
            tooltip=["trial", "setting", alt.Tooltip("shade:Q", title=colour_by.title)],
        )
        .properties(width=charts.WIDTH, height=charts.HEIGHT - 60)
    )
