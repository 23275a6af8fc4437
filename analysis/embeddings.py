"""Draw t-SNE pictures of the embeddings of trials, of searched methods and of baselines.

python -m analysis.embeddings runs/NAME                      # trials on the front, and the baselines
python -m analysis.embeddings runs/NAME --trials emargin-0003,infonce-0001 --projection umap
"""

import argparse
import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa
from altair.typing import ChartType
from pyarrow import feather
from threadpoolctl import threadpool_limits

from analysis import charts
from analysis.errors import UserError, exit_on_user_error, nearest
from analysis.pareto import best_of, goals, recommended, trade_off
from analysis.sections import Figure, Section, parser, run
from analysis.shapes import effective_rank
from analysis.tables import Study
from analysis.words import inline, plural

PANELS = 3
FRAMES = 400  # frames in a panel; more would make the picture slow and crowded
PERPLEXITY = 30.0
SEED = 0
READING = (
    "Each point is a frame. Distances between islands, and the sizes of islands, mean nothing in such a "
    "picture. A thread whose colour changes steadily with time is a one-dimensional embedding."
)
COLOURS = {"class": "label", "KMeans cluster": "cluster", "time within record": "time"}


@dataclass(frozen=True)
class Embedded:
    """Validation frames of one training.

    h: (n, D) embeddings
    about: label, cluster, subject, record and frame of each embedding
    """

    trial: str
    h: np.ndarray
    about: pd.DataFrame


def available(study: Study) -> dict[str, Path]:
    """For each trial whose embeddings were kept, the file of its first replicate.

    Files are named <trial>-<split seed>-<seed>.arrow; in version 1, <trial>-<seed>.arrow.
    """
    folder, found = study.folder / "embeddings", dict[str, Path]()
    rows = study.rows[["trial", "split_seed", "seed"]].sort_values(["trial", "split_seed", "seed"])
    for trial, split_seed, seed in rows.itertuples(index=False):
        for name in (f"{trial}-{split_seed}-{seed}.arrow", f"{trial}-{seed}.arrow"):
            if trial not in found and (folder / name).is_file():
                found[trial] = folder / name
    return found


def read(path: Path, trial: str) -> Embedded:
    """Read one file of `embeddings/`. Raises UserError where a study cannot have written it."""
    try:
        table = feather.read_table(path)
        width = table.schema.field("h").type.list_size
        h = table["h"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        about = table.select(["label", "cluster", "subject", "record", "frame"]).to_pandas()
    except (pa.ArrowInvalid, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} is not a table of embeddings ({error}): remove it, or run the study again"
        ) from None
    return Embedded(trial, h, about)


def thinned(embedded: Embedded, frames: int = FRAMES) -> Embedded:
    """At most so many frames; trials with the same frames keep the same ones."""
    n = len(embedded.h)
    if n <= frames:
        return embedded
    at = np.sort(np.random.default_rng(SEED).choice(n, frames, replace=False))
    return Embedded(embedded.trial, embedded.h[at], embedded.about.iloc[at].reset_index(drop=True))


def project(
    clouds: Sequence[np.ndarray], *, projection: str = "tsne", perplexity: float = PERPLEXITY
) -> list[np.ndarray]:
    """(n, 2) for each cloud (n, D): t-SNE from a PCA start, or UMAP; the seed is fixed.

    t-SNE projects the clouds side by side, each with one thread, since clouds are small. Several threads may
    not call UMAP.
    """
    if projection == "umap":
        try:
            import umap
        except ModuleNotFoundError:
            raise UserError(
                "--projection is umap, which is not installed: pip install umap-learn, or use tsne"
            ) from None
        return [np.asarray(umap.UMAP(random_state=SEED).fit_transform(h)) for h in clouds]
    if projection != "tsne":
        raise UserError(f"--projection is '{projection}': {nearest(projection, ['tsne', 'umap'])}")
    if not clouds:
        return []
    from sklearn.manifold import TSNE

    def one(h: np.ndarray) -> np.ndarray:
        near = min(perplexity, (len(h) - 1) / 3)
        made = TSNE(perplexity=near, init="pca", random_state=SEED, max_iter=500)
        with threadpool_limits(1):  # OpenMP has a limit for each thread that calls it
            return made.fit_transform(h.astype(np.float64))

    n_at_once = max(PANELS, os.cpu_count() or 1)  # the panels of a report at once, even on two cores
    with threadpool_limits(1), ThreadPoolExecutor(n_at_once) as pool:  # BLAS has one for the process
        return list(pool.map(one, clouds))


def chosen(study: Study, trials: Sequence[str] = ()) -> list[str]:
    """The trials to draw: those named, or the compromise, the best in each goal and the best baselines."""
    there = available(study)
    for name in trials:
        if name not in there:
            raise UserError(f"--trials has '{name}', whose embeddings were not kept: {nearest(name, there)}")
    if trials:
        return list(trials)
    x, y = goals(study)
    table = trade_off(study, x, y)
    wanted = list(recommended(table, x, y)["trial"])
    for kind in ("searched", "baseline"):
        for metric, other in ((x, y), (y, x)):
            own = table[(table["role"] == kind) & table["trial"].isin(there)]
            if len(own):
                wanted.append(own.loc[best_of(own, metric, other), "trial"])
    order = [*wanted, *there]
    kept = [name for name in dict.fromkeys(order) if name in there]
    by_method = table.set_index("trial")["method"].to_dict()
    first: dict[str, str] = {}  # one trial of each method comes first
    for name in kept:
        first.setdefault(by_method.get(name, name), name)
    return list(dict.fromkeys([*first.values(), *kept]))[:PANELS]


