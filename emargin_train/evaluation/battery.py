"""The metrics of one side, put into a table: which function, on which frames, under which name."""

import numpy as np

from emargin_train.evaluation import clustering, geometry, probes, scores
from emargin_train.evaluation.degenerate import Degenerate
from emargin_train.evaluation.logistic import logistic
from emargin_train.evaluation.side import Side
from emargin_train.evaluation.table import Table, names
from emargin_train.evaluation.training import Scores, Training

Confusion = dict[str, list[list[int]]]


def add_clustering(table: Table, prefix: str, h: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray | None:
    """KMeans with as many clusters as y has classes, and what it is worth.

    h: (n, D); y: (n,) classes
    Returns its clusters, or None where it failed.
    """
    clusters = len(np.unique(y))
    kinds = ("silhouette", "davies_bouldin", "calinski_harabasz", "largest_cluster_share", "nmi", "ari")
    own = tuple(prefix + kind for kind in kinds)
    labels = None
    try:
        labels = clustering.kmeans(h, clusters, seed=seed)
        silhouette, of_classes = clustering.silhouettes(h, labels, y)
        rest = (*clustering.published(h, labels), *clustering.agreement(labels, y))
        table.add(own, lambda: (silhouette, *rest))
        table.add((f"{prefix}silhouette_of_labels",), lambda: (of_classes,))
    except Degenerate as reason:
        table.none(own, str(reason))
        table.add((f"{prefix}silhouette_of_labels",), lambda: tuple(clustering.silhouettes(h, y)))
    return labels


def add_calibration(table: Table, h: np.ndarray, clusters: int, seed: int) -> None:
    """What the Silhouette would be without lengths, and without clusters. After `add_clustering`."""

    def normalised() -> tuple[float, ...]:
        z = clustering.unit(h)
        return tuple(clustering.silhouettes(z, clustering.kmeans(z, clusters, seed=seed)))

    table.add(("silhouette_normalised",), normalised)
    table.add(("silhouette_null",), lambda: (clustering.silhouette_null(h, clusters, seed=seed),))
    score, null = table.metrics["silhouette"], table.metrics["silhouette_null"]
    if score is None or null is None:
        missing = "silhouette" if score is None else "silhouette_null"
        table.none(("silhouette_excess",), table.reasons[missing])
    else:
        table.metrics["silhouette_excess"] = score - null


def add_ranks(table: Table, prefix: str, h: np.ndarray) -> None:
    def ranks() -> tuple[float, ...]:
        variance = geometry.spectrum(h)
        return geometry.effective_rank(variance), geometry.participation_ratio(variance)

    table.add((f"{prefix}effective_rank", f"{prefix}participation_ratio"), ranks)


def add_geometry(
    table: Table, h: np.ndarray, y: np.ndarray, pairs: np.ndarray, following: np.ndarray
) -> None:
    """h, y: class-balanced frames; pairs, following: (p, D) each, adjacent frames."""
    table.add(("intrinsic_dimension",), lambda: (geometry.intrinsic_dimension(h),))
    table.add(("mean_cosine",), lambda: (geometry.mean_cosine(h),))
    table.add(("alignment",), lambda: (geometry.alignment(pairs, following),))
    table.add(("uniformity",), lambda: (geometry.uniformity(h),))
    table.add(("class_centroid_spread",), lambda: (geometry.class_centroid_spread(h, y),))


class Readers:
    """All probes, trained once on the training side.

    classes: (K,) labels that the training side has; probes know no others
    """

    def __init__(self, train: Side, exponent: int, seed: int) -> None:
        self.classes, y = np.unique(train.y("train"), return_inverse=True)
        self.training = Training(train.h("train", exponent), y, train.subject("train"))
        as_is = Training(train.h("train"), y, train.subject("train"))
        self.exponent = exponent
        self.scores: dict[str, Scores] = {
            "paper_probe": probes.paper_probe(as_is, seed=seed),
            "probe": logistic(self.training),
            "knn": probes.nearest(self.training),
            "mlp": probes.mlp(self.training, seed=seed),
        }

    def guess(self, reader: str, side: Side, frames: str) -> np.ndarray:
        """Index into `classes` for each frame: (n,). Raises Degenerate where scores are not finite."""
        h = side.h(frames, 0 if reader == "paper_probe" else self.exponent)
        found = self.scores[reader](h)
        if frames == "natural" and reader != "paper_probe":
            found = probes.with_shares(found, self.training)
        if not np.isfinite(found).all():
            raise Degenerate(f"scores of {reader} are not finite")
        return found.argmax(1)


def add_probes(table: Table, prefix: str, side: Side, readers: Readers) -> Confusion:
    """Scores of every probe on frames of classes that the training side has; their confusion matrices.

    On validation every probe reads both kinds of frames, on test those that the columns ask for.
    """
    confusion: Confusion = {}
    for frames in ("balanced", "natural"):
        columns = names(prefix, "probe", frames)
        y = side.y(frames)
        known = np.isin(y, readers.classes)
        true = np.searchsorted(readers.classes, y[known])
        if len(np.unique(true)) < 2:
            table.none(columns, f"fewer than two training classes among {frames} frames")
            continue
        for reader in readers.scores:
            stem = prefix + reader
            own = tuple(name for name in columns if name.startswith(stem))
            if prefix and not own:
                continue
            try:
                guess = readers.guess(reader, side, frames)[known]
            except Degenerate as reason:
                table.none(own, str(reason))
                continue
            counts = scores.confusion(true, guess, len(readers.classes))
            confusion[f"{stem}_{frames}"] = counts.tolist()
            _add_scores(table, stem, frames, counts)
    return confusion


def _add_scores(table: Table, stem: str, frames: str, counts: np.ndarray) -> None:
    if frames == "balanced":
        table.add((f"{stem}_balanced_accuracy",), lambda: (scores.balanced_accuracy(counts),))
        return
    kinds = tuple(f"{stem}_{kind}" for kind in ("accuracy", "precision", "recall", "f1"))
    count = scores.published if stem.endswith("paper_probe") else scores.ours
    table.add(kinds, lambda: count(counts))
