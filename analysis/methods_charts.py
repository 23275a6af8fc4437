"""Charts of methods beside each other: values by dataset, and the critical-difference diagram."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from analysis import charts
from analysis.ranks import Ranks, groups
from analysis.tables import Metric, Study

ROW = 22  # pixels of a method's line
RULER = "CD"
UNTRAINED = ["reference", "upper bound"]


def panels(study: Study, values: pd.DataFrame, metric: Metric) -> dict[str, ChartType]:
    """A chart for each dataset in which some method has a value."""
    return {
        study.data_title(str(dataset)): value_chart(study, own.dropna(subset=["value"]), metric)
        for dataset, own in values.groupby("dataset", sort=False)
        if own["value"].notna().any()
    }


def value_chart(study: Study, values: pd.DataFrame, metric: Metric) -> ChartType:
    """A line for each method, the best at the top: value and interval, references hollow."""
    columns = ["title", "role", "value", "low", "high", "setting", "settings", "side"]
    ordered = values.sort_values("value", ascending=metric.best == "min", kind="stable")
    # `method` is the title without its variant, so that the colour is that of every other chart.
    data = charts.compact(ordered, columns).assign(method=ordered["method"].map(study.method_title))
    data["role"] = data["role"].where(~data["role"].isin(UNTRAINED), "reference")  # grey, as everywhere
    base = alt.Chart(data)
    y = alt.Y("title:N", title=None, sort=list(data["title"]), axis=alt.Axis(labelLimit=200))
    ends = pd.concat([data["value"], data["low"], data["high"]])  # an interval that is cut would look short
    x = charts.axis(alt.X, "value", metric, ends)
    colour = charts.method_colour(study, ())
    whiskers = base.mark_rule(strokeWidth=2, opacity=0.6, clip=True).encode(
        x=alt.X("low:Q"), x2="high:Q", y=y, color=colour
    )
    tips = [alt.Tooltip(f"{name}:N", title=name) for name in ("title", "setting", "settings", "side")]
    tips += [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "low", "high")]
    filled = base.transform_filter(f"!({charts.IS_REFERENCE})").mark_point(size=80, opacity=1)
    hollow = base.transform_filter(charts.IS_REFERENCE).mark_point(
        size=80, filled=False, strokeWidth=2, shape="diamond"
    )
    is_reference = data["role"] == "reference"
    layers = [
        (whiskers, bool(data["low"].notna().any())),
        (filled.encode(x=x, y=y, color=colour, tooltip=tips), bool((~is_reference).any())),
        (hollow.encode(x=x, y=y, color=colour, tooltip=tips), bool(is_reference.any())),
    ]
    return charts.layered(layers).properties(
        width=charts.WIDTH, height=charts.rows_height(data["title"], ROW)
    )


def rank_chart(listing: pd.DataFrame, found: Ranks) -> ChartType:
    """The critical-difference diagram: methods by average rank, bars over those that are not told apart.

    listing: `method` and `rank`, best first
    """
    k = len(listing)
    average = listing["rank"].to_numpy()
    joined = groups(average, found.critical_difference)
    bars = [(f"bar {i}", average[first], average[last]) for i, (first, last) in enumerate(joined, 1)]
    ruler = min(found.critical_difference, k - 1.0)
    bars = [(RULER, 1.0, 1.0 + ruler), *bars]
    lanes = pd.DataFrame(bars, columns=["lane", "from", "to"])
    order = [*lanes["lane"], *listing["method"]]
    hidden = alt.Axis(labelExpr="indexof(datum.label, 'bar ') === 0 ? '' : datum.label", labelLimit=200)
    y = alt.Y("lane:N", title=None, sort=order, scale=alt.Scale(domain=order), axis=hidden)
    scale = alt.Scale(domain=[1, k], nice=False, padding=8)
    x = alt.X("rank:Q", title="average rank, 1 is best", scale=scale, axis=alt.Axis(tickMinStep=1))
    base = alt.Chart(lanes)
    is_ruler = alt.FieldEqualPredicate(field="lane", equal=RULER)
    thick = base.mark_rule(opacity=0.75).encode(
        x=alt.X("from:Q", scale=scale),
        x2="to:Q",
        y=y,
        strokeWidth=alt.condition(is_ruler, alt.value(1.5), alt.value(6)),
    )
    points = alt.Chart(listing.rename(columns={"method": "lane"})[["lane", "rank"]])
    dots = points.mark_point(size=80, opacity=1).encode(x=x, y=y, tooltip=["lane:N", "rank:Q"])
    names = points.mark_text(align="left", dx=9).encode(x=x, y=y, text=alt.Text("rank:Q", format=".2f"))
    return alt.layer(thick, dots, names).properties(width=charts.WIDTH + 60, height=ROW * len(order) + 12)
