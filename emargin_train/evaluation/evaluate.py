"""All metrics of one encoder, from embeddings computed once."""

from dataclasses import dataclass

import numpy as np

from emargin_train.cost import full_float32
from emargin_train.data.frames import Splits
from emargin_train.evaluation import battery
from emargin_train.evaluation.chosen import EvaluationSet
from emargin_train.evaluation.points import to_host
from emargin_train.evaluation.side import Encode, Side
from emargin_train.evaluation.table import MEASURED, Table, names


@dataclass(frozen=True)
class Embeddings:
    """The class-balanced validation frames: what clustering saw, kept for drawing.

    h: (n, D) float32; label, cluster, frame: (n,) int64; subject, record: (n,) str
    cluster: KMeans' own; -1 everywhere where it failed
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
    """What one encoder came to.

    metrics: a value, or None, for each name in MEASURED; reasons: why, for each None
    confusion: probe and frames, as `probe_natural` or `test_knn_balanced`, to counts; rows are true classes,
        columns predicted ones, in the order of `classes`
    classes: names of the classes that the training side has; probes know no others
    notes: which frames were measured, and which left out, one line each
    """

    metrics: dict[str, float | None]
    reasons: dict[str, str]
    embeddings: Embeddings
    confusion: dict[str, list[list[int]]]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


@full_float32()
def evaluate(
    encode: Encode, splits: Splits, chosen: EvaluationSet, *, seed: int = 1, device: str = "cpu"
) -> Evaluation:
    """Measure an encoder on the chosen frames. Bad embeddings raise nothing: their metrics are None.

    Validation frames are for selection, test frames (`test_*`) for reporting; probes are trained on training
    frames. All but the paper's probe see embeddings divided by one power of two, which changes no metric and
    keeps squares within float32. On any device but a CPU the embeddings stay there, and what a CPU finds is
    found to the tolerances of docs/metrics.md, with the same random draws and in full float32.

    encode: frames and mask (N, T) to the embeddings (n, D) float32 of the masked frames, in row-major order
    seed: of KMeans, probes and Gaussian draws; 1 as published
    device: where to measure; tensors that `encode` gives stay where they are if it is a CPU
    """
    train = Side(encode, splits.train, {"train": chosen.train}, device)
    validation = Side(encode, splits.validation, chosen.of_validation(), device)
    sides = {"": validation}
    table = Table()
    if splits.test is None:
        table.none(names("test_"), "there is no test side")
    elif len(np.unique(splits.test.y[splits.test.y >= 0])) < 2:
        table.none(names("test_"), "the test side has fewer than two classes")
    else:
        sides["test_"] = Side(encode, splits.test, chosen.of_test(), device)
    exponent = max(side.exponent for side in (train, *sides.values()))

    cluster = None
    for prefix, side in sides.items():
        if side.problem:
            table.none(names(prefix), f"{prefix.rstrip('_') or 'validation'} side: {side.problem}")
            continue
        h, y = side.h("balanced", exponent), side.y("balanced")
        labels, pairs = battery.add_clustering(table, prefix, h, y, seed)
        battery.add_ranks(table, prefix, h)
        if side is validation:
            cluster = labels
            pairs_of_z = battery.add_calibration(table, h, len(np.unique(y)), seed)
            battery.add_geometry(table, h, y, pairs, pairs_of_z)
            adjacent, following = validation.h("pairs", exponent), validation.h("following", exponent)
            battery.add_alignment(table, adjacent, following)

    confusion: battery.Confusion = {}
    measurable = {prefix: side for prefix, side in sides.items() if not side.problem}
    if train.problem:
        for prefix in measurable:
            table.none(names(prefix, "probe"), f"training side: {train.problem}")
    else:
        readers = battery.Readers(train, exponent, seed)
        for prefix, side in measurable.items():
            confusion |= battery.add_probes(table, prefix, side, readers)
    return Evaluation(
        metrics={name: table.metrics[name] for name in MEASURED},
        reasons={name: table.reasons[name] for name in MEASURED if name in table.reasons},
        embeddings=_kept(validation, cluster),
        confusion=confusion,
        classes=tuple(splits.class_names[c] for c in np.unique(train.y("train"))),
        notes=chosen.summary(splits),
    )


def _kept(side: Side, cluster: np.ndarray | None) -> Embeddings:
    y = side.y("balanced")
    return Embeddings(
        h=to_host(side.h("balanced")),
        label=y,
        cluster=np.full(len(y), -1) if cluster is None else cluster.astype(np.int64),
        subject=side.subject("balanced"),
        record=side.record("balanced"),
        frame=side.frame("balanced"),
    )
