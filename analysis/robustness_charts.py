"""Charts of analysis.robustness: ranges with verdicts, heat maps, curves with the gate's activity below."""

from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from analysis import charts
from analysis.grids import Grid
from analysis.sections import Figure
from analysis.statistics import mean_intervals
from analysis.tables import Metric, Study

MAX_PANELS = 6
READINGS = {
    "verdicts": "The dot is the range of the means over thresholds. The bar shows bounds of the true range, "
    "each wrong in at most 5 % of cases. If the bar is left of the dashed margin, the result is robust. If "
    "the bar is right of the margin, the result is sensitive. A verdict is given only if it holds after the "
    "correction over datasets; otherwise the result is undecided.",
    "map": "Each cell is the mean over replicates at one threshold and noise level; you can choose another "
    "metric below. If colours change from row to row, noise matters; if they change from column to column, "
    "the threshold matters.",
    "curves": "The top row has the mean and its 95 % t interval at each noise level. The middle row has the "
    "share of steps that the gate calls dissimilar; near 0 or 1 the threshold has no effect. The bottom row "
    "shows how well adjacent cosines find true changes of class; 0.5 is chance.",
    "ranks": "The chart shows Spearman's correlation of the metric with the threshold within a noise level, "
    "and with SNR within a threshold. The interaction is the correlation with the threshold at the highest "
    "SNR minus that at the lowest. Dots and bars are means over replicates with 95 % t intervals; a bar that "
    "excludes zero shows a relation.",
    "common": "The chart shows R² of one curve for all noise levels, after subtracting the mean of each "
    "level. A higher value over the share than over the cosine means that the threshold acts through the "
    "share.",
}
MAPPED = (
    "davies_bouldin",
    "silhouette_excess",
    "nmi",
    "knn_balanced_accuracy",
    "mlp_balanced_accuracy",
    "effective_rank",
    "pseudo_label_auroc",
)


def figures(
    study: Study,
    found: Sequence[Grid],
    chosen: Sequence[Metric],
    judged: pd.DataFrame,
    ranks: pd.DataFrame,
    shared: pd.DataFrame,
) -> tuple[Figure, ...]:
    """The figures: verdicts first, then the data behind them."""
    mapped = [*chosen, *(study.metrics[name] for name in MAPPED if name in study.metrics)]
    mapped = [m for m in dict.fromkeys(mapped) if study.rows[m.name].notna().any()]
    cells = cell_table(found, mapped)
    made = [
        Figure(
            name="robustness-verdicts",
            title="How much the metric changes with the threshold",
            reading=READINGS["verdicts"],
            charts={m.title: range_chart(study, judged[judged["metric"] == m.name]) for m in chosen},
            table=judged,
        ),
        Figure(
            name="robustness-map",
            title="Threshold and noise",
            reading=READINGS["map"],
            charts={title: map_chart(part, g, mapped) for title, g, part in _panels(study, found, cells)},
            table=cells.drop(columns="grid"),
        ),
        Figure(
            name="robustness-curves",
            title="The threshold, its gate, and its pseudo-labels",
            reading=READINGS["curves"],
            charts={
                title: curve_chart(part, g, chosen[0]) for title, g, part in _panels(study, found, cells)
            },
            table=cells[cells["metric"].isin([m.name for m in chosen])].drop(columns="grid"),
        ),
    ]
    if len(ranks) and ranks["estimate"].notna().any():
        made.append(
            Figure(
                name="robustness-ranks",
                title="Does the metric follow the threshold or the noise?",
                reading=READINGS["ranks"],
                charts={
                    m.title: rank_chart(study, ranks[ranks["metric"] == m.name])
                    for m in chosen
                    if ranks.loc[ranks["metric"] == m.name, "estimate"].notna().any()
                },
                table=ranks,
            )
        )
    if len(shared):
        made.append(
            Figure(
                name="robustness-common-curve",
                title="Does one curve fit every noise level?",
                reading=READINGS["common"],
                charts={},
                table=shared,
            )
        )
    return tuple(made)


def cell_table(found: Sequence[Grid], metrics: Sequence[Metric]) -> pd.DataFrame:
    """One row per grid, noise level, threshold and metric: mean, t interval, activity, AUROC."""
    parts = []
    for i, grid in enumerate(found):
        of = grid.rows.groupby(["snr", "at"])
        activity, auroc = of["activity"].mean(), of["pseudo_label_auroc"].mean()
        for metric in metrics:
            units = grid.rows.assign(**{metric.name: grid.rows[metric.name].astype(float)})
            units = units.groupby(["snr", "at", "unit"], as_index=False)[metric.name].mean()
            cells = mean_intervals(units, ["snr", "at"], metric.name, within=(metric.low, metric.high))
            cells = cells.assign(activity=activity, auroc=auroc).reset_index()
            cells.insert(0, "grid", i)
            named = ("dataset", "method", "gate", "given")
            cells = cells.assign(metric=metric.name, **{name: getattr(grid, name) for name in named})
            parts.append(cells)
    table = pd.concat(parts, ignore_index=True)
    table["snr"] = table["snr"].map(lambda v: "none added" if np.isinf(v) else f"{v:g} dB")
    return table.drop(columns=["sd", "error"])


