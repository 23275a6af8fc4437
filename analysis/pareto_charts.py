"""The Pareto chart shows every trial with its intervals, each method's front, and the names of references."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from analysis import charts
from analysis.sections import Figure
from analysis.tables import Metric, Study
from analysis.words import inline

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
        title=f"{y.title} against {inline(x.title)}",
        reading="Each point is a trial, the mean of its replicates. Large points joined by steps are a "
        "method's front: none of its other trials beats them in both metrics. Whiskers of fronts and "
        "references are 95 % t intervals; they are cut at the ends of the metric and of the chart, and left "
        f"out for fewer than three replicates. The best corner is {_corner(x, y)}. Hollow shapes are "
        "references, which were not searched.",
        charts=panels,
        table=shown[columns],
    )


def _corner(x: Metric, y: Metric) -> str:
    up = "top" if y.best == "max" else "bottom"
    return f"{up} {'right' if x.best == 'max' else 'left'}"


def front_chart(study: Study, trials: pd.DataFrame, x: Metric, y: Metric) -> ChartType:
    """One world: points with t intervals, fronts as steps, references as hollow shapes; hover shows settings.

    The axes hold all points. Whiskers are cut where the axes end, so that one wide interval flattens nothing.
    """
    columns = ["trial", "role", "setting", "on_front", "ok", "replicates", "complete", "front_probability"]
    columns += [f"{m.name}{end}" for m in (x, y) for end in ("", "_low", "_high")]
    # Several studies that are read as one may have the same reference.
    again = trials["role"].eq("reference") & trials.duplicated(["method", x.name, y.name])
    named = trials[~again].assign(method=trials["method"].map(study.method_title))
    data = charts.compact(named, [*columns, "method"])
    data = charts.thin(data, data["on_front"] | (data["role"] != "searched"))
    is_reference = data["role"] == "reference"
    at_x, at_y = charts.axis(alt.X, x.name, x, data[x.name]), charts.axis(alt.Y, y.name, y, data[y.name])
    fixed = alt.Chart(data[is_reference]).encode(x=at_x, y=at_y, color=alt.value(charts.REFERENCE))
    base = alt.Chart(data[~is_reference]).encode(x=at_x, y=at_y)
    present = trials["method"].unique()
    colour = charts.method_colour(study, present)
    plain = charts.method_colour(study, ())  # without a legend, which the points have
    front = base.transform_filter("datum.on_front")
    steps = front.mark_line(
        interpolate="step-before" if x.best == "max" else "step-after", strokeWidth=2.5
    ).encode(color=plain, order=alt.Order(f"{x.name}:Q"))
    points = base.mark_point(clip=True).encode(
        color=colour,
        shape=charts.method_shape(study, present),
        opacity=alt.condition("datum.on_front", alt.value(1), alt.value(0.4)),
        size=alt.condition("datum.on_front", alt.value(110), alt.value(45)),
        tooltip=_tooltip(x, y),
    )
    references = fixed.mark_point(filled=False, size=110, strokeWidth=2, opacity=1).encode(
        shape=charts.reference_shape(list(data.loc[is_reference, "method"].unique())), tooltip=_tooltip(x, y)
    )
    known = data[f"{x.name}_low"].notna()
    layers = [(rule, bool((known & is_reference).any())) for rule in _whiskers(fixed, x, y)]
    layers += [
        (rule.encode(color=plain), bool((known & data["on_front"]).any())) for rule in _whiskers(front, x, y)
    ]
    layers += [(steps, bool(data["on_front"].any())), (points, bool((~is_reference).any()))]
    layers += [(references, bool(is_reference.any()))]
    chart = charts.layered(layers).resolve_scale(color="independent", shape="independent")
    return chart.properties(width=charts.WIDTH + 120, height=charts.HEIGHT + 40)


def _whiskers(part: alt.Chart, x: Metric, y: Metric) -> list[alt.Chart]:
    """The intervals of some points in both metrics."""
    rules = part.mark_rule(opacity=0.45, clip=True)
    across = rules.encode(x=alt.X(f"{x.name}_low:Q"), x2=f"{x.name}_high:Q")
    return [across, rules.encode(y=alt.Y(f"{y.name}_low:Q"), y2=f"{y.name}_high:Q")]


def _tooltip(x: Metric, y: Metric) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("method:N", title="method"),
        alt.Tooltip("trial:N", title="trial"),
        alt.Tooltip("setting:N", title="setting"),
        alt.Tooltip(f"{x.name}:Q", title=x.title, format=".3f"),
        alt.Tooltip(f"{y.name}:Q", title=y.title, format=".3f"),
        alt.Tooltip("ok:Q", title="replicates with results"),
        alt.Tooltip("front_probability:Q", title="probability of being on the front", format=".2f"),
    ]
