import dataclasses

import numpy as np
import pytest

from emargin_train.data.frames import Frames, Splits
from emargin_train.errors import UserError
from emargin_train.evaluation import probes
from emargin_train.evaluation.chosen import choose
from emargin_train.evaluation.evaluate import Evaluation, evaluate
from emargin_train.evaluation.metrics import METRICS
from emargin_train.evaluation.table import MEASURED

from .synthetic import splits


def spectra(frames: Frames, mask: np.ndarray) -> np.ndarray:
    return frames.x()[mask]


@pytest.fixture(scope="module")
def sides() -> Splits:
    return splits()


@pytest.fixture(scope="module")
def good(sides) -> Evaluation:
    return evaluate(spectra, sides, choose(sides))


def test_every_metric_has_a_value_within_its_range(good):
    assert tuple(good.metrics) == MEASURED and not good.reasons
    for name, value in good.metrics.items():
        assert type(value) is float
        assert METRICS[name].low <= value <= METRICS[name].high, name


def test_separable_classes_are_found(good):
    for name in ("probe_balanced_accuracy", "mlp_balanced_accuracy", "knn_balanced_accuracy", "nmi"):
        assert good.metrics[name] > 0.7, name
    assert good.metrics["test_probe_accuracy"] == pytest.approx(good.metrics["probe_accuracy"], abs=0.1)
    assert good.metrics["silhouette_excess"] == pytest.approx(
        good.metrics["silhouette"] - good.metrics["silhouette_null"]
    )


def test_scores_follow_from_the_kept_confusion(good, sides):
    masks = choose(sides)
    counts = np.array(good.confusion["probe_natural"])
    assert counts.sum() == masks.natural.sum()
    assert counts.trace() / counts.sum() == pytest.approx(good.metrics["probe_accuracy"])
    counts = np.array(good.confusion["test_mlp_balanced"])
    assert counts.sum() == masks.test_balanced.sum()
    assert (counts.diagonal() / counts.sum(1)).mean() == pytest.approx(
        good.metrics["test_mlp_balanced_accuracy"]
    )
    assert good.classes == sides.class_names


def test_kept_embeddings_are_the_class_balanced_validation_frames(good, sides):
    kept, mask = good.embeddings, choose(sides).balanced
    assert (kept.h == sides.validation.x()[mask]).all()
    assert (kept.label == sides.validation.y[mask]).all()
    assert set(kept.subject) == {"g", "h"} and (kept.record == np.char.add("r", kept.subject)).all()
    assert (kept.frame == (sides.validation.start[:, None] + np.arange(20))[mask]).all()
    assert set(kept.cluster) == {0, 1, 2}


def test_each_split_is_encoded_once(sides):
    calls = []

    def encode(frames: Frames, mask: np.ndarray) -> np.ndarray:
        calls.append(frames)
        return spectra(frames, mask)

    evaluate(encode, sides, choose(sides))
    assert len(calls) == 3


def test_an_evaluation_repeats_itself_bitwise(good, sides):
    assert evaluate(spectra, sides, choose(sides)).metrics == good.metrics


def test_a_power_of_two_changes_nothing_but_the_papers_probe(good, sides):
    for power in (70, -70):
        scaled = evaluate(lambda f, m, p=power: np.ldexp(spectra(f, m), p), sides, choose(sides))
        assert not scaled.reasons
        for name, value in scaled.metrics.items():
            if "paper_probe" not in name:
                assert value == good.metrics[name], name


def test_names_of_classes_do_not_matter(good, sides):
    order = np.array([2, 0, 1, -1])  # the last for unlabelled
    renamed = {name: dataclasses.replace(side, y=order[side.y]) for name, side in sides.by_name().items()}
    masks = choose(sides)
    other = evaluate(spectra, dataclasses.replace(sides, **renamed), masks)
    for name in ("silhouette", "nmi", "ari", "silhouette_of_labels", "effective_rank", "alignment"):
        assert other.metrics[name] == pytest.approx(good.metrics[name]), name
    for name in ("probe_balanced_accuracy", "knn_balanced_accuracy", "probe_f1"):
        assert other.metrics[name] == pytest.approx(good.metrics[name], abs=0.02), name


