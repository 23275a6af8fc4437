"""Compute the Silhouette of KMeans on simple shapes, as an example of data without clusters.

KMeans cuts any shape into k pieces, and Silhouette rewards the cut: a segment of uniform density reaches more
than 0.5 for every k, although it has no clusters. Charts show these curves with the trials, over effective
rank. shapes.json has them for usual numbers of clusters, since computing them would take two seconds in every
report.

    python -m analysis.shapes        # writes analysis/shapes.json
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from analysis.errors import exit_on_user_error
from analysis.program import Parser

POINTS, DRAWS = 400, 4
COLUMNS = ["shape", "effective_rank", "silhouette", "davies_bouldin"]
STORED = range(2, 13)  # numbers of clusters in shapes.json
Shape = Callable[[np.random.Generator, int], np.ndarray]


def segment(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 2) uniform on a straight line."""
    return np.column_stack([rng.uniform(0, 1, n), np.zeros(n)])


def arc(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 2) uniform on half a circle."""
    angle = rng.uniform(0, np.pi, n)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def spiral(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 2) two turns of an Archimedean spiral, uniform along its length."""
    angle = 4 * np.pi * np.sqrt(rng.uniform(0, 1, n))  # length grows as the square of the angle
    return angle[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])


def gaussian(dimension: int) -> Shape:
    """(n, dimension) standard normal."""
    return lambda rng, n: rng.normal(size=(n, dimension))


SHAPES: dict[str, Shape] = {
    "segment": segment,
    "arc": arc,
    "spiral": spiral,
    **{f"Gaussian, {d} dimensions": gaussian(d) for d in (2, 3, 5, 10, 20, 50)},
}


def effective_rank(x: np.ndarray) -> float:
    """Exponential of the entropy of the centred points' normalised singular values (Roy & Vetterli 2007)."""
    values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    share = values[values > 1e-12 * values[0]] / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


@cache
def reference_curves(n_clusters: int) -> pd.DataFrame:
    """Scores of KMeans with n_clusters clusters on each shape, as means over some draws.

    Columns: shape, effective_rank, silhouette, davies_bouldin.
    """
    return pd.DataFrame(stored().get(str(n_clusters)) or computed(n_clusters), columns=COLUMNS)


def stored() -> dict[str, list[list[str | float]]]:
    """The rows of `reference_curves` in shapes.json, by number of clusters."""
    return dict(json.loads(files("analysis").joinpath("shapes.json").read_text(encoding="utf-8")))


def computed(n_clusters: int) -> list[list[str | float]]:
    """The rows of `reference_curves`, in four digits."""
    rng = np.random.default_rng(0)
    rows: list[list[str | float]] = []
    with threadpool_limits(1):  # for so few points, several threads would be slower
        for name, shape in SHAPES.items():
            scores = np.mean([_scores(shape(rng, POINTS), n_clusters) for _ in range(DRAWS)], axis=0)
            rows.append([name, *(round(float(score), 4) for score in scores)])
    return rows


def _scores(x: np.ndarray, n_clusters: int) -> tuple[float, float, float]:
    from sklearn.cluster import KMeans  # it takes a second to load
    from sklearn.metrics import davies_bouldin_score, silhouette_score

    labels = KMeans(n_clusters, n_init=3, random_state=1).fit_predict(x)
    return effective_rank(x), float(silhouette_score(x, labels)), float(davies_bouldin_score(x, labels))


def main(argv: Sequence[str] | None = None) -> None:
    Parser("analysis.shapes", __doc__).parse_args(argv)
    content = {str(k): computed(k) for k in STORED}
    (Path(__file__).parent / "shapes.json").write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    exit_on_user_error(main)
