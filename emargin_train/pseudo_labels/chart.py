"""A chart of adjacent cosines, with and without a change of class, and of the labels of each threshold."""

from pathlib import Path
from typing import Any

import numpy as np

from emargin_train.errors import UserError
from emargin_train.pseudo_labels.quality import Steps

FORMATS = (".png", ".svg", ".html")
WIDTH, HEIGHT = 300, 170
N_BINS = 50
CURVES = {
    "dissimilar_share": "share dissimilar",
    "pseudo_label_precision": "precision",
    "pseudo_label_recall": "recall",
    "pseudo_label_f1": "F1",
}


def histogram(steps: Steps, edges: np.ndarray) -> list[dict[str, Any]]:
    """Density of the cosines of labelled steps, by whether the class changes; none where there are none."""
    rows = []
    for name, cosine in (("class stays", steps.unchanged), ("class changes", steps.changed)):
        if len(cosine):
            density = np.histogram(cosine, edges)[0] / (len(cosine) * np.diff(edges))
            rows += [
                {"cosine": float(x), "density": float(d), "step": name}
                for x, d in zip((edges[:-1] + edges[1:]) / 2, density, strict=True)
            ]
    return rows


def draw(found: dict[str, Steps], thresholds: np.ndarray, *, title: str, noise: str) -> Any:
    """An Altair chart.

    found: steps by noise level, in the order in which they are drawn; noise: the kind of noise
    """
    import altair as alt

    low = min(steps.cosine[0] for steps in found.values())
    edges = np.linspace(min(low, 0.999), 1, N_BINS + 1)
    cosines, curves = [], []
    for level, steps in found.items():
        cosines += [{"noise": level, **row} for row in histogram(steps, edges)]
        for threshold in thresholds:
            row = steps.at(float(threshold))
            curves += [
                {"noise": level, "threshold": float(threshold), "what": label, "value": row[name]}
                for name, label in CURVES.items()
            ]
    scale = alt.Scale(domain=list(found), scheme=alt.SchemeParams("viridis", extent=[0, 0.9]))
    colour = alt.Color("noise:O", sort=list(found), title=f"SNR (dB), {noise} noise", scale=scale)
    size = {"width": WIDTH, "height": HEIGHT}
    density = (
        alt.Chart(alt.Data(values=cosines))
        .mark_line(interpolate="step")
        .encode(
            x=alt.X("cosine:Q", title="cosine of adjacent frames"),
            y=alt.Y("density:Q", title="density"),
            color=colour,
        )
        .properties(**size)
        .facet(column=alt.Column("step:N", title=None, sort=["class stays", "class changes"]))
        .resolve_scale(y="independent")
    )
    lines = (
        alt.Chart(alt.Data(values=curves))
        .mark_line()
        .encode(
            x=alt.X("threshold:Q", title="threshold (cosine)"),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(domain=[0, 1])),
            color=colour,
        )
        .properties(**size)
        .facet(facet=alt.Facet("what:N", title=None, sort=list(CURVES.values())), columns=2)
    )
    return alt.vconcat(density, lines, title=title).configure_legend(symbolStrokeWidth=3)


def save(chart: Any, path: Path) -> None:
    """Write the chart as .png, .svg, or as .html that needs no network."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"--plot is '{path}', but charts are written as .png, .svg or .html: give one of these endings"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".html":
        chart.save(path, inline=True)
    else:
        chart.save(path, scale_factor=2)
