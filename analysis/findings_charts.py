"""The figures of a findings document: each draws the rows that tables.toml selects, as files.

Coordinates and numbers come from committed tables alone, and the font lies within vl-convert, so that a
figure has the same bytes on every machine.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from analysis import charts, contrasts, pictures
from analysis.contrasts import POOLED, REAL
from analysis.evidence import PLANNED
from analysis.findings_tables import folder_of
from analysis.replicates import unit_means
from analysis.selection import meeting
from analysis.statistics import mean_interval
from analysis.tables import SHARE_DIGITS, Study

Options = Mapping[str, Any]
PICTURES = "pictures.parquet"
PANEL = 210  # pixels
OWN_COLOURS = 6  # datasets that one legend tells apart well
ARM_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross")  # of a series, in its order


def forest(study: Study, options: Options, stem: Path) -> list[Path]:
    """Every planned contrast of a question: differences by dataset and over all, with the margin shaded."""
    plan = contrasts.read(folder_of(study) / PLANNED)
    own = tuple(contrast for contrast in plan.contrasts if contrast.question == options["question"])
    part = contrasts.with_rows(study, dataclasses.replace(plan, contrasts=own))
    found = contrasts.table(study, part)
    found = found[found["dataset"] != REAL]
    panels = [
        forest_panel(found[found["metric"] == name], f"{study.metric(name).title}, difference")
        for name in options["metrics"]
        if (found["metric"] == name).any()
    ]
    wide = {"left": 35, "right": 5, "top": 5, "bottom": 5}  # long names, in fonts that are wider than ours
    return charts.save(alt.hconcat(*panels, spacing=24, padding=wide), stem, ("svg",)) if panels else []


def forest_panel(rows: pd.DataFrame, title: str) -> ChartType:
    """Differences of one metric with their intervals; the black diamond is the mean over all datasets."""
    names = ["contrast", "dataset", "difference", "low", "high", "margin"]
    data = charts.compact(rows, names).assign(pooled=(rows["dataset"] == POOLED).to_numpy())
    sets = [name for name in data["dataset"].unique() if name != POOLED]
    order = [*sets, POOLED]
    colours = [*charts.theme("light")["range"]["category"][: len(sets)], "#000000"]
    base = alt.Chart(data)
    y = alt.Y("contrast:N", title=None, sort=None, axis=alt.Axis(labelLimit=220, grid=True, bandPosition=0))
    shift = alt.YOffset("dataset:N", sort=order)
    colour = alt.Color(
        "dataset:N", title=None, sort=order, scale=alt.Scale(domain=order, range=colours),
        legend=alt.Legend(columns=4, symbolOpacity=1),
    )  # fmt: skip
    band = (
        base.transform_filter("datum.pooled")
        .mark_bar(color="#d9dde2", opacity=0.6)
        .transform_calculate(left="-datum.margin")
        .encode(x="left:Q", x2="margin:Q", y=y)
    )
    zero = base.mark_rule(strokeDash=[3, 3]).encode(x=alt.datum(0))
    bars = base.mark_rule(strokeWidth=1.5).encode(
        x=alt.X("low:Q", title=title), x2="high:Q", y=y, yOffset=shift, color=colour
    )
    dots = base.mark_point(size=36, opacity=1).encode(
        x="difference:Q", y=y, yOffset=shift, color=colour,
        shape=alt.condition("datum.pooled", alt.value("diamond"), alt.value("circle")),
        size=alt.condition("datum.pooled", alt.value(90), alt.value(30)),
    )  # fmt: skip
    height = charts.rows_height(data["contrast"], 12, data["dataset"].nunique())
    return alt.layer(band, zero, bars, dots).properties(width=charts.WIDTH - 100, height=height)


def plane(study: Study, options: Options, stem: Path) -> list[Path]:
    """Arms in the plane of two metrics, a panel for each dataset; arms of a series are joined in order.

    A colour stands for a series, and a shape for an arm within it.
    """
    x, y = (study.metric(name) for name in options["metrics"])
    rows = []
    for place, arm in enumerate(options["arms"]):
        for dataset, own in study.ok[meeting(study.ok, arm["where"])].groupby("dataset"):
            means = unit_means(own, [x.name, y.name])[[x.name, y.name]].mean()
            rows.append(
                {"dataset": dataset, "place": place, "arm": arm["name"], "series": arm["series"], **means}
            )
    data = charts.compact(pd.DataFrame(rows), ["dataset", "place", "arm", "series", x.name, y.name])
    series = list(dict.fromkeys(arm["series"] for arm in options["arms"]))
    colours = dict(zip(series, charts.theme("light")["range"]["category"], strict=False))
    colour, shape = arm_marks(options["arms"], colours)
    at_x = alt.X(f"{x.name}:Q", title=x.title, scale=alt.Scale(zero=False, padding=14))
    at_y = alt.Y(f"{y.name}:Q", title=two_lines(y.title), scale=alt.Scale(zero=False, padding=10))
    panels = []
    for dataset, own in data.groupby("dataset", sort=True):
        points = alt.Chart(own).mark_point(size=60, opacity=1, strokeWidth=1.5)
        layers: list[ChartType] = [points.encode(x=at_x, y=at_y, color=colour, shape=shape)]
        joined = own["series"].duplicated(keep=False) & ~own["series"].isin(options.get("apart", []))
        for _, arms in own[joined].groupby("series", sort=False):
            own_colour = colours[arms["series"].iloc[0]]
            line = alt.Chart(arms).mark_line(strokeWidth=1, opacity=0.6, color=own_colour)
            layers.insert(0, line.encode(x=at_x, y=at_y, order="place:O"))
        panels.append(alt.layer(*layers).properties(width=PANEL, height=PANEL - 40, title=str(dataset)))
    return charts.save(alt.concat(*panels, columns=3, spacing=16), stem, ("svg",))


def arm_marks(arms: list[dict[str, Any]], colours: Mapping[str, str]) -> tuple[alt.Color, alt.Shape]:
    """The colour and the shape of each arm, with one legend for both. colours: by series"""
    names = [arm["name"] for arm in arms]
    place = [[arm["series"] for arm in arms[:i]].count(arm["series"]) for i, arm in enumerate(arms)]
    own_colours = alt.Scale(domain=names, range=[colours[arm["series"]] for arm in arms])
    own_shapes = alt.Scale(domain=names, range=[ARM_SHAPES[i] for i in place])
    legend = alt.Legend(columns=3, symbolOpacity=1, symbolSize=60, labelLimit=260)
    return (
        alt.Color("arm:N", title=None, sort=names, scale=own_colours, legend=legend),
        alt.Shape("arm:N", title=None, sort=names, scale=own_shapes, legend=legend),
    )


def two_lines(title: str) -> list[str]:
    """A title of an axis, broken before its bracket: the panels are low."""
    first, bracket, rest = title.partition(" (")
    return [first, f"({rest}"] if bracket else [first]


def curves(study: Study, options: Options, stem: Path) -> list[Path]:
    """Means over splits at each value of a knob: a row for each metric, a column for each noise level."""
    knob, metrics = options["knob"], [study.metric(name) for name in options["metrics"]]
    rows = study.ok[(study.ok["gate_given_as"] == knob)]
    keys = ["dataset", "gate", "snr_db", "at"]
    rows = rows.assign(
        at=rows[knob].astype(float).round(SHARE_DIGITS), snr_db=rows["snr_db"].astype(float).fillna(np.inf)
    )
    made = []
    for key, own in rows.groupby(keys):
        for metric in metrics:
            found = mean_interval(own.groupby("split_seed")[metric.name].mean().to_numpy(dtype=float))
            made.append((*key, metric.name, found.estimate, found.low, found.high))
    data = pd.DataFrame(made, columns=[*keys, "metric", "mean", "low", "high"])
    levels = sorted(data["snr_db"].unique(), reverse=True)
    grid = []
    for metric in metrics:
        row = []
        for level in levels:
            own = data[(data["metric"] == metric.name) & (data["snr_db"] == level)]
            noise = "no added noise" if np.isinf(level) else f"{level:g} dB"
            row.append(curve_panel(own, metric.title, study.title(knob), noise, sorted(data["at"].unique())))
        grid.append(alt.hconcat(*row, spacing=14))
    return charts.save(alt.vconcat(*grid, spacing=14), stem, ("svg",))


def curve_panel(data: pd.DataFrame, title: str, knob: str, noise: str, values: list[float]) -> ChartType:
    """One metric at one noise level: a line for each dataset, dashed for the random gate."""
    part = charts.compact(data, ["dataset", "gate", "at", "mean", "low", "high"])
    part = part.assign(at=part["at"].map("{:g}".format))
    x = alt.X("at:O", title=knob, sort=[f"{v:g}" for v in values], axis=alt.Axis(labelAngle=0))
    colour = alt.Color("dataset:N", title=None, legend=alt.Legend(columns=OWN_COLOURS, symbolOpacity=1))
    base = alt.Chart(part).encode(x=x, color=colour)
    y = alt.Y("mean:Q", title=two_lines(title), scale=alt.Scale(zero=False))
    gates = ["intended", "random"]
    dash = alt.StrokeDash("gate:N", title=None, scale=alt.Scale(domain=gates, range=[[1, 0], [3, 3]]))
    shape = alt.Shape("gate:N", title=None, scale=alt.Scale(domain=gates, range=["circle", "cross"]))
    line = base.mark_line(strokeWidth=1.5).encode(y=y, strokeDash=dash)
    dots = base.mark_point(size=26, opacity=1).encode(y=y, shape=shape)
    bars = base.mark_rule(opacity=0.35).encode(y=alt.Y("low:Q", title=two_lines(title)), y2="high:Q")
    return alt.layer(bars, line, dots).properties(width=PANEL + 20, height=PANEL - 50, title=noise)


def drawn(study: Study, options: Options, stem: Path) -> list[Path]:
    """t-SNE and principal axes of the arms, a file for each dataset (PNG: an SVG would be too large)."""
    paths = sorted(folder_of(study).glob(f"*/{PICTURES}"))
    if not paths:
        return []
    written: list[Path] = []
    for dataset, frames in pd.concat(map(pd.read_parquet, paths)).groupby("dataset", sort=True):
        titles = arm_titles(study, frames, options["arms"])
        name = stem.with_name(f"{stem.name}-{dataset}")
        written += charts.save(pictures.chart(frames, titles), name, ("png",), scale=1.5)
    return written


def arm_titles(study: Study, frames: pd.DataFrame, arms: list[dict[str, Any]]) -> dict[str, str]:
    """The title of each arm's panel by trial: its name, and the scores of the split that is drawn."""
    split = frames.groupby("trial")["split_seed"].first()
    titles = {}
    for arm in arms:
        rows = study.ok[meeting(study.ok, arm["where"]) & study.ok["trial"].isin(split.index)]
        for trial, own in rows.groupby("trial"):
            row = own[own["split_seed"] == split[trial]].iloc[0]
            titles[str(trial)] = (
                f"{arm['name']}\nSilhouette {row['silhouette']:.2f}, TwoNN {row['intrinsic_dimension']:.1f},"
                f"\nparticipation ratio {row['participation_ratio']:.1f}"
            )
    return titles


CHARTS: dict[str, Callable[[Study, Options, Path], list[Path]]] = {
    "forest": forest,
    "plane": plane,
    "curves": curves,
    "pictures": drawn,
}