def test_without_a_test_split(good):
    sides = splits(test=False)
    found = evaluate(spectra, sides, choose(sides))
    assert {n for n, v in found.metrics.items() if v is None} == {
        n for n in MEASURED if n.startswith("test_")
    }
    assert set(found.reasons.values()) == {"there is no test split"}
    assert all(found.metrics[n] == good.metrics[n] for n in MEASURED if not n.startswith("test_"))


def test_a_test_split_of_one_class(sides):
    y = np.where(sides.test.y == 0, 0, -1)
    one = dataclasses.replace(sides, test=dataclasses.replace(sides.test, y=y))
    found = evaluate(spectra, one, choose(one))
    assert set(found.reasons.values()) == {"the test split has fewer than two classes"}


def test_classes_without_training_frames_are_not_probed(sides):
    y = np.where(sides.train.y == 2, -1, sides.train.y)
    fewer = dataclasses.replace(sides, train=dataclasses.replace(sides.train, y=y))
    masks = choose(fewer)
    found = evaluate(spectra, fewer, masks)
    counts = np.array(found.confusion["probe_balanced"])
    assert counts.shape == (2, 2) and found.classes == ("A", "B")
    assert counts.sum() == (sides.validation.y[masks.balanced] < 2).sum() < masks.balanced.sum()
    assert found.metrics["probe_balanced_accuracy"] > 0.8
    assert set(found.embeddings.cluster) == {0, 1, 2}  # clusters do not need training frames


def test_classes_in_common_are_too_few(sides):
    y = np.where(sides.validation.y == 0, 2, -1)  # validation: only C and, below, A
    y[0, 1:3] = 0
    strange = dataclasses.replace(
        sides,
        train=dataclasses.replace(sides.train, y=np.where(sides.train.y == 2, -1, sides.train.y)),
        validation=dataclasses.replace(sides.validation, y=y),
    )
    found = evaluate(spectra, strange, choose(strange))
    assert found.metrics["probe_accuracy"] is None and found.metrics["knn_balanced_accuracy"] is None
    assert "fewer than two training classes" in found.reasons["probe_accuracy"]
    assert found.metrics["silhouette"] is not None


def constant(frames: Frames, mask: np.ndarray) -> np.ndarray:
    return np.full((mask.sum(), 8), 0.3, np.float32)


def zero(frames: Frames, mask: np.ndarray) -> np.ndarray:
    return np.zeros((mask.sum(), 8), np.float32)


def one_nan(frames: Frames, mask: np.ndarray) -> np.ndarray:
    h = spectra(frames, mask)
    h[-1, 0] = np.nan
    return h


def infinite(frames: Frames, mask: np.ndarray) -> np.ndarray:
    return np.full((mask.sum(), 8), np.inf, np.float32)


@pytest.mark.parametrize(
    "encode, words",
    [
        (constant, "embeddings are equal"),
        (zero, "embeddings are equal"),
        (one_nan, "1 of"),
        (infinite, "not finite"),
    ],
)
def test_embeddings_that_cannot_be_measured_give_no_number(encode, words, sides):
    found = evaluate(encode, sides, choose(sides))
    assert tuple(found.metrics) == MEASURED
    assert all(value is None for value in found.metrics.values())
    assert set(found.reasons) == set(MEASURED) and all(words in reason for reason in found.reasons.values())
    assert not found.confusion and (found.embeddings.cluster == -1).all()


def test_fewer_points_than_clusters_give_no_clustering(sides):
    def two_points(frames: Frames, mask: np.ndarray) -> np.ndarray:
        return (frames.y[mask][:, None] == 0).astype(np.float32) * np.ones(4, np.float32)

    found = evaluate(two_points, sides, choose(sides))
    for name in (
        "silhouette",
        "davies_bouldin",
        "calinski_harabasz",
        "nmi",
        "ari",
        "silhouette_excess",
        "test_nmi",
    ):
        assert found.metrics[name] is None
        assert (
            "2 distinct embeddings" in found.reasons[name] and "fewer than 3 clusters" in found.reasons[name]
        )
    assert "too few" in found.reasons["intrinsic_dimension"]
    assert found.metrics["effective_rank"] == pytest.approx(1)
    assert found.metrics["probe_balanced_accuracy"] == pytest.approx(2 / 3, abs=0.01)