def range_chart(study: Study, judged: pd.DataFrame) -> ChartType:
    """Ranges with bounds beside the margin, one line for each grid."""
    data = judged.assign(name=[_label(study, row) for _, row in judged.iterrows()])
    data["range_high"] = data["range_high"].replace(np.inf, np.nan)
    base = alt.Chart(charts.compact(data, [*_SHOWN, "name"]))
    y = alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=200))
    words = alt.Scale(domain=["robust", "undecided", "sensitive", "vacuous"])
    colour = alt.Color("verdict:N", scale=words, legend=alt.Legend(title=None, columns=2))
    bars = base.mark_rule(strokeWidth=3, opacity=0.6).encode(
        x=alt.X("range_low:Q", title="range over thresholds", axis=alt.Axis(tickCount=5)),
        x2="range_high:Q",
        y=y,
        color=colour,
    )
    dots = base.mark_point(size=80, opacity=1).encode(
        x="range:Q", y=y, color=colour, shape=alt.Shape("verdict:N", scale=words), tooltip=_SHOWN
    )
    line = alt.Chart(data[["margin"]].head(1)).mark_rule(strokeDash=[5, 4]).encode(x="margin:Q")
    bounded = bool(data[["range_low", "range_high"]].notna().all(axis=1).any())
    return charts.layered([(line, True), (bars, bounded), (dots, True)]).properties(
        width=charts.WIDTH, height=charts.rows_height(data["name"], 26)
    )


_SHOWN = ["verdict", "range", "range_low", "range_high", "margin", "unit", "units", "units_needed"]


def map_chart(cells: pd.DataFrame, grid: Grid, metrics: Sequence[Metric]) -> ChartType:
    """Threshold x SNR as coloured cells that show their means; the metric can be chosen on the page."""
    titles = {m.name: m.title for m in metrics}
    data = charts.compact(cells.assign(metric=cells["metric"].map(titles)), _CELLS)
    options = [m.title for m in metrics if m.title in set(data["metric"])]
    pick = alt.param(
        name="metric", value=options[0], bind=alt.binding_select(options=options, name="Metric ")
    )
    base = alt.Chart(data).add_params(pick).transform_filter("datum.metric == metric")
    x = alt.X("at:O", title=_axis_title(grid), axis=alt.Axis(labelAngle=0, format="~g"))
    y = alt.Y("snr:O", title="SNR", sort=list(dict.fromkeys(cells["snr"])))
    colour = alt.Color(
        "mean:Q", title=None, scale=alt.Scale(zero=False), legend=alt.Legend(gradientLength=160)
    )
    tooltip = [
        alt.Tooltip("metric:N"),
        alt.Tooltip("at:Q", title=_axis_title(grid)),
        alt.Tooltip("snr:N", title="SNR"),
        alt.Tooltip("mean:Q", format=".3f"),
        alt.Tooltip("low:Q", format=".3f"),
        alt.Tooltip("high:Q", format=".3f"),
        alt.Tooltip("n:Q", title="replicates"),
        alt.Tooltip("activity:Q", title="share dissimilar", format=".3f"),
    ]
    squares = base.mark_rect().encode(x=x, y=y, color=colour, tooltip=tooltip)
    numbers = (
        alt.Chart(data)
        .transform_filter("datum.metric == metric")
        .transform_joinaggregate(least="min(mean)", most="max(mean)")
        .mark_text(fontSize=10)
        .encode(
            x=x,
            y=y,
            text=alt.Text("mean:Q", format=".2~f"),
            color=alt.condition(
                "datum.mean > 0.55 * datum.most + 0.45 * datum.least", alt.value("#111"), alt.value("#fff")
            ),
        )
    )
    return alt.layer(squares, numbers).properties(
        width=charts.WIDTH, height=charts.rows_height(data["snr"], 36)
    )


_CELLS = ["metric", "at", "snr", "mean", "low", "high", "n", "activity"]


