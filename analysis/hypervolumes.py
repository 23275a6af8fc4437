"""The area under the fronts (hypervolume): by method, at equal budgets, and as the number of trials grows."""

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from analysis import charts, fronts
from analysis.sections import Figure
from analysis.tables import Metric, Study

MINIMUM = 4  # budgets are compared only if the smaller arm has at least so many trials
MAX_PANELS = 4


def reference_point(table: pd.DataFrame, x: Metric, y: Metric) -> tuple[float, float]:
    """The point from which areas are measured: the worst ends of the metrics' ranges, or the worst means."""

    def worst(metric: Metric) -> float:
        end = metric.low if metric.best == "max" else metric.high
        values = table[metric.name]
        return end if np.isfinite(end) else float(values.min() if metric.best == "max" else values.max())

    return worst(x), worst(y)


def volumes(table: pd.DataFrame, x: Metric, y: Metric) -> pd.DataFrame:
    """Hypervolume of each trained method in each world of `pareto.trade_off`.

    hypervolume: that of all complete trials; reference_x, reference_y: the point from which it is measured
    at_equal_budget: the expected hypervolume of as many trials as the world's smallest arm has (`budget`)
    """
    best, reference = (x.best or "", y.best or ""), reference_point(table, x, y)
    rng = np.random.default_rng(0)
    rows = []
    for world, part in _trained(table).groupby("world", sort=False):
        smallest = int(part.groupby("method").size().min())
        for method, arm in part.groupby("method", sort=False):
            points = arm[[x.name, y.name]].to_numpy()
            whole = fronts.hypervolume(points, reference, best)
            equal = fronts.expected_hypervolume(points, reference, best, size=smallest, rng=rng)
            rows.append((world, method, len(arm), whole, equal, smallest, *reference))
    columns = ["world", "method", "trials", "hypervolume", "at_equal_budget", "budget"]
    return pd.DataFrame(rows, columns=[*columns, "reference_x", "reference_y"])


def courses(study: Study, table: pd.DataFrame, x: Metric, y: Metric) -> pd.DataFrame:
    """Hypervolume of each method after its first, second, … complete trial, in the order of their starts."""
    best, reference = (x.best or "", y.best or ""), reference_point(table, x, y)
    started = study.rows.groupby("trial")["started_at"].min() if "started_at" in study.rows else None
    parts = []
    for (world, method), arm in _trained(table).groupby(["world", "method"], sort=False):
        if started is not None:
            arm = arm.assign(started=arm["trial"].map(started)).sort_values("started", kind="stable")
        course = fronts.hypervolume_course(arm[[x.name, y.name]].to_numpy(), reference, best)
        number = np.arange(1, len(arm) + 1)
        parts.append(
            pd.DataFrame({"world": world, "method": method, "number": number, "hypervolume": course})
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def figure(study: Study, table: pd.DataFrame, x: Metric, y: Metric) -> Figure | None:
    """How the hypervolume grew with the trials; None where no method has four trials."""
    course = courses(study, table, x, y)
    if course.empty or course["number"].max() < MINIMUM:
        return None
    a, b = reference_point(table, x, y)
    return Figure(
        name="hypervolume",
        title="Has the search settled?",
        reading=f"A curve shows the area between a front and the reference point ({a:.3g}, {b:.3g}), over "
        "the number of trials. If it still rises, more trials may find better settings.",
        charts={
            str(world): course_chart(study, part)
            for world, part in list(course.groupby("world", sort=False))[:MAX_PANELS]
        },
        table=volumes(table, x, y),
    )


def course_chart(study: Study, course: pd.DataFrame) -> ChartType:
    """The chart of one world: a step line for each method."""
    data = course.assign(method=course["method"].map(study.method_title), role="searched")
    if len(data) > charts.MAX_POINTS:  # trials that change nothing need not be drawn
        changes = data.groupby("method")["hypervolume"].diff().fillna(1) != 0
        data = data[changes | ~data.duplicated("method", keep="last")]
    return (
        alt.Chart(charts.compact(data, ["method", "role", "number", "hypervolume"]))
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            x=alt.X("number:Q", title="trials", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("hypervolume:Q", title="area under the front", scale=alt.Scale(zero=False)),
            color=charts.method_colour(study, course["method"].unique()),
            tooltip=["method", "number", "hypervolume"],
        )
        .properties(width=charts.WIDTH, height=charts.HEIGHT - 100)
    )


def _trained(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["complete"] & (table["role"] != "reference")]
