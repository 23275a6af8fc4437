"""All metrics of one encoder, from embeddings computed once."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from emargin_train.data.frames import Splits
from emargin_train.errors import UserError
from emargin_train.evaluation import battery
from emargin_train.evaluation.chosen import EvaluationSet
from emargin_train.evaluation.cloud import Cloud
from emargin_train.evaluation.degenerate import Degenerate
from emargin_train.evaluation.encoded import Encode, EncodedSplit
from emargin_train.evaluation.table import Table, asked_for, names
from emargin_train.precision import computing_in

CLUSTERED = ("silhouette", "davies_bouldin", "calinski_harabasz", "largest_cluster_share", "nmi", "ari")
"""Metrics that need KMeans on the validation frames."""


@dataclass(frozen=True)
class Embeddings:
    """The class-balanced validation frames, which were clustered. They are kept in order to be drawn.

    h: (n, D) float32; label, cluster, frame: (n,) int64; subject, record: (n,) str
    label: -1 for unlabelled frames
    cluster: the cluster of KMeans; -1 for all frames where KMeans failed or was not needed
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
    """The metrics of one encoder, and what they were computed from.

    metrics: a value, or None, for each wanted name; reasons: the reason for each None
    confusion: counts by probe and frames, such as `probe_natural` or `test_knn_balanced`; rows are true
        classes, columns predicted ones, in the order of `classes`
    classes: names of the classes in the training split; probes know no others
    notes: lines that say which frames were measured, and which were left out
    """

    metrics: dict[str, float | None]
    reasons: dict[str, str]
    embeddings: Embeddings
    confusion: dict[str, list[list[int]]]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


@computing_in("float32")
def evaluate(
    encoding: Encode,
    splits: Splits,
    chosen: EvaluationSet,
    *,
    seed: int = 1,
    device: str = "cpu",
    metrics: Iterable[str] | None = None,
    clusters: int | None = None,
) -> Evaluation:
    """Measure an encoder on the chosen frames. Bad embeddings raise no error: their metrics are None.

    Validation frames are for selection, test frames (`test_*`) for reporting; probes are trained on training
    frames. All metrics except those of the paper's probe are computed from embeddings that are divided by one
    power of two, which changes no metric and keeps squares within float32. The computation is the same on
    every device, with the same random draws and in full float32; devices agree to the tolerances of
    docs/metrics.md.

    encoding: frames and a mask (N, T) -> embeddings (n, D) float32 of the masked frames, in row-major order
    seed: seed of KMeans, probes and Gaussian draws; 1 as published
    device: where to measure; with a CPU, tensors from `encoding` stay where they are
    metrics: names to compute; None = all. Only what these names need is encoded and trained, and their values
        equal those of a full evaluation
    clusters: the number of clusters; None = the number of classes
    Raises UserError for a name that is not a metric, and for fewer than two clusters.
    """
    if clusters is not None and clusters < 2:
        raise UserError(f"clusters is {clusters}, but KMeans needs 2 or more: give a larger number")
    table = Table(asked_for(metrics))
    if not chosen.labelled:
        table.none(_of_probes(), "the training split has no labels")
    validation = EncodedSplit(encoding, splits.validation, _masks(table, "", chosen.of_validation()), device)
    encoded = {"": validation}
    if not table.wants(*names("test_")):
        pass
    elif splits.test is None:
        table.none(names("test_"), "there is no test split")
    elif chosen.labelled and len(np.unique(splits.test.y[splits.test.y >= 0])) < 2:
        table.none(names("test_"), "the test split has fewer than two classes")
    else:
        encoded["test_"] = EncodedSplit(
            encoding, splits.test, _masks(table, "test_", chosen.of_test()), device
        )
    train = None
    if chosen.labelled and table.wants(*_of_probes()):
        train = EncodedSplit(encoding, splits.train, {"train": chosen.train}, device)
    exponent = max(split.exponent for split in (train, *encoded.values()) if split is not None)

    cluster = None
    for prefix, split in encoded.items():
        if split.problem:
            table.none(names(prefix), f"{prefix.rstrip('_') or 'validation'} split: {split.problem}")
            continue
        if "balanced" not in split.masks:
            continue
        cloud = battery.cloud_of(table, prefix, split, exponent, seed, clusters)
        battery.add_clustering(table, prefix, cloud)
        battery.add_ranks(table, prefix, cloud)
        if split is validation:
            cluster = _clusters(table, cloud)
            battery.add_calibration(table, cloud, seed)
            battery.add_geometry(table, cloud)
            battery.add_alignment(table, validation, exponent)

    confusion: battery.Confusion = {}
    if train is not None:
        readers = battery.Readers(train, exponent, seed)
        for prefix, split in encoded.items():
            if split.problem:
                continue
            if train.problem:
                table.none(names(prefix, "probe"), f"training split: {train.problem}")
            else:
                confusion |= battery.add_probes(table, prefix, split, readers)
    known = np.unique(splits.train.y[chosen.train])
    return Evaluation(
        metrics={name: table.metrics[name] for name in table.asked},
        reasons={name: table.reasons[name] for name in table.asked if name in table.reasons},
        embeddings=_kept(validation, cluster),
        confusion=confusion,
        classes=tuple(splits.class_names[c] for c in known if c >= 0),
        notes=chosen.summary(splits),
    )


def _of_probes() -> tuple[str, ...]:
    return (*names("", "probe"), *names("test_", "probe"))


def _masks(table: Table, prefix: str, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The masks that the wanted metrics need, and always the class-balanced validation frames."""
    needed = {
        "balanced": not prefix or table.wants(*names(prefix, frames="balanced")),
        "natural": table.wants(*names(prefix, frames="natural")),
        "pairs": table.wants("alignment"),
        "following": table.wants("alignment"),
    }
    return {name.removeprefix(prefix): mask for name, mask in masks.items() if needed[name]}


def _clusters(table: Table, cloud: Cloud) -> np.ndarray | None:
    """The clusters of KMeans, if a wanted metric needs them."""
    if not table.wants(*CLUSTERED):
        return None
    try:
        return cloud.clusters
    except Degenerate:
        return None


def _kept(split: EncodedSplit, cluster: np.ndarray | None) -> Embeddings:
    y = split.y("balanced")
    return Embeddings(
        h=split.h("balanced").cpu().numpy(),
        label=y,
        cluster=np.full(len(y), -1) if cluster is None else cluster.astype(np.int64),
        subject=split.subject("balanced"),
        record=split.record("balanced"),
        frame=split.frame("balanced"),
    )
