"""Charts of analysis.geometry: scores over shape, Silhouette beyond a Gaussian, probes, correlations."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from analysis import charts
from analysis.sections import Figure
from analysis.shapes import reference_curves
from analysis.tables import Metric, Study

MAX_WORLDS = 2
READINGS = {
    "rank": "Each point is a trial, and each grey diamond a reference.",
    "shapes": " Crosses are shapes without any clusters (a segment, an arc, a spiral, Gaussian clouds), cut "
    "by the same KMeans: trials near them have their score only because of their low dimension. The dashed "
    "line joins Gaussian clouds of more and more dimensions.",
    "null": "The left chart shows the score against the score that KMeans reaches on Gaussian data of the "
    "same covariance. On the line, the embeddings are no more clustered than a Gaussian. The right chart "
    "shows the score against the share of frames in the largest cluster. If this share is near 1, there is "
    "one giant cluster and a few outliers.",
    "probes": "Above the line, a non-linear probe or the nearest neighbours are more accurate than a linear "
    "probe.",
    "correlations": "A dot is the rank correlation over the distinct trained settings of one dataset and "
    "noise level, with its 95 % interval. Better clustering goes with worse probes where a dot is below "
    "zero; for Davies–Bouldin, of which lower values are better, where it is above zero.",
}


def figures(
    study: Study, table: pd.DataFrame, r2: pd.DataFrame, rho: pd.DataFrame, gap: pd.DataFrame
) -> tuple[Figure, ...]:
    """The figures whose metrics were measured."""
    reading = READINGS["rank"] + (READINGS["shapes"] if study.manifest.get("clusters") else "")
    made = [Figure("geometry-rank", "Score against effective rank", reading, _rank_panels(study, table), r2)]
    pairs = [("silhouette_null", "silhouette", True), ("largest_cluster_share", "silhouette", False)]
    if panels := _panels(study, table, pairs):
        made.append(
            Figure("geometry-calibration", "Real clusters, or only spread?", READINGS["null"], panels, gap)
        )
    linear = "probe_balanced_accuracy"
    pairs = [(linear, "mlp_balanced_accuracy", True), (linear, "knn_balanced_accuracy", True)]
    if panels := _panels(study, table, pairs):
        own = gap[gap["quantity"].str.contains("linear")]
        made.append(Figure("geometry-probes", "Probes that are not linear", READINGS["probes"], panels, own))
    if len(rho):
        panels = {"": correlation_chart(study, rho)}
        title = "Clustering and probes"
        made.append(Figure("geometry-correlations", title, READINGS["correlations"], panels, rho))
    return tuple(made)


def _worlds(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    groups = [(str(world), part) for world, part in table.groupby("world", sort=False)]
    return sorted(groups, key=lambda group: -len(group[1]))[:MAX_WORLDS]


def _rank_panels(study: Study, table: pd.DataFrame) -> dict[str, ChartType]:
    panels: dict[str, ChartType] = {}
    for world, part in _worlds(table):
        for score in ("silhouette", "davies_bouldin"):
            if score in table:
                metric, rank = study.metrics[score], study.metrics["effective_rank"]
                clusters = study.manifest.get("clusters", {}).get(world)
                panels[f"{metric.title}, {world}"] = rank_chart(study, part, rank, metric, clusters)
    return panels


def _panels(study: Study, table: pd.DataFrame, pairs: list[tuple[str, str, bool]]) -> dict[str, ChartType]:
    panels: dict[str, ChartType] = {}
    for world, part in _worlds(table):
        for x, y, diagonal in pairs:
            if x in table and y in table and part[[x, y]].notna().all(axis=1).any():
                a, b = study.metrics[x], study.metrics[y]
                panels[f"{b.title} against {a.title}, {world}"] = scatter(
                    study, part, a, b, diagonal=diagonal
                )
    return panels


def rank_chart(
    study: Study, trials: pd.DataFrame, rank: Metric, score: Metric, clusters: int | None
) -> ChartType:
    """A clustering score over effective rank (log), with shapes that have no clusters.

    clusters: the number that KMeans looked for; where it is unknown, no shapes are shown
    """
    scale = alt.Scale(type="log", nice=False, padding=12)
    x = alt.X("effective_rank:Q", title=rank.title, scale=scale)
    y = charts.axis(alt.Y, score.name, score)
    most = 2 * trials[score.name].max()
    shapes = _shapes(clusters, score.name, most, x, y) if clusters else ()
    return alt.layer(*shapes, _points(study, trials, rank, score, x, y)).properties(
        width=charts.WIDTH, height=charts.HEIGHT - 20
    )


def _shapes(clusters: int, score: str, most: float, x: alt.X, y: alt.Y) -> tuple[alt.Chart, ...]:
    """Reference curves up to a score. Higher ones would squeeze the trials together."""
    shapes = reference_curves(clusters)
    shapes = charts.compact(shapes[shapes[score] <= most], ["shape", "effective_rank", score])
    base = alt.Chart(shapes)
    gaussian = "indexof(datum.shape, 'Gaussian') == 0"
    curve = base.transform_filter(gaussian).mark_line(strokeDash=[4, 3], opacity=0.6)
    marks = base.mark_point(shape="cross", filled=False, size=50, opacity=0.8, strokeWidth=1.5)
    names = base.transform_filter(f"!({gaussian}) || datum.shape == 'Gaussian, 5 dimensions'")
    return (
        curve.encode(x=x, y=y),
        marks.encode(x=x, y=y, tooltip=["shape", "effective_rank", score]),
        names.mark_text(align="left", dx=7, dy=-6, fontSize=10, opacity=0.8).encode(x=x, y=y, text="shape:N"),
    )


def scatter(study: Study, trials: pd.DataFrame, x: Metric, y: Metric, *, diagonal: bool) -> ChartType:
    """Trials in two metrics, with the line of equality if `diagonal`."""
    at_x, at_y = charts.axis(alt.X, x.name, x), charts.axis(alt.Y, y.name, y)
    layers = [_points(study, trials, x, y, at_x, at_y)]
    if diagonal:
        both = trials[[x.name, y.name]].dropna()
        ends = pd.DataFrame({"at": [float(both.min().max()), float(both.max().min())]})
        if ends["at"].is_monotonic_increasing:
            line = alt.Chart(ends).mark_line(strokeDash=[4, 3], opacity=0.7)
            layers.insert(0, line.encode(x=alt.X("at:Q"), y=alt.Y("at:Q")))
    return alt.layer(*layers).properties(width=charts.WIDTH, height=charts.HEIGHT - 20)


def _points(study: Study, trials: pd.DataFrame, x: Metric, y: Metric, at_x: alt.X, at_y: alt.Y) -> alt.Chart:
    named = trials.assign(method=trials["method"].map(study.method_title))
    data = charts.compact(named, ["trial", "method", "role", "setting", x.name, y.name])
    data = data.dropna(subset=[x.name, y.name])
    data = charts.thin(data, data["role"].eq("reference"))
    return (
        alt.Chart(data)
        .mark_point(size=55, opacity=0.7)
        .encode(
            x=at_x,
            y=at_y,
            color=charts.method_colour(study, trials["method"].unique()),
            shape=charts.method_shape(study, trials["method"].unique()),
            tooltip=[
                alt.Tooltip("method:N", title="method"),
                alt.Tooltip("trial:N", title="trial"),
                alt.Tooltip("setting:N", title="setting"),
                alt.Tooltip(f"{x.name}:Q", title=x.title, format=".3f"),
                alt.Tooltip(f"{y.name}:Q", title=y.title, format=".3f"),
            ],
        )
    )


def correlation_chart(study: Study, rho: pd.DataFrame) -> ChartType:
    """Rank correlations with intervals, a line for each pair of metrics and dataset."""
    titles = {name: metric.title for name, metric in study.metrics.items()}
    names = rho["clustering"].map(titles) + ", " + rho["method"].map(study.method_title)
    if rho["world"].nunique() > 1:
        names = names + ", " + rho["world"]
    data = rho.assign(name=names, probe=rho["probe"].map(titles))
    base = alt.Chart(charts.compact(data, ["name", "probe", "spearman", "low", "high", "trials"]))
    y = alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=280))
    shift = alt.YOffset("probe:N")
    colour = alt.Color("probe:N", legend=alt.Legend(title=None))
    scale = alt.Scale(domain=[-1, 1])
    bars = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", scale=scale, title="Spearman's rank correlation"),
        x2="high:Q",
        y=y,
        yOffset=shift,
        color=colour,
    )
    dots = base.mark_point(size=60, opacity=1).encode(
        x="spearman:Q",
        y=y,
        yOffset=shift,
        color=colour,
        tooltip=["name", "probe", "spearman", "low", "high", "trials"],
    )
    zero = base.mark_rule(strokeDash=[3, 3]).encode(x=alt.datum(0))
    return alt.layer(zero, bars, dots).properties(
        width=charts.WIDTH + 100, height=charts.rows_height(data["name"], 15, data["probe"].nunique())
    )
