"""Test whether the spread alone makes a Silhouette: exchange the spectra of two encoders' embeddings.

python -m analysis.transplant PLAN.toml CONTRAST runs/NAME ... --out FILE.parquet

The sides a and b of a planned contrast encode the same frames of each split; the studies have to keep all
embeddings (--keep-embeddings all). Along its principal axes, each encoder has scores, which are scaled to
variance 1, and the spectrum, which is the variance of each axis. All four combinations of scores and spectrum
are clustered and scored as the evaluation does it: KMeans with as many clusters as classes, and Silhouette.
From them (s: scores, v: spectrum) follow two parts of the difference a - b, which add up to it:

    spectrum: ((s_a v_a - s_a v_b) + (s_b v_a - s_b v_b)) / 2
    scores:   ((s_a v_a - s_b v_a) + (s_a v_b - s_b v_b)) / 2
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from analysis import contrasts
from analysis.contrasts import Contrast
from analysis.embeddings import Embedded, read
from analysis.errors import UserError, exit_on_user_error, nearest
from analysis.joined import join
from analysis.program import Parser
from analysis.replicates import SEED, SPLIT
from analysis.selection import selected
from analysis.tables import Study, load

LEAST = 1e-10  # share of the variance below which an axis is rounding
SAME_FRAMES = ["label", "subject", "record", "frame"]
COLUMNS = (
    "dataset", SPLIT, SEED, "scores", "spectrum", "silhouette", "stored", "variance_kept", "git_revision",
)  # fmt: skip
KEPT = "transplant.parquet"
PARTS = ("spectrum", "scores", "both")


def principal(h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, D) -> scores (n, r) of variance 1 and the variance (r,) of each axis, largest first."""
    x = h.astype(np.float64)
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    variance = s**2 / len(x)
    kept = variance > LEAST * variance.sum()
    return u[:, kept] * np.sqrt(len(x)), variance[kept]


def silhouette(x: np.ndarray, clusters: int) -> float:
    """Silhouette of KMeans' clusters on x, as the evaluation has it."""
    points = x.astype(np.float32)
    return float(silhouette_score(points, KMeans(clusters, n_init=10, random_state=1).fit_predict(points)))


def exchanged(a: np.ndarray, b: np.ndarray, clusters: int) -> list[tuple[str, str, float, float]]:
    """(scores of, spectrum of, Silhouette, share of the variance kept) of the four combinations.

    An encoder with fewer axes than the other's spectrum has no scores for its last variances, which are lost.
    """
    of = {"a": principal(a), "b": principal(b)}
    found = []
    for one, (scores, _) in of.items():
        for other, (_, variance) in of.items():
            r = min(scores.shape[1], len(variance))
            made = scores[:, :r] * np.sqrt(variance[:r])
            found.append((one, other, silhouette(made, clusters), float(variance[:r].sum() / variance.sum())))
    return found


def table(studies: Sequence[Study], contrast: Contrast) -> pd.DataFrame:
    """One row for each replicate and combination (COLUMNS); stored: the Silhouette in the study's own row.

    Raises UserError where embeddings are missing, or where the two sides did not encode the same frames.
    """
    located = [
        study.with_rows(study.rows.assign(folder=str(study.folder), file=study.rows["trial"]))
        for study in studies
    ]
    whole = join(located)
    keys = ["dataset", SPLIT, SEED]
    a, b = (selected(whole.ok, [side]).set_index(keys).sort_index() for side in (contrast.a, contrast.b))
    rows: list[tuple[Any, ...]] = []
    for key in a.index.intersection(b.index):
        first, second = (_embedded(side.loc[key]) for side in (a, b))
        if not first.about[SAME_FRAMES].equals(second.about[SAME_FRAMES]):
            raise UserError(
                f"{first.trial} and {second.trial} encode different frames of {key[0]}: run both studies "
                "with the same splits and evaluation frames"
            )
        clusters = int((np.unique(first.about["label"]) >= 0).sum())
        own = {"a": a.loc[key], "b": b.loc[key]}
        for one, other, score, kept in exchanged(first.h, second.h, clusters):
            stored = own[one]["silhouette"] if one == other else None
            rows.append((*key, one, other, score, stored, kept, own[one]["git_revision"]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def kept(folder: Path) -> pd.DataFrame:
    """The rows that were kept beside the studies of a findings folder (KEPT); empty where there are none."""
    found = sorted(folder.glob(f"*/{KEPT}"))
    return pd.concat(map(pd.read_parquet, found), ignore_index=True) if found else pd.DataFrame()


def _embedded(row: "pd.Series[Any]") -> Embedded:
    path = Path(row["folder"]) / "embeddings" / f"{row['file']}-{row.name[1]}-{row.name[2]}.arrow"
    if not path.is_file():
        raise UserError(f"{path} is missing: run the study with --keep-embeddings all")
    return read(path, str(row["trial"]))


def parts(made: pd.DataFrame) -> dict[str, dict[str, "pd.Series[float]"]]:
    """By part (PARTS) and dataset: its share of the difference a - b, by split."""
    wide = made.assign(cell=made["scores"] + made["spectrum"]).pivot_table(
        index=["dataset", SPLIT], columns="cell", values="silhouette"
    )
    of = {
        "spectrum": (wide["aa"] - wide["ab"] + wide["ba"] - wide["bb"]) / 2,
        "scores": (wide["aa"] - wide["ba"] + wide["ab"] - wide["bb"]) / 2,
        "both": wide["aa"] - wide["bb"],
    }
    return {
        name: {str(dataset): own.droplevel(0) for dataset, own in gap.groupby(level=0)}
        for name, gap in of.items()
    }


def judged(made: pd.DataFrame, margin: float, level: float) -> pd.DataFrame:
    """The parts for each dataset and over all, in the columns of `analysis.contrasts`."""
    rows = [
        row
        for name, of in parts(made).items()
        for row in contrasts.judged(
            of, margin, level, {"question": "Q2", "contrast": f"transplant-{name}", "metric": "silhouette"}
        )
    ]
    return pd.DataFrame(rows, columns=contrasts.COLUMNS)


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser("analysis.transplant", __doc__)
    parser.add_argument("plan", type=Path, help="The TOML file with the planned contrasts.")
    parser.add_argument("contrast", help="The name of the contrast whose sides are compared.")
    parser.add_argument(
        "studies", nargs="+", type=Path, help="The folders of studies that kept all embeddings."
    )
    parser.add_argument("--out", type=Path, required=True, help="Write the Silhouettes to this Parquet file.")
    arguments = parser.parse_args(argv)
    planned = {contrast.name: contrast for contrast in contrasts.read(arguments.plan).contrasts}
    if arguments.contrast not in planned:
        raise UserError(f"the plan has no '{arguments.contrast}': {nearest(arguments.contrast, planned)}")
    with threadpool_limits(1):  # for so few points, several threads would be slower
        made = table([load(folder) for folder in arguments.studies], planned[arguments.contrast])
    if made.empty:
        raise UserError(f"no replicate of these studies has both sides of {arguments.contrast}: give both")
    made.to_parquet(arguments.out, index=False)
    off = (made["silhouette"] - made["stored"].astype(float)).abs().max()
    print(f"written: {arguments.out}, {len(made)} rows; stored Silhouettes differ by {off:.2g} at most")


if __name__ == "__main__":
    exit_on_user_error(main)
