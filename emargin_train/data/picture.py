"""One recording to look at: signal, spectrum, labels and pseudo-labels above each other."""

from pathlib import Path
from typing import Any

import numpy as np

from emargin_train.data.dataset import Dataset
from emargin_train.data.files import writing
from emargin_train.data.frames import Frames, Splits
from emargin_train.data.recording import Recording
from emargin_train.data.sequences import Layout, checked, read_all
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError
from emargin_train.files import write_whole

MAX_FRAMES = 240
MAX_BINS = 48
MAX_POINTS = 900
WIDTH = 900
INK = "#33475b"
COLOURS = [
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#17becf",
    "#edc948", "#9c755f", "#ff9da7", "#1b4f3a", "#7f2a8c", "#a0cbe8",
]  # fmt: skip


class Values:
    """Rows of the charts, kept out of them: Altair would check every single value."""

    def __init__(self) -> None:
        self.by_name: dict[str, list[dict[str, Any]]] = {}

    def named(self, rows: list[dict[str, Any]]) -> Any:
        import altair as alt

        name = f"rows{len(self.by_name)}"
        self.by_name[name] = rows
        return alt.NamedData(name)


def draw(dataset: Dataset, config: DataConfig, splits: Splits, threshold: float, path: Path) -> str:
    """Write the picture as PNG or SVG; what it shows, in words."""
    import vl_convert

    if path.suffix.lower() not in (".png", ".svg"):
        raise UserError(f"--plot is '{path}', but pictures are written as .png or .svg: give such a name")
    frames, n = choose(splits)
    layout, signal = None, None
    for _, recording in checked(dataset, read_all(dataset.parts(config), config.subjects)):
        layout = layout or Layout.of(dataset, recording)
        if (
            recording.record == frames.record[0]
            and (piece := piece_of(recording, layout, frames, n)) is not None
        ):
            signal = piece
            break
    assert layout is not None
    spec = chart(frames, n, layout, signal, threshold, splits.class_names)
    drawn: bytes
    if path.suffix.lower() == ".png":
        drawn = vl_convert.vegalite_to_png(spec, scale=1.5)
    else:
        drawn = vl_convert.vegalite_to_svg(spec).encode()
    with writing(path.parent, "give another --plot"):
        write_whole(path, drawn)
    return f"{n} frames of record {frames.record[0]}, from frame {int(frames.start[0])}"


