"""All metrics of one encoder, from embeddings computed once."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

from emargin_train.data.frames import Frames, Splits
from emargin_train.evaluation import clustering, geometry, probes
from emargin_train.evaluation.chosen import EvaluationSet
from emargin_train.evaluation.clustering import Degenerate
from emargin_train.evaluation.metrics import METRICS, TESTED

Encode = Callable[[Frames, np.ndarray], np.ndarray]  # frames, chosen (N, T) bool -> (n, D) float32

MEASURED = tuple(name for name, metric in METRICS.items() if metric.group != "pseudo-label")


@dataclass(frozen=True)
class Embeddings:
    """The class-balanced validation frames: what clustering saw, kept for drawing.

    h: (n, D) float32; label, cluster, frame: (n,) int64; subject, record: (n,) str
    cluster: KMeans' own, -1 everywhere where there is none
    frame: index of the frame within its record
    """

    h: np.ndarray
    label: np.ndarray
    cluster: np.ndarray
    subject: np.ndarray
    record: np.ndarray
    frame: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """metrics: a value, or None, for each name in MEASURED; reasons: why, for each None.

    confusion: probe and frames to counts, rows true and columns predicted classes, in the order of `classes`
    notes: what a reader should know about the frames, one line each
    """

    metrics: dict[str, float | None]
    reasons: dict[str, str]
    embeddings: Embeddings
    confusion: dict[str, list[list[int]]]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class _Table:
    """Metrics as they come; a Degenerate one becomes None with its reason."""

    metrics: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, names: tuple[str, ...], compute: Callable[[], tuple[float, ...]]) -> None:
        try:
            values = compute()
        except Degenerate as reason:
            self.none(names, str(reason))
            return
        for name, value in zip(names, values, strict=True):
            if np.isfinite(value):
                self.metrics[name] = float(value)
            else:
                self.none((name,), f"{name} is {value}")

    def none(self, names: tuple[str, ...], reason: str) -> None:
        for name in names:
            self.metrics[name] = None
            self.reasons[name] = reason


def evaluate(encode: Encode, splits: Splits, chosen: EvaluationSet, *, seed: int = 1) -> Evaluation:
    """Measure an encoder on the chosen frames. Raises nothing for bad embeddings: their metrics are None.

    encode: frames and mask (N, T) to the embeddings (n, D) float32 of the masked frames, in row-major order
    seed: of KMeans, probes and Gaussian draws; 1 as published
    """
    train = _Side(encode, splits.train, {"train": chosen.train})
    validation = _Side(
        encode,
        splits.validation,
        {
            "balanced": chosen.balanced,
            "natural": chosen.natural,
            "pairs": chosen.pairs,
            "following": np.roll(chosen.pairs, 1, axis=1),
        },
    )
    table = _Table()
    h, y = validation.h("balanced"), validation.y("balanced")
    cluster = np.full(len(y), -1)
    notes: list[str] = []
    confusion: dict[str, list[list[int]]] = {}
    classes = np.unique(train.y("train"))

    if validation.problem:
        table.none(
            tuple(n for n in MEASURED if not n.startswith("test_")), f"validation: {validation.problem}"
        )
    else:
        cluster = _cluster_metrics(table, h, y, seed)
        _geometry_metrics(table, h, y, validation.h("pairs"), validation.h("following"))
    test = _test_side(encode, splits, chosen)
    if isinstance(test, str):
        table.none(tuple(f"test_{name}" for name in TESTED), test)
    elif test.problem:
        table.none(tuple(f"test_{name}" for name in TESTED), f"test: {test.problem}")
    else:
        _test_cluster_metrics(table, test.h("balanced"), test.y("balanced"), seed)

    measured = [("", validation)] + ([] if isinstance(test, str) else [("test_", test)])
    measured = [(prefix, side) for prefix, side in measured if not side.problem]
    if train.problem:
        for prefix, _ in measured:
            table.none(_probe_names(prefix), f"train: {train.problem}")
    else:
        training = probes.Training(
            train.h("train"), np.searchsorted(classes, train.y("train")), train.subject("train")
        )
        fitted = {
            "paper": probes.paper_probe(training, seed=seed),
            "probe": probes.logistic(training),
            "knn": probes.nearest(training),
            "mlp": probes.mlp(training, seed=seed),
        }
        for prefix, side in measured:
            _probe_metrics(
                table, confusion, notes, prefix, side, fitted, training, classes, splits.class_names
            )

    return Evaluation(
        metrics={name: table.metrics[name] for name in MEASURED},
        reasons=table.reasons,
        embeddings=Embeddings(h, y, cluster, *validation.where("balanced")),
        confusion=confusion,
        classes=tuple(splits.class_names[c] for c in classes),
        notes=tuple(notes),
    )


class _Side:
    """Embeddings of the union of several masks over one side, and their parts."""

    def __init__(self, encode: Encode, frames: Frames, masks: dict[str, np.ndarray]) -> None:
        self.frames, self.masks = frames, masks
        union = np.logical_or.reduce(list(masks.values()))
        self.rank = np.cumsum(union.reshape(-1)) - 1  # flat frame -> row of `all`
        self.all = encode(frames, union)
        self.problem = _problem(self.all)

    def h(self, name: str) -> np.ndarray:
        return self.all[self.rank[np.flatnonzero(self.masks[name])]]

    def y(self, name: str) -> np.ndarray:
        return self.frames.y[self.masks[name]]

    def subject(self, name: str) -> np.ndarray:
        return self.where(name)[0]

    def where(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(subject, record, frame within the record) of the masked frames."""
        row, t = np.nonzero(self.masks[name])
        return self.frames.subject[row], self.frames.record[row], self.frames.start[row] + t


