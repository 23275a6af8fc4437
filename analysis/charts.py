"""What all charts share: colours, marks, themes for paper and for dark screens, and the files of a chart."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from analysis import rendering
from analysis.tables import Metric, Study

IS_REFERENCE = "datum.role === 'reference'"
SHAPES = ("circle", "square", "triangle-up", "cross", "triangle-down", "triangle-right", "triangle-left")
# Hollow ones, of references; the second and third are a cross and a plus of lines.
REFERENCE_SHAPES = (
    "diamond", "M-.7,-.7L.7,.7M-.7,.7L.7,-.7", "M0,-.9L0,.9M-.9,0L.9,0", "triangle-up", "square", "circle",
)  # fmt: skip
COLUMNS = 3  # of a legend; fewer on a narrow page
REFERENCE = "#838b95"  # of references, which are named on the chart; readable on white and on black

WIDTH, HEIGHT = 420, 320
MAX_POINTS = 1200  # of more points, a chart shows a random part, which the note of `thinned` says

_THEMES = {
    "light": {
        "ink": "#1f2328",
        "soft": "#5d6570",
        "grid": "#e8e5de",
        "colours": [
            "#c2410c",
            "#0369a1",
            "#15803d",
            "#a21caf",
            "#a16207",
            "#0f766e",
            "#be123c",
            "#4338ca",
            "#4d7c0f",
            "#7e5233",
            "#0e7490",
            "#57534e",
        ],  # fmt: skip
        "ramp": [0.05, 0.9],
        "ordinal": [0.15, 0.85],
    },
    "dark": {
        "ink": "#e6e3dc",
        "soft": "#a7adb5",
        "grid": "#2c3138",
        "colours": [
            "#fb923c",
            "#38bdf8",
            "#4ade80",
            "#e879f9",
            "#facc15",
            "#2dd4bf",
            "#fb7185",
            "#a5b4fc",
            "#bef264",
            "#d6b08c",
            "#67e8f9",
            "#d6d3d1",
        ],  # fmt: skip
        "ramp": [0.3, 1.0],  # the darkest colours of viridis cannot be seen on a dark page
        "ordinal": [0.3, 1.0],
    },
}
PAPER_FONT = "Emargin Figures, Liberation Sans, Arial, sans-serif"  # the first one is in fonts/
FONT = "ui-sans-serif, system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"


def theme(name: str, font: str = FONT) -> dict[str, Any]:
    """Vega-Lite config of a theme, "light" or "dark". Charts set no colour but grey, so either fits."""
    t = _THEMES[name]
    axis = {
        "domainColor": t["grid"],
        "tickColor": t["grid"],
        "gridColor": t["grid"],
        "labelColor": t["soft"],
        "titleColor": t["ink"],
        "labelFont": font,
        "titleFont": font,
        "titleFontWeight": 500,
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titlePadding": 8,
        "labelSeparation": 6,
    }
    return {
        "background": "transparent" if name == "dark" else "#ffffff00",
        "font": font,
        "view": {"stroke": None},
        "axis": axis,
        "legend": {
            "labelColor": t["soft"],
            "titleColor": t["ink"],
            "labelFont": font,
            "titleFont": font,
            "orient": "top",
            "symbolStrokeWidth": 2,
            "labelLimit": 240,
            "labelFontSize": 12,
            "rowPadding": 4,
            "columnPadding": 14,
            "layout": {"top": {"direction": "vertical", "anchor": "start", "margin": 6}},
        },
        "title": {
            "color": t["ink"],
            "subtitleColor": t["soft"],
            "anchor": "start",
            "fontSize": 13,
            "fontWeight": 600,
        },
        "text": {"color": t["ink"], "font": font, "fontSize": 11},
        "rule": {"color": t["soft"]},
        "line": {"color": t["ink"]},
        "point": {"color": t["ink"], "filled": True},
        "range": {
            "category": t["colours"],
            "heatmap": {"scheme": "viridis", "extent": t["ramp"]},
            "ramp": {"scheme": "viridis", "extent": t["ramp"]},
            "ordinal": {"scheme": "viridis", "extent": t["ordinal"]},
        },
    }


def method_colour(study: Study, present: Iterable[str]) -> alt.Color:
    """A colour for each method, the same in every chart of a study, and grey for references.

    Colours follow the display order of the methods that the study searched, and repeat after twelve. The
    legend shows the methods in `present`; charts need the columns `method` (the title) and `role`.
    """
    trained, shown = _methods(study, present)
    return alt.Color(
        "method:N",
        condition={"test": IS_REFERENCE, "value": REFERENCE},
        scale=alt.Scale(domain=trained),
        legend=_legend(shown),
    )


def method_shape(study: Study, present: Iterable[str]) -> alt.Shape:
    """One shape for each method, with the legend of `method_colour`; a diamond for the rows of references."""
    trained, shown = _methods(study, present)
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(trained))]
    return alt.Shape(
        "method:N",
        condition={"test": IS_REFERENCE, "value": REFERENCE_SHAPES[0]},
        scale=alt.Scale(domain=trained, range=shapes),
        legend=_legend(shown),
    )


def reference_shape(titles: Sequence[str]) -> alt.Shape:
    """A hollow shape of its own for each reference, with a legend of its own."""
    shapes = [REFERENCE_SHAPES[i % len(REFERENCE_SHAPES)] for i in range(len(titles))]
    legend = alt.Legend(title="References", columns=COLUMNS, symbolStrokeColor=REFERENCE, symbolSize=90)
    return alt.Shape("method:N", scale=alt.Scale(domain=list(titles), range=shapes), legend=legend)


def _methods(study: Study, present: Iterable[str]) -> tuple[list[str], list[str]]:
    """Titles of all trained methods in display order, and of those that are present."""
    present, coloured = set(present), set(study.rows.loc[study.rows["role"] != "reference", "method"])
    trained = [method for name, method in study.methods.items() if name in coloured]
    return [m.title for m in trained], [m.title for m in trained if m.name in present]


def _legend(shown: list[str]) -> alt.Legend | None:
    """The legend of methods: equal for colour and shape, so that Vega draws them as one."""
    return alt.Legend(title=None, values=shown, columns=COLUMNS, symbolOpacity=1) if shown else None


def axis(channel: type, name: str, metric: Metric, points: "pd.Series[float] | None" = None) -> Any:
    """An axis of a metric. It shows the title and which end is better, and its domain fits the data.

    points: the values that the domain must contain; None = all values that are drawn
    """
    better = {"max": ", higher is better", "min": ", lower is better"}.get(metric.best or "", "")
    ticks = alt.Axis(tickCount=8 if channel is alt.X else 6)
    scale = alt.Scale(zero=False)
    if points is not None and points.notna().any():
        room = 0.06 * float(np.ptp(points.dropna())) or 0.01
        scale = alt.Scale(zero=False, domain=[float(points.min()) - room, float(points.max()) + room])
    return channel(f"{name}:Q", title=metric.title + better, scale=scale, axis=ticks)


def layered(layers: Sequence[tuple[ChartType, bool]]) -> alt.LayerChart:
    """The layers that have something to draw. (Vega would warn about empty ones.)"""
    return alt.LayerChart(layer=[layer for layer, there in layers if there])


def rows_height(names: pd.Series, step: int, per_row: int = 1) -> int:
    """The height of a chart with one line for each distinct name. Only its width is set by the page."""
    return step * per_row * max(int(names.nunique()), 1) + 12


def compact(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The columns that a chart needs, with floats rounded to five digits, so that pages stay small."""
    part = table[list(dict.fromkeys(columns))].copy()
    for name in part.columns:
        if pd.api.types.is_float_dtype(part[name]):
            part[name] = significant(part[name].to_numpy(dtype=float))
    return part