def choose(splits: Splits) -> tuple[Frames, int]:
    """Sequences in a row where most classes and changes are seen, and how many frames to draw."""
    best: tuple[Any, ...] = (-1, -1, -1)
    chosen: tuple[Frames, int] | None = None
    for frames in splits.by_name().values():
        t = frames.shape[1]
        most = max(1, MAX_FRAMES // t)
        for first in range(len(frames)):
            end = first + 1
            while (
                end < len(frames)
                and end - first < most
                and frames.record[end] == frames.record[first]
                and frames.start[end] == frames.start[end - 1] + t
            ):
                end += 1
            y = frames.y[first:end].ravel()[:MAX_FRAMES]
            labelled = y[y >= 0]
            score = (len(np.unique(labelled)), len(labelled) // t, int((np.diff(labelled) != 0).sum()))
            if score > best:
                best, chosen = score, (frames.select(np.arange(first, end)), len(y))
    assert chosen is not None
    return chosen


def piece_of(recording: Recording, layout: Layout, frames: Frames, n: int) -> np.ndarray | None:
    """(C, samples), a hop for each drawn frame; None where these are not of this recording."""
    first = int(frames.start[0]) * layout.hop - recording.start // layout.hop * layout.hop
    end = first + n * layout.hop
    inside = 0 <= first and end - layout.hop < recording.signal.shape[1]
    return recording.signal[:, first:end] if inside else None


def chart(
    frames: Frames,
    n: int,
    layout: Layout,
    signal: np.ndarray | None,
    threshold: float,
    class_names: tuple[str, ...],
) -> dict[str, Any]:
    """The Vega-Lite specification: rows on one axis of time."""
    import altair as alt

    hop_s = layout.hop / layout.rate_hz
    span = n * hop_s
    unit, scale = ("s", 1.0) if span < 300 else ("min", 60.0) if span < 4 * 3600 else ("h", 3600.0)
    hop = hop_s / scale
    time = alt.Scale(domain=[0, n * hop], nice=False)
    hidden = alt.X("t:Q", scale=time, axis=alt.Axis(title=None, labels=False, ticks=False, grid=False))
    shown = alt.X("t:Q", scale=time, axis=alt.Axis(title=unit, grid=False))
    data = Values()
    rows = signal_rows(data, layout, signal, scale, hidden) if signal is not None else []
    rows.append(spectrum_row(data, frames, n, layout, hop, hidden))
    rows.append(label_row(data, frames.y.ravel()[:n], class_names, hop, hidden))
    rows += step_rows(data, frames, n, threshold, hop, hidden, shown)
    whole = alt.vconcat(*rows, spacing=8).resolve_scale(color="independent")
    whole = whole.properties(title=f"record {frames.record[0]} of subject {frames.subject[0]}, {n} frames")
    spec = whole.configure_view(stroke="#dddddd").configure_axis(titleFontSize=11).to_dict()
    return spec | {"datasets": data.by_name}


def signal_rows(data: Values, layout: Layout, signal: np.ndarray, scale: float, x: Any) -> list[Any]:
    """The first two channels."""
    import altair as alt

    return [
        alt.Chart(data.named(envelope(signal[channel], layout.rate_hz * scale)))
        .mark_area(color=INK, line={"strokeWidth": 0.6, "color": INK})
        .encode(
            x=x,
            y=alt.Y("low:Q", title=layout.channels[channel][:18], scale=alt.Scale(zero=False)),
            y2="high:Q",
        )
        .properties(width=WIDTH, height=70)
        for channel in range(min(2, len(signal)))
    ]


def spectrum_row(data: Values, frames: Frames, n: int, layout: Layout, hop: float, x: Any) -> Any:
    """The first channel's spectrum."""
    import altair as alt

    db = alt.Color("db:Q", scale=alt.Scale(scheme="viridis"), legend=None)
    y = alt.Y("f:Q", title=f"{layout.channels[0][:12]}, Hz", scale=alt.Scale(domain=[0, layout.rate_hz / 2]))
    cells = spectrum(frames.x().reshape(-1, layout.n_features)[:n], layout, hop)
    stroke = alt.Stroke("db:Q", scale=alt.Scale(scheme="viridis"), legend=None)  # else seams show
    drawn = alt.Chart(data.named(cells)).mark_rect(clip=True, strokeWidth=0.7)
    drawn = drawn.encode(x=x, x2="t2:Q", y=y, y2="f2:Q", color=db, stroke=stroke)
    return drawn.properties(width=WIDTH, height=150)


def label_row(data: Values, y: np.ndarray, class_names: tuple[str, ...], hop: float, x: Any) -> Any:
    """The true labels as a band."""
    import altair as alt

    present = [i for i in range(len(class_names)) if (y == i).any()]
    names = [class_names[i] for i in present] + ["unlabelled"] * bool((y < 0).any())
    colours = [COLOURS[i % len(COLOURS)] for i in present] + ["#dddddd"]
    scale = alt.Scale(domain=names, range=colours[: len(names)])
    legend = alt.Legend(title="true label", orient="top", titleOrient="left", direction="horizontal")
    return (
        alt.Chart(data.named(runs(y, class_names, hop)))
        .mark_rect()
        .encode(x=x, x2="t2:Q", color=alt.Color("label:N", scale=scale, legend=legend))
        .properties(width=WIDTH, height=26)
    )


def step_rows(
    data: Values, frames: Frames, n: int, threshold: float, hop: float, hidden: Any, shown: Any
) -> list[Any]:
    """Adjacent cosines with two thresholds, and which steps these call dissimilar."""
    import altair as alt

    from emargin_train.pseudo_labels import adjacent_cosine

    t = frames.shape[1]
    cosine = adjacent_cosine(frames.x().reshape(1, -1, frames.shape[2])[:, :n])[0]
    within = np.arange(1, n) % t != 0  # a step from one sequence to the next is no step
    tenth = float(np.quantile(cosine[within], 0.1))
    at = {f"below {threshold:g}": threshold, f"lowest 10%, below {tenth:.2f}": tenth}
    scale = alt.Scale(domain=list(at), range=["#b42318", "#b07900"])
    steps = [{"t": (i + 1) * hop, "cosine": float(c)} for i, c in enumerate(cosine) if within[i]]
    rules = [{"at": value, "what": what} for what, value in at.items()]
    marks = [{"t": s["t"], "what": what} for s in steps for what, value in at.items() if s["cosine"] < value]
    legend = alt.Legend(title="called dissimilar", orient="top", titleOrient="left", direction="horizontal")
    y = alt.Y("cosine:Q", title="adjacent cosine", scale=alt.Scale(zero=False, padding=4))
    line = alt.Chart(data.named(steps)).mark_line(strokeWidth=1, color=INK).encode(x=hidden, y=y)
    rule = alt.Chart(data.named(rules)).mark_rule(strokeDash=[4, 3])
    rule = rule.encode(y="at:Q", color=alt.Color("what:N", scale=scale, legend=legend))
    ticks = alt.Chart(data.named(marks)).mark_tick(thickness=1.5, size=14)
    ticks = ticks.encode(
        x=shown,
        y=alt.Y("what:N", title=None, scale=alt.Scale(domain=list(at)), axis=None),
        color=alt.Color("what:N", scale=scale, legend=None),
    )
    return [
        alt.layer(line, rule).properties(width=WIDTH, height=110),
        ticks.properties(width=WIDTH, height=36),
    ]


def envelope(signal: np.ndarray, rate: float) -> list[dict[str, float]]:
    """Lowest and highest sample of at most MAX_POINTS pieces."""
    size = max(1, len(signal) // MAX_POINTS)
    pieces = signal[: len(signal) // size * size].reshape(-1, size)
    return [
        {"t": (i + 0.5) * size / rate, "low": float(p.min()), "high": float(p.max())}
        for i, p in enumerate(pieces)
    ]


def spectrum(x: np.ndarray, layout: Layout, hop: float) -> list[dict[str, float]]:
    """First channel's magnitudes in dB below their maximum, neighbouring bins taken together."""
    bins = layout.frame // 2 + 1
    size = -(-bins // MAX_BINS)
    magnitude = x[:, :bins]
    edges = np.arange(0, bins, size)
    power = np.add.reduceat(magnitude.astype(np.float64) ** 2, edges, axis=1) / np.diff(
        np.append(edges, bins)
    )
    top = float(power.max()) or 1.0
    db = 10 * np.log10(np.maximum(power / top, 1e-6))
    width_hz = layout.rate_hz / layout.frame
    return [
        {
            "t": t * hop,
            "t2": (t + 1) * hop,
            "f": float(edges[k] * width_hz),
            "f2": float(min(edges[k] + size, bins) * width_hz),
            "db": round(float(db[t, k]), 1),
        }
        for t in range(len(db))
        for k in range(len(edges))
    ]


def runs(y: np.ndarray, class_names: tuple[str, ...], hop: float) -> list[dict[str, Any]]:
    """Stretches of one label."""
    edges = [0, *(np.flatnonzero(np.diff(y)) + 1).tolist(), len(y)]
    return [
        {"t": a * hop, "t2": b * hop, "label": class_names[y[a]] if y[a] >= 0 else "unlabelled"}
        for a, b in zip(edges[:-1], edges[1:], strict=True)
    ]