def _problem(h: np.ndarray) -> str:
    """Why h cannot be measured at all, or nothing."""
    bad = int((~np.isfinite(h).all(1)).sum())
    if bad:
        return f"{bad} of {len(h)} embeddings are not finite"
    if (h == h[0]).all():
        return f"all {len(h)} embeddings are equal"
    return ""


def _test_side(encode: Encode, splits: Splits, chosen: EvaluationSet) -> "_Side | str":
    if splits.test is None or chosen.test_balanced is None or chosen.test_natural is None:
        return "there is no test side: too few subjects"
    if len(np.unique(splits.test.y[chosen.test_balanced])) < 2:
        return "the test side has fewer than two classes"
    return _Side(encode, splits.test, {"balanced": chosen.test_balanced, "natural": chosen.test_natural})


def _cluster_metrics(table: _Table, h: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """All clustering metrics; KMeans' clusters, or -1."""
    clusters = len(np.unique(y))
    labels = np.full(len(y), -1)
    own = ("silhouette", "davies_bouldin", "calinski_harabasz", "largest_cluster_share", "nmi", "ari")

    def published() -> tuple[float, ...]:
        labels[:] = clustering.kmeans(h, clusters, seed=seed)
        (silhouette,) = clustering.silhouettes(h, labels)
        return (
            silhouette,
            clustering.davies_bouldin(h, labels),
            clustering.calinski_harabasz(h, labels),
            clustering.largest_cluster_share(labels),
            *clustering.agreement(labels, y),
        )

    def normalised() -> tuple[float, ...]:
        z = clustering.unit(h)
        return tuple(clustering.silhouettes(z, clustering.kmeans(z, clusters, seed=seed)))

    table.add(own, published)
    table.add(("silhouette_of_labels",), lambda: tuple(clustering.silhouettes(h, y)))
    table.add(("silhouette_normalised",), normalised)
    table.add(("silhouette_null",), lambda: (clustering.silhouette_null(h, clusters, seed=seed),))
    score, null = table.metrics["silhouette"], table.metrics["silhouette_null"]
    if score is None or null is None:
        missing = "silhouette" if score is None else "silhouette_null"
        table.none(("silhouette_excess",), table.reasons[missing])
    else:
        table.metrics["silhouette_excess"] = score - null
    return labels


def _geometry_metrics(
    table: _Table, h: np.ndarray, y: np.ndarray, pairs: np.ndarray, following: np.ndarray
) -> None:
    def ranks() -> tuple[float, ...]:
        variance = geometry.spectrum(h)
        return geometry.effective_rank(variance), geometry.participation_ratio(variance)

    table.add(("effective_rank", "participation_ratio"), ranks)
    table.add(("intrinsic_dimension",), lambda: (geometry.intrinsic_dimension(h),))
    table.add(("mean_cosine",), lambda: (geometry.mean_cosine(h),))
    table.add(("alignment",), lambda: (geometry.alignment(pairs, following),))
    table.add(("uniformity",), lambda: (geometry.uniformity(h),))
    table.add(("class_centroid_spread",), lambda: (geometry.class_centroid_spread(h, y),))


def _test_cluster_metrics(table: _Table, h: np.ndarray, y: np.ndarray, seed: int) -> None:
    def published() -> tuple[float, ...]:
        labels = clustering.kmeans(h, len(np.unique(y)), seed=seed)
        (silhouette,) = clustering.silhouettes(h, labels)
        return silhouette, clustering.davies_bouldin(h, labels), clustering.agreement(labels, y)[0]

    table.add(("test_silhouette", "test_davies_bouldin", "test_nmi"), published)
    table.add(("test_effective_rank",), lambda: (geometry.effective_rank(geometry.spectrum(h)),))


def _probe_names(prefix: str) -> tuple[str, ...]:
    """Names of the probe metrics of a side."""
    return tuple(
        name
        for name in MEASURED
        if METRICS[name].group == "probe" and name.startswith("test_") == (prefix == "test_")
    )


def _probe_metrics(
    table: _Table,
    confusion: dict[str, list[list[int]]],
    notes: list[str],
    prefix: str,
    side: _Side,
    fitted: dict[str, probes.Scores],
    training: probes.Training,
    classes: np.ndarray,
    class_names: tuple[str, ...],
) -> None:
    """Probe metrics of one side, on its frames of classes that the training side has."""
    parts = {}
    for name in ("balanced", "natural"):
        y = side.y(name)
        known = np.isin(y, classes)
        parts[name] = side.h(name)[known], np.searchsorted(classes, y[known])
        if not known.all():
            strange = ", ".join(class_names[c] for c in np.unique(y[~known]))
            where = "test" if prefix else "validation"
            notes.append(
                f"no training frames of {strange}: {(~known).sum()} {name} {where} frames not probed"
            )
    if not len(parts["balanced"][1]):
        table.none(_probe_names(prefix), "no frames of classes that the training side has")
        return
    found: dict[str, float] = {}
    every = np.arange(len(classes))
    for probe, scores in fitted.items():
        h, y = parts["balanced"]
        guess = probes.balanced(scores(h), training).argmax(1)
        found[f"{probe}_balanced_accuracy"] = recall_score(y, guess, labels=np.unique(y), average="macro")
        confusion[f"{prefix}{probe}_balanced"] = confusion_matrix(y, guess, labels=every).tolist()
        if probe not in ("paper", "probe"):
            continue
        h, y = parts["natural"]
        guess = scores(h).argmax(1)
        stem = "paper_probe" if probe == "paper" else "probe"
        # As published: classes predicted but absent count with precision 0, and F1 is weighted.
        labels = None if probe == "paper" else np.unique(y)
        found[f"{stem}_accuracy"] = float((guess == y).mean())
        found[f"{stem}_precision"] = precision_score(
            y, guess, labels=labels, average="macro", zero_division=0
        )
        found[f"{stem}_recall"] = recall_score(y, guess, labels=labels, average="macro", zero_division=0)
        average = "weighted" if probe == "paper" else "macro"
        found[f"{stem}_f1"] = f1_score(y, guess, labels=labels, average=average, zero_division=0)
        confusion[f"{prefix}{probe}_natural"] = confusion_matrix(y, guess, labels=every).tolist()
    for name in _probe_names(prefix):
        table.metrics[name] = float(found[name.removeprefix("test_")])
