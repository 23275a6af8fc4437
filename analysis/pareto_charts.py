"""The Pareto chart shows every trial with its intervals, each method's front, and the names of references."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from analysis import charts
from analysis.sections import Figure
from analysis.tables import Metric, Study

MAX_PANELS = 6


def front_figure(study: Study, table: pd.DataFrame, x: Metric, y: Metric) -> Figure:
    """Every trial with its intervals, and each method's front as a line; a panel for each world."""
    panels: dict[str, ChartType] = {}
    for world, part in list(table.groupby("world", sort=False))[:MAX_PANELS]:
        panels[str(world)] = front_chart(study, part, x, y)
    columns = [
        "trial",
        "world",
        "method",
        "role",
        "setting",
        "replicates",
        "ok",
        "on_front",
        "on_joint_front",
    ]
    columns += ["front_probability"]
    columns += [f"{m.name}{end}" for m in (x, y) for end in ("", "_low", "_high")]
    shown = table.sort_values(["on_front", x.name], ascending=[False, x.best == "min"])
    return Figure(
        name="pareto",
        title=f"{x.title} against {y.title}",
        reading="Each point is a trial, the mean of its replicates. Whiskers are 95 % t intervals; they are "
        "cut at the ends of the metric and of the chart, and left out for fewer than three replicates. A "
        "stepped line joins the front of a method: trials that no other trial of it beats in both metrics. "
        f"The best corner is {_corner(x, y)}; "
        "diamonds are references that were not searched.",
        charts=panels,
        table=shown[columns],
    )


def _corner(x: Metric, y: Metric) -> str:
    up = "top" if y.best == "max" else "bottom"
    return f"{up} {'right' if x.best == 'max' else 'left'}"


def front_chart(study: Study, trials: pd.DataFrame, x: Metric, y: Metric) -> ChartType:
    """One world: points with t intervals, fronts as steps, names of references; hover shows the settings."""
    columns = ["trial", "role", "setting", "on_front", "ok", "replicates", "complete", "front_probability"]
    columns += [f"{m.name}{end}" for m in (x, y) for end in ("", "_low", "_high")]
    # Several studies that are read as one may have the same reference.
    again = trials["role"].eq("reference") & trials.duplicated(["method", x.name, y.name])
    named = trials[~again].assign(method=trials["method"].map(study.method_title))
    data = charts.compact(named, [*columns, "method"])
    keep = data["on_front"] | (data["role"] != "searched")
    base = alt.Chart(charts.thin(data, keep))
    colour = charts.method_colour(study, trials["method"].unique())
    at_x, at_y = charts.axis(alt.X, x.name, x, data[x.name]), charts.axis(alt.Y, y.name, y, data[y.name])
    faded = alt.condition("datum.on_front || datum.role == 'reference'", alt.value(0.95), alt.value(0.35))
    whisker = base.transform_filter("datum.on_front || datum.role != 'searched'").mark_rule(
        opacity=0.45, clip=True
    )
    points = base.mark_point(size=64).encode(
        x=at_x,
        y=at_y,
        color=colour,
        shape=charts.role_shape(),
        opacity=faded,
        tooltip=[
            alt.Tooltip("method:N", title="method"),
            alt.Tooltip("trial:N", title="trial"),
            alt.Tooltip("setting:N", title="setting"),
            alt.Tooltip(f"{x.name}:Q", title=x.title, format=".3f"),
            alt.Tooltip(f"{y.name}:Q", title=y.title, format=".3f"),
            alt.Tooltip("ok:Q", title="replicates with results"),
            alt.Tooltip("front_probability:Q", title="probability of being on the front", format=".2f"),
        ],
    )
    steps = (
        base.transform_filter("datum.on_front")
        .mark_line(
            interpolate="step-before" if x.best == "max" else "step-after", opacity=0.8, strokeWidth=1.5
        )
        .encode(x=at_x, y=at_y, color=colour, order=alt.Order(f"{x.name}:Q"))
    )
    left = _crowded(data[data["role"] == "reference"], x.name, y.name)
    named = base.transform_filter("datum.role == 'reference'").encode(x=at_x, y=at_y, text="method:N")
    beside = alt.FieldOneOfPredicate(field="trial", oneOf=left)
    intervals = bool(data[f"{x.name}_low"].notna().any())
    references = int((data["role"] == "reference").sum())
    across, up = (alt.X(f"{x.name}_low:Q"), alt.Y(f"{y.name}_low:Q"))
    layers = [
        (whisker.encode(x=across, x2=f"{x.name}_high:Q", y=at_y, color=colour), intervals),
        (whisker.encode(y=up, y2=f"{y.name}_high:Q", x=at_x, color=colour), intervals),
        (steps, bool(data["on_front"].any())),
        (points, True),
        (named.transform_filter(~beside).mark_text(align="left", dx=9), references > len(left)),
        (named.transform_filter(beside).mark_text(align="right", dx=-9), bool(left)),
    ]
    return charts.layered(layers).properties(width=charts.WIDTH + 120, height=charts.HEIGHT + 40)


def _crowded(references: pd.DataFrame, x: str, y: str) -> list[str]:
    """References whose name would overlap with the next one to the right: their names are put on the left."""
    spread = references[[x, y]].max() - references[[x, y]].min()
    found = []
    for _, row in references.iterrows():
        right = references[(references[x] > row[x]) & (references[x] - row[x] < 0.5 * spread[x])]
        if ((right[y] - row[y]).abs() < 0.06 * spread[y]).any():
            found.append(row["trial"])
    return found
