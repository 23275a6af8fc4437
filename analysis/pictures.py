"""Keep what a picture of embeddings needs: t-SNE and principal axes of some methods on each dataset.

python -m analysis.pictures runs/NAME ... --out FILE.parquet

Embeddings are too large to be kept with a document, so FILE holds what a picture needs: for one split of each
dataset, the projected frames of every trial. `chart` draws some of them; since the coordinates are stored,
the picture is the same on every machine.
"""

from collections.abc import Sequence
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType
from threadpoolctl import threadpool_limits

from analysis.embeddings import available, project, read, thinned
from analysis.errors import UserError, exit_on_user_error
from analysis.program import Parser
from analysis.tables import Study, load

PROJECTIONS = {"tsne": "t-SNE", "pca": "first two principal axes"}
PANEL = 150  # pixels
STEPS = 1000  # a picture is this many steps wide: what the stored coordinates are rounded to
COLUMNS = ("dataset", "trial", "method", "arm", "split_seed", "class", "tsne_x", "tsne_y", "pca_x", "pca_y")


def principal_axes(h: np.ndarray) -> np.ndarray:
    """(n, D) -> (n, 2): scores on the first two principal axes."""
    x = h.astype(np.float64)
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    return u[:, :2] * s[:2]


def placed(uv: np.ndarray) -> np.ndarray:
    """Coordinates in whole steps from 0, the longer side STEPS long, so that they take little room."""
    span = float(np.ptp(uv, axis=0).max())
    return np.rint((uv - uv.min(0)) * (STEPS / span if span else 0)).astype(np.int16)


def projected(study: Study) -> pd.DataFrame:
    """One row for each frame of each trial whose embeddings were kept (COLUMNS), of its first replicate."""
    classes = dict(enumerate(study.manifest.get("classes", ())))
    first = study.ok.sort_values(["trial", "split_seed", "seed"]).drop_duplicates("trial").set_index("trial")
    parts = []
    for trial, path in available(study).items():
        if trial not in first.index:
            continue
        row, embedded = first.loc[trial], thinned(read(path, trial))
        if np.ptp(embedded.h) == 0:
            continue
        (tsne,) = project([embedded.h])
        part = pd.DataFrame({"class": embedded.about["label"].map(lambda y: classes.get(y, str(y)))})
        for name, uv in (("tsne", tsne), ("pca", principal_axes(embedded.h))):
            part[[f"{name}_x", f"{name}_y"]] = placed(uv)
        about = {name: row[name] for name in ("dataset", "method", "split_seed")}
        parts.append(part.assign(trial=f"{study.name}/{trial}", arm=arm(row), **about))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    return found[list(COLUMNS)]


def arm(row: "pd.Series[object]") -> str:
    """What distinguishes a trial from others of its method in such a picture: the spread weight, unless 0."""
    weight = row.get("spread_weight")
    return "" if weight is None or pd.isna(weight) or not float(str(weight)) else f"spread weight {weight:g}"


def chart(frames: pd.DataFrame, titles: dict[str, str]) -> ChartType:
    """One dataset: a column for each trial in `titles` (trial -> title), a row for each projection."""
    shown = frames[frames["trial"].isin(titles)]
    domain = sorted(shown["class"].unique())
    plain = alt.Axis(labels=False, ticks=False, grid=False, domain=False, title=None)
    legend = alt.Legend(columns=6, symbolOpacity=1)
    colour = alt.Color("class:N", title=None, scale=_palette(domain), legend=legend)
    columns = []
    for trial, title in titles.items():
        own = shown[shown["trial"] == trial]
        rows = []
        for i, (name, words) in enumerate(PROJECTIONS.items()):
            data = own[[f"{name}_x", f"{name}_y", "class"]].set_axis(["x", "y", "class"], axis=1)
            panel = (
                alt.Chart(data)
                .mark_circle(size=9, opacity=0.8)
                .encode(
                    x=alt.X("x:Q", axis=plain, scale=alt.Scale(domain=[-20, STEPS + 20])),
                    y=alt.Y("y:Q", axis=plain, scale=alt.Scale(domain=[-20, STEPS + 20])),
                    color=colour,
                )
            )
            words = title if i == 0 else ""
            frame = alt.ViewBackground(stroke="#d0d0d0")
            rows.append(panel.properties(width=PANEL, height=PANEL, title=_title(words), view=frame))
        columns.append(alt.vconcat(*rows, spacing=4))
    return alt.hconcat(*columns, spacing=10)


def _title(words: str) -> alt.TitleParams:
    first, *rest = words.split("\n")
    return alt.TitleParams(first, subtitle=rest, fontSize=11, subtitleFontSize=10)


def _palette(domain: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(domain), scheme="category10" if len(domain) <= 10 else "category20")


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser("analysis.pictures", __doc__)
    parser.add_argument("studies", nargs="+", type=Path, help="The folders of studies that kept embeddings.")
    parser.add_argument(
        "--out", type=Path, required=True, help="Write the projected frames to this Parquet file."
    )
    arguments = parser.parse_args(argv)
    with threadpool_limits(1):
        made = pd.concat([projected(load(folder)) for folder in arguments.studies], ignore_index=True)
    if made.empty:
        raise UserError("these studies kept no embeddings: run them with --keep-embeddings all")
    made.to_parquet(arguments.out, index=False, compression="zstd")
    print(f"written: {arguments.out}, {len(made)} frames of {made['trial'].nunique()} trials")


if __name__ == "__main__":
    exit_on_user_error(main)