def curve_chart(cells: pd.DataFrame, grid: Grid, metric: Metric) -> ChartType:
    """The metric over thresholds at each noise level; below it, gate activity and AUROC of pseudo-labels."""
    own = cells[cells["metric"] == metric.name]
    data = charts.compact(own, [*_CELLS, "auroc"])
    base = alt.Chart(data)
    x = alt.X("at:Q", title=None, scale=alt.Scale(nice=False, padding=6), axis=alt.Axis(labels=False))
    last = alt.X("at:Q", title=_axis_title(grid), scale=alt.Scale(nice=False, padding=6))
    order = list(dict.fromkeys(cells["snr"]))
    colour = alt.Color("snr:O", title="SNR", sort=order, scale=alt.Scale(domain=order, range="ramp"))
    y = charts.axis(alt.Y, "mean", metric)
    band = base.mark_area(opacity=0.15).encode(
        x=x, y=alt.Y("low:Q", scale=alt.Scale(zero=False)), y2="high:Q", color=colour
    )
    line = base.mark_line(point=alt.OverlayMarkDef(size=25)).encode(x=x, y=y, color=colour, tooltip=_CELLS)
    share = base.mark_line(point=alt.OverlayMarkDef(size=20)).encode(
        x=x, y=alt.Y("activity:Q", title="dissimilar", scale=alt.Scale(domain=[0, 1])), color=colour
    )
    auroc = base.mark_line(point=alt.OverlayMarkDef(size=20)).encode(
        x=last, y=alt.Y("auroc:Q", title="AUROC", scale=alt.Scale(domain=[0, 1])), color=colour
    )
    chance = base.mark_rule(strokeDash=[3, 3]).encode(y=alt.datum(0.5))
    low = 80
    views = [
        charts.layered([(band, bool(data["low"].notna().any())), (line, True)]).properties(
            width=charts.WIDTH, height=220
        ),
        share.properties(width=charts.WIDTH, height=low),
    ]
    if data["auroc"].notna().any():
        views.append(alt.layer(auroc, chance).properties(width=charts.WIDTH, height=low))
    else:
        views[-1] = views[-1].encode(x=last)
    return alt.vconcat(*views, spacing=8)


def rank_chart(study: Study, ranks: pd.DataFrame) -> ChartType:
    """Rank correlations with intervals, a group of dots for each grid."""
    data = ranks.assign(name=[_label(study, row) for _, row in ranks.iterrows()])
    base = alt.Chart(charts.compact(data, ["name", "relation", "estimate", "low", "high", "units"]))
    y = alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=260))
    shift = alt.YOffset("relation:N")
    scale = alt.Scale(domain=["threshold", "SNR", "interaction"])
    colour = alt.Color("relation:N", scale=scale, legend=alt.Legend(title=None))
    x = alt.X("estimate:Q", title="rank correlation", scale=alt.Scale(domain=[-1, 1]))
    bars = base.mark_rule(strokeWidth=2, clip=True).encode(
        x=alt.X("low:Q"), x2="high:Q", y=y, yOffset=shift, color=colour
    )
    dots = base.mark_point(size=60, opacity=1).encode(
        x=x,
        y=y,
        yOffset=shift,
        color=colour,
        tooltip=["name", "relation", "estimate", "low", "high", "units"],
    )
    zero = base.mark_rule(strokeDash=[3, 3]).encode(x=alt.datum(0))
    return charts.layered([(zero, True), (bars, bool(data["low"].notna().any())), (dots, True)]).properties(
        width=charts.WIDTH, height=charts.rows_height(data["name"], 16, data["relation"].nunique())
    )


def _panels(
    study: Study, found: Sequence[Grid], cells: pd.DataFrame
) -> Iterator[tuple[str, Grid, pd.DataFrame]]:
    """Title, grid and cells of each grid that is drawn, those of the intended gate first."""
    order = sorted(range(len(found)), key=lambda i: found[i].gate != "intended")
    return ((_title(study, found[i]), found[i], cells[cells["grid"] == i]) for i in order[:MAX_PANELS])


def _title(study: Study, grid: Grid) -> str:
    gate = "" if grid.gate == "intended" else f", gate {grid.gate}"
    return f"{grid.dataset}, {study.method_title(grid.method)}{gate}, by {_axis_title(grid)}" + (
        f" ({grid.rest})" if len(grid.rest) < 60 else ""
    )


def _axis_title(grid: Grid) -> str:
    return "threshold (cosine)" if grid.given == "threshold" else "share of dissimilar steps"


def _label(study: Study, row: Any) -> str:
    kind = "share" if row["given"] == "dissimilar_share" else "cosine"
    gate = "" if row["gate"] == "intended" else f", {row['gate']}"
    return f"{row['dataset']}, {study.method_title(row['method'])}{gate}, {kind}"