def panels(study: Study, trials: Sequence[str], *, projection: str = "tsne") -> pd.DataFrame:
    """One row for each trial and frame: u, v, label, cluster, time within the record, and its origin."""
    there = available(study)
    drawn = [
        embedded
        for embedded in (thinned(read(there[name], name)) for name in trials)
        if len(embedded.h) >= 10 and np.ptp(embedded.h) > 0
    ]
    parts = []
    for embedded, uv in zip(drawn, project([one.h for one in drawn], projection=projection), strict=True):
        about = embedded.about
        time = about.groupby("record")["frame"].rank(pct=True)
        parts.append(
            about.assign(
                trial=embedded.trial, u=uv[:, 0], v=uv[:, 1], time=time, rank=effective_rank(embedded.h)
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def section(study: Study, trials: Sequence[str] = (), projection: str = "tsne") -> Section | None:
    """Pictures of a few trials; None where no embeddings were kept."""
    if not available(study):
        return None
    table = panels(study, chosen(study, trials), projection=projection)
    if table.empty:
        return None
    titles = {name: panel_title(study, str(name), part) for name, part in table.groupby("trial", sort=False)}
    classes = dict(enumerate(study.manifest.get("classes", ())))
    n = int(table.groupby("trial").size().max())
    count = f"{len(titles)} {plural(len(titles), 'trial')}"
    how = f"t-SNE, perplexity {min(PERPLEXITY, (n - 1) / 3):.0f}" if projection == "tsne" else "UMAP"
    return Section(
        name="embeddings",
        title="Embeddings",
        intro="Do the embeddings form islands, clouds or threads?",
        figures=(
            Figure(
                name="embeddings",
                title=f"Validation frames of {count} ({how}, seed {SEED})",
                reading=READING,
                charts={
                    title: panel(table[table["trial"] == name], classes) for name, title in titles.items()
                },
                table=table.drop(columns="rank"),
            ),
        ),
    )


def panel_title(study: Study, trial: str, part: pd.DataFrame) -> str:
    """The title of a panel: the method and the scores of the trial."""
    rows = study.ok[study.ok["trial"] == trial]
    x, y = goals(study)
    scores = ", ".join(
        f"{inline(m.title)} {rows[m.name].mean():.2f}" for m in (x, y) if rows[m.name].notna().any()
    )
    method = study.method_title(str(rows["method"].iloc[0])) if len(rows) else trial
    return f"{method} ({trial}): {scores}, effective rank {part['rank'].iloc[0]:.0f}"


def panel(frames: pd.DataFrame, classes: dict[int, str]) -> ChartType:
    """The frames of a trial, coloured by class, cluster or time, which can be chosen on the page.

    classes: class names by label; a label without a name is shown as its number
    """
    labels = frames["label"].map(lambda label: classes.get(label, str(label)))
    known = [name for name in COLOURS if frames[COLOURS[name]].nunique() > 1]
    long = frames.assign(
        **{
            "class": labels,
            "KMeans cluster": frames["cluster"].astype(str),
        },
        **{"time within record": (frames["time"] * 6).apply(np.ceil).map(lambda i: f"sixth {i:.0f}")},
    )
    data = charts.compact(long, ["u", "v", "subject", "record", "frame", *COLOURS])
    options = known or ["class"]
    name = f"colour{zlib.crc32(str(frames['trial'].iloc[0]).encode())}"
    pick = alt.param(name=name, value=options[0], bind=alt.binding_select(options=options, name="Colour by "))
    plain = alt.Axis(labels=False, ticks=False, grid=False, title=None)
    scale = alt.Scale(zero=False)
    return (
        alt.Chart(data)
        .add_params(pick)
        .transform_calculate(shade=f"datum[{name}]")
        .mark_point(size=18, opacity=0.75)
        .encode(
            x=alt.X("u:Q", axis=plain, scale=scale),
            y=alt.Y("v:Q", axis=plain, scale=scale),
            color=alt.Color("shade:N", title=None, legend=alt.Legend(columns=charts.COLUMNS)),
            tooltip=["class", "KMeans cluster", "subject", "record", "frame"],
        )
        .properties(width=charts.WIDTH - 100, height=charts.WIDTH - 120)
    )


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__, "python -m analysis.embeddings", several=False)
    made.add_argument("--trials", default="", help="Draw these trials, such as emargin-0003,infonce-0001.")
    made.add_argument("--projection", default="tsne", help="Draw by this projection: tsne (default) or umap.")
    arguments: argparse.Namespace = made.parse_args(argv)

    def needed(study: Study) -> Section:
        names = [name for name in arguments.trials.split(",") if name]
        found = section(study, names, arguments.projection)
        if found is None:
            raise UserError(
                f"{study.folder} has no embeddings to draw: run a study with --keep-embeddings front or all"
            )
        return found

    run(arguments, needed)


if __name__ == "__main__":
    exit_on_user_error(main)