def test_a_collapse_on_one_split_is_told_apart(sides):
    def collapsed(frames: Frames, mask: np.ndarray) -> np.ndarray:
        return constant(frames, mask) if frames is sides.train else spectra(frames, mask)

    found = evaluate(collapsed, sides, choose(sides))
    assert found.metrics["silhouette"] is not None
    assert (
        found.metrics["probe_accuracy"] is None and "training split" in found.reasons["test_probe_accuracy"]
    )


GOALS = ("silhouette", "probe_balanced_accuracy")


@pytest.mark.parametrize("name", MEASURED)
def test_a_metric_alone_has_the_value_of_a_full_evaluation(name, good, sides):
    found = evaluate(spectra, sides, choose(sides), metrics=(name,))
    assert found.metrics == {name: good.metrics[name]}


def test_goals_need_no_test_frames_and_train_no_other_probe(good, sides, monkeypatch):
    read = []

    def encode(frames: Frames, mask: np.ndarray) -> np.ndarray:
        read.append((frames, int(mask.sum())))
        return spectra(frames, mask)

    for name in ("paper_probe", "nearest", "mlp"):
        monkeypatch.setattr(probes, name, None)
    chosen = choose(sides)
    found = evaluate(encode, sides, chosen, metrics=GOALS)
    assert found.metrics == {name: good.metrics[name] for name in GOALS}
    assert read == [(sides.validation, chosen.balanced.sum()), (sides.train, chosen.train.sum())]
    assert (found.embeddings.cluster == good.embeddings.cluster).all()
    read.clear()
    assert not evaluate(encode, sides, chosen, metrics=["effective_rank"]).confusion
    assert len(read) == 1


def test_a_pseudo_label_metric_is_known_but_not_measured_here(sides):
    assert not evaluate(spectra, sides, choose(sides), metrics=["pseudo_label_auroc"]).metrics


def test_unknown_metrics_and_single_clusters_are_refused(sides):
    with pytest.raises(UserError, match="'silhouete': did you mean 'silhouette'"):
        evaluate(spectra, sides, choose(sides), metrics=["nmi", "silhouete"])
    with pytest.raises(UserError, match="clusters is 1"):
        evaluate(spectra, sides, choose(sides), clusters=1)


def unlabelled(sides: Splits) -> Splits:
    none = {name: dataclasses.replace(f, y=np.full_like(f.y, -1)) for name, f in sides.by_name().items()}
    return dataclasses.replace(sides, **none)


NEED_LABELS = ("nmi", "ari", "silhouette_of_labels", "class_centroid_spread")


@pytest.mark.parametrize("clusters", [None, 3])
def test_without_any_label_what_needs_labels_is_null_and_says_so(sides, clusters):
    data = unlabelled(sides)
    chosen = choose(data)
    found = evaluate(spectra, data, chosen, clusters=clusters)
    for name in MEASURED:
        metric, kind = METRICS[name], name.removeprefix("test_")
        needs = metric.group == "probe" or kind in NEED_LABELS
        if needs or (metric.group == "clustering" and clusters is None):
            assert found.metrics[name] is None and "no labels" in found.reasons[name], name
        else:
            assert metric.low <= found.metrics[name] <= metric.high and name not in found.reasons, name
    assert not found.confusion and found.classes == () and (found.embeddings.label == -1).all()
    assert all("unlabelled" in note for note in found.notes)
    assert set(found.embeddings.cluster) == ({-1} if clusters is None else {0, 1, 2})


def test_more_clusters_than_classes_can_be_asked_for(sides):
    found = evaluate(spectra, sides, choose(sides), clusters=5, metrics=["silhouette", "nmi"])
    assert set(found.embeddings.cluster) == set(range(5)) and not found.reasons
