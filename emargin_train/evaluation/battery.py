"""Put the metrics of one split into a table. This says which function and which frames each name uses."""

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
from torch import Tensor

from emargin_train.evaluation import clustering, geometry, logistic, probes, scores
from emargin_train.evaluation.cloud import Cloud
from emargin_train.evaluation.degenerate import Degenerate
from emargin_train.evaluation.encoded import EncodedSplit
from emargin_train.evaluation.metrics import METRICS
from emargin_train.evaluation.table import Table, names
from emargin_train.evaluation.training import Scores, Training

Confusion = dict[str, list[list[int]]]
PROBES = ("paper_probe", "probe", "knn", "mlp")


def cloud_of(
    table: Table, prefix: str, split: EncodedSplit, exponent: int, seed: int, clusters: int | None
) -> Cloud:
    """Return the class-balanced frames of a split. Passes over pairs compute what the table asks for."""
    pairs_of = {
        "clusters": f"{prefix}silhouette",
        "classes": f"{prefix}silhouette_of_labels",
        "clusters_of_z": f"{prefix}silhouette_normalised",
    }
    return Cloud(
        split.h("balanced", exponent),
        split.y("balanced"),
        seed=seed,
        clusters=clusters,
        labellings=tuple(name for name, metric in pairs_of.items() if table.wants(metric)),
        neighbours=table.wants(f"{prefix}intrinsic_dimension"),
        potential=table.wants(f"{prefix}uniformity"),
    )


def add_clustering(table: Table, prefix: str, cloud: Cloud) -> None:
    """Add the scores of KMeans with as many clusters as there are classes."""
    own = ("davies_bouldin", "calinski_harabasz", "largest_cluster_share")
    table.add((f"{prefix}silhouette",), lambda: (cloud.silhouette("clusters"),))
    table.add(tuple(prefix + name for name in own), lambda: clustering.published(cloud.h, cloud.clusters))
    table.add((f"{prefix}nmi", f"{prefix}ari"), lambda: clustering.agreement(cloud.clusters, cloud.classes))
    table.add((f"{prefix}silhouette_of_labels",), lambda: (cloud.silhouette("classes"),))


def add_calibration(table: Table, cloud: Cloud, seed: int) -> None:
    """Add the Silhouettes of unit vectors and of Gaussian data. Call this after `add_clustering`."""
    table.add(("silhouette_normalised",), lambda: (cloud.silhouette_of_z,))
    table.add(
        ("silhouette_null",),
        lambda: (clustering.silhouette_null(cloud.h, cloud.n_clusters, seed=seed, variance=cloud.spectrum),),
    )
    if not table.wants("silhouette_excess"):
        return
    score, null = table.metrics["silhouette"], table.metrics["silhouette_null"]
    if score is None or null is None:
        missing = "silhouette" if score is None else "silhouette_null"
        table.none(("silhouette_excess",), table.reasons[missing])
    else:
        table.metrics["silhouette_excess"] = score - null


def add_ranks(table: Table, prefix: str, cloud: Cloud) -> None:
    """Add effective rank and participation ratio."""
    table.add(
        (f"{prefix}effective_rank", f"{prefix}participation_ratio"),
        lambda: (geometry.effective_rank(cloud.spectrum), geometry.participation_ratio(cloud.spectrum)),
    )


def add_geometry(table: Table, cloud: Cloud) -> None:
    """Add the other metrics of shape, and every metric that has a `compute` function in METRICS."""
    table.add(("intrinsic_dimension",), lambda: (geometry.intrinsic_dimension(cloud.h, cloud.pairs),))
    table.add(("uniformity",), lambda: (cloud.uniformity,))
    for name, metric in METRICS.items():
        if metric.compute is not None:
            table.add((name,), partial(_alone, metric.compute, cloud))


def _alone(compute: Callable[[Cloud], float], cloud: Cloud) -> tuple[float]:
    return (compute(cloud),)


def add_alignment(table: Table, validation: EncodedSplit, exponent: int) -> None:
    """Add the distance between frames and their successors."""
    table.add(
        ("alignment",),
        lambda: (geometry.alignment(validation.h("pairs", exponent), validation.h("following", exponent)),),
    )


class Readers:
    """All probes. Each is trained on the training split when it is first needed.

    classes: (K,) the labels in the training split; probes know no others
    """

    def __init__(self, train: EncodedSplit, exponent: int, seed: int) -> None:
        y = train.y("train")
        self._train, self.exponent, self._seed = train, exponent, seed
        self.classes, self._y = np.unique(y[y >= 0], return_inverse=True)
        self._scores: dict[str, Scores] = {}

    @cached_property
    def training(self) -> Training:
        """Training frames, divided by 2^exponent."""
        return self._training(self.exponent)

    def _training(self, exponent: int) -> Training:
        return Training(self._train.h("train", exponent), self._y, self._train.subject("train"))

    def scores(self, reader: str) -> Scores:
        """Return the scores of a trained probe."""
        if reader not in self._scores:
            if reader == "paper_probe":
                as_is = self.training if self.exponent == 0 else self._training(0)
                self._scores[reader] = probes.paper_probe(as_is, seed=self._seed)
            elif reader == "probe":
                self._scores[reader] = logistic.logistic(self.training)
            elif reader == "knn":
                self._scores[reader] = probes.nearest(self.training)
            else:
                self._scores[reader] = probes.mlp(self.training, seed=self._seed)
        return self._scores[reader]

    def guess(self, reader: str, split: EncodedSplit, frames: str) -> np.ndarray:
        """Index into `classes` for each frame: (n,). Raises Degenerate where scores are not finite."""
        h: Tensor = split.h(frames, 0 if reader == "paper_probe" else self.exponent)
        found = self.scores(reader)(h)
        if frames == "natural" and reader != "paper_probe":
            found = probes.with_shares(found, self.training)
        if not np.isfinite(found).all():
            raise Degenerate(f"scores of {reader} are not finite")
        return found.argmax(1)


def add_probes(table: Table, prefix: str, split: EncodedSplit, readers: Readers) -> Confusion:
    """Add scores of every probe on frames whose class is in the training split; return confusion matrices.

    A probe is applied to balanced or natural frames, or both, as the wanted metrics need it.
    """
    confusion: Confusion = {}
    for frames in ("balanced", "natural"):
        columns = names(prefix, "probe", frames)
        if not table.wants(*columns):
            continue
        y = split.y(frames)
        known = np.isin(y, readers.classes)
        true = np.searchsorted(readers.classes, y[known])
        if len(np.unique(true)) < 2:
            table.none(columns, f"fewer than two training classes among {frames} frames")
            continue
        for reader in PROBES:
            stem = prefix + reader
            own = tuple(name for name in columns if name.startswith(stem))
            if not table.wants(*own):
                continue
            try:
                guess = readers.guess(reader, split, frames)[known]
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