def significant(x: np.ndarray, digits: int = 5) -> np.ndarray:
    """x rounded to `digits` significant digits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(x))))
        return np.where(np.isfinite(scale), np.round(x * scale) / scale, x)


def thin(table: pd.DataFrame, keep: pd.Series, limit: int = MAX_POINTS) -> pd.DataFrame:
    """All rows where `keep` is true, and a fixed random part of the others, at most `limit` in all."""
    others = table[~keep]
    room = max(limit - int(keep.sum()), 0)
    if len(others) > room:
        others = others.sample(room, random_state=0)
    return pd.concat([table[keep].head(limit), others]).sort_index()


def on_paper(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec in the light theme on white, for files."""
    return spec | {"config": theme("light", font=PAPER_FONT) | {"background": "#ffffff"}}


def thinned(n: int) -> tuple[str, ...]:
    """The note for charts of n trials; none where all are drawn."""
    if n <= MAX_POINTS:
        return ()
    return (
        f"Charts draw {MAX_POINTS:,} of {n:,} trials: the fronts and a random part of the others. "
        "Numbers and tables include all.",
    )


def save(
    chart: ChartType, stem: Path, formats: Sequence[str] = ("png", "svg"), *, scale: float = 2
) -> list[Path]:
    """Write the chart in the light theme as `stem`.png, .svg, .pdf or .html; needs no browser or network.

    scale: pixels of a PNG to a pixel of the chart
    """
    spec, converter = on_paper(chart.to_dict()), rendering.converter()
    written = []
    for suffix in formats:
        path = stem.with_name(f"{stem.name}.{suffix}")
        match suffix:
            case "png":
                path.write_bytes(converter.svg_to_png(converter.vegalite_to_svg(spec), scale=scale))
            case "svg":
                path.write_text(converter.vegalite_to_svg(spec), encoding="utf-8")
            case "pdf":
                path.write_bytes(converter.vegalite_to_pdf(spec))
            case "html":
                path.write_text(converter.vegalite_to_html(spec, bundle=True), encoding="utf-8")
        written.append(path)
    return written
