"""The metrics of one side, put into a table: which function, on which frames, under which name."""

import numpy as np
from torch import Tensor

from emargin_train.evaluation import (
    clustering,
    geometry,
    logistic,
    logistic_stacked,
    probes,
    recorded,
    scores,
)
from emargin_train.evaluation.degenerate import Degenerate
from emargin_train.evaluation.distances import Pairs, all_pairs
from emargin_train.evaluation.points import Points, unit
from emargin_train.evaluation.side import Side
from emargin_train.evaluation.table import Table, names
from emargin_train.evaluation.training import Scores, Training

Confusion = dict[str, list[list[int]]]


def add_clustering(
    table: Table, prefix: str, h: Points, y: np.ndarray, seed: int
) -> tuple[np.ndarray | None, Pairs]:
    """KMeans with as many clusters as y has classes, and what it is worth.

    h: (n, D); y: (n,) classes
    Returns its clusters, None where it failed, and what the pass over all pairs of h found.
    """
    kinds = ("silhouette", "davies_bouldin", "calinski_harabasz", "largest_cluster_share", "nmi", "ari")
    of_clusters, of_classes = tuple(prefix + kind for kind in kinds), (f"{prefix}silhouette_of_labels",)
    codes: dict[str, np.ndarray] = {}
    labels = None
    try:
        labels = clustering.kmeans(h, len(np.unique(y)), seed=seed)
        codes["clusters"] = clustering.codes_of(labels)
    except Degenerate as reason:
        table.none(of_clusters, str(reason))
    try:
        codes["classes"] = clustering.codes_of(y)
    except Degenerate as reason:
        table.none(of_classes, str(reason))
    pairs = all_pairs(h, *codes.values(), near=min(geometry.CANDIDATES, len(h) - 1))
    score = {
        name: clustering.silhouette(total, code)
        for (name, code), total in zip(codes.items(), pairs.total, strict=True)
    }
    if labels is not None and "clusters" in score:
        rest = (*clustering.published(h, labels), *clustering.agreement(labels, y))
        table.add(of_clusters, lambda: (score["clusters"], *rest))
    if "classes" in score:
        table.add(of_classes, lambda: (score["classes"],))
    return labels, pairs


def add_calibration(table: Table, h: Points, clusters: int, seed: int) -> Pairs:
    """What the Silhouette would be without lengths, and without clusters. After `add_clustering`.

    Returns what the pass over all pairs of z found.
    """
    z = unit(h)
    codes = []
    try:
        codes.append(clustering.codes_of(clustering.kmeans(z, clusters, seed=seed)))
    except Degenerate as reason:
        table.none(("silhouette_normalised",), str(reason))
    pairs = all_pairs(z, *codes, potential=True)
    if codes:
        table.add(("silhouette_normalised",), lambda: (clustering.silhouette(pairs.total[0], codes[0]),))
    table.add(("silhouette_null",), lambda: (clustering.silhouette_null(h, clusters, seed=seed),))
    score, null = table.metrics["silhouette"], table.metrics["silhouette_null"]
    if score is None or null is None:
        missing = "silhouette" if score is None else "silhouette_null"
        table.none(("silhouette_excess",), table.reasons[missing])
    else:
        table.metrics["silhouette_excess"] = score - null
    return pairs


def add_ranks(table: Table, prefix: str, h: Points) -> None:
    def ranks() -> tuple[float, ...]:
        variance = geometry.spectrum(h)
        return geometry.effective_rank(variance), geometry.participation_ratio(variance)

    table.add((f"{prefix}effective_rank", f"{prefix}participation_ratio"), ranks)


def add_geometry(table: Table, h: Points, y: np.ndarray, pairs: Pairs, pairs_of_z: Pairs) -> None:
    """h, y: class-balanced frames; pairs, pairs_of_z: from `add_clustering` and `add_calibration`."""
    table.add(("intrinsic_dimension",), lambda: (geometry.intrinsic_dimension(h, pairs),))
    table.add(("mean_cosine",), lambda: (geometry.mean_cosine(h),))
    table.add(("uniformity",), lambda: (geometry.uniformity(h, pairs_of_z),))
    table.add(("class_centroid_spread",), lambda: (geometry.class_centroid_spread(h, y),))


def add_alignment(table: Table, adjacent: Points, following: Points) -> None:
    """adjacent, following: (p, D) each, frames and their successors."""
    table.add(("alignment",), lambda: (geometry.alignment(adjacent, following),))


class Readers:
    """All probes, trained once on the training side.

    classes: (K,) labels that the training side has; probes know no others
    """

    def __init__(self, train: Side, exponent: int, seed: int) -> None:
        self.classes, y = np.unique(train.y("train"), return_inverse=True)
        self.training = Training(train.h("train", exponent), y, train.subject("train"))
        as_is = Training(train.h("train"), y, train.subject("train"))
        self.exponent = exponent
        on_device = isinstance(as_is.h, Tensor)
        steps, solver = (recorded, logistic_stacked) if on_device else (probes, logistic)
        self.scores: dict[str, Scores] = {
            "paper_probe": steps.paper_probe(as_is, seed=seed),
            "probe": solver.logistic(self.training),
            "knn": probes.nearest(self.training),
            "mlp": steps.mlp(self.training, seed=seed),
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

    A probe reads the kinds of frames, balanced or natural, that its columns ask for.
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
            if not own:
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
