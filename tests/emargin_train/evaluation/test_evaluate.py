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
def data() -> Splits:
    return splits()


@pytest.fixture(scope="module")
def good(data) -> Evaluation:
    return evaluate(spectra, data, choose(data))


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


def test_scores_follow_from_the_kept_confusion(good, data):
    masks = choose(data)
    counts = np.array(good.confusion["probe_natural"])
    assert counts.sum() == masks.natural.sum()
    assert counts.trace() / counts.sum() == pytest.approx(good.metrics["probe_accuracy"])
    counts = np.array(good.confusion["test_mlp_balanced"])
    assert counts.sum() == masks.test_balanced.sum()
    assert (counts.diagonal() / counts.sum(1)).mean() == pytest.approx(
        good.metrics["test_mlp_balanced_accuracy"]
    )
    assert good.classes == data.class_names


def test_kept_embeddings_are_the_class_balanced_validation_frames(good, data):
    kept, mask = good.embeddings, choose(data).balanced
    assert (kept.h == data.validation.x()[mask]).all()
    assert (kept.label == data.validation.y[mask]).all()
    assert set(kept.subject) == {"g", "h"} and (kept.record == np.char.add("r", kept.subject)).all()
    assert (kept.frame == (data.validation.start[:, None] + np.arange(20))[mask]).all()
    assert set(kept.cluster) == {0, 1, 2}


def test_each_split_is_encoded_once(data):
    calls = []

    def encode(frames: Frames, mask: np.ndarray) -> np.ndarray:
        calls.append(frames)
        return spectra(frames, mask)

    evaluate(encode, data, choose(data))
    assert len(calls) == 3


def test_an_evaluation_repeats_itself_bitwise(good, data):
    assert evaluate(spectra, data, choose(data)).metrics == good.metrics


def test_a_power_of_two_changes_nothing_but_the_papers_probe(good, data):
    for power in (70, -70):
        scaled = evaluate(lambda f, m, p=power: np.ldexp(spectra(f, m), p), data, choose(data))
        assert not scaled.reasons
        for name, value in scaled.metrics.items():
            if "paper_probe" not in name:
                assert value == good.metrics[name], name


def test_names_of_classes_do_not_matter(good, data):
    order = np.array([2, 0, 1, -1])  # the last for unlabelled
    renamed = {
        name: dataclasses.replace(frames, y=order[frames.y]) for name, frames in data.by_name().items()
    }
    masks = choose(data)
    other = evaluate(spectra, dataclasses.replace(data, **renamed), masks)
    for name in ("silhouette", "nmi", "ari", "silhouette_of_labels", "effective_rank", "alignment"):
        assert other.metrics[name] == pytest.approx(good.metrics[name]), name
    for name in ("probe_balanced_accuracy", "knn_balanced_accuracy", "probe_f1"):
        assert other.metrics[name] == pytest.approx(good.metrics[name], abs=0.02), name


def test_without_a_test_split(good):
    data = splits(test=False)
    found = evaluate(spectra, data, choose(data))
    assert {n for n, v in found.metrics.items() if v is None} == {
        n for n in MEASURED if n.startswith("test_")
    }
    assert set(found.reasons.values()) == {"there is no test split"}
    assert all(found.metrics[n] == good.metrics[n] for n in MEASURED if not n.startswith("test_"))


def test_a_test_split_of_one_class(data):
    y = np.where(data.test.y == 0, 0, -1)
    one = dataclasses.replace(data, test=dataclasses.replace(data.test, y=y))
    found = evaluate(spectra, one, choose(one))
    assert set(found.reasons.values()) == {"the test split has fewer than two classes"}


def test_classes_without_training_frames_are_not_probed(data):
    y = np.where(data.train.y == 2, -1, data.train.y)
    fewer = dataclasses.replace(data, train=dataclasses.replace(data.train, y=y))
    masks = choose(fewer)
    found = evaluate(spectra, fewer, masks)
    counts = np.array(found.confusion["probe_balanced"])
    assert counts.shape == (2, 2) and found.classes == ("A", "B")
    assert counts.sum() == (data.validation.y[masks.balanced] < 2).sum() < masks.balanced.sum()
    assert found.metrics["probe_balanced_accuracy"] > 0.8
    assert set(found.embeddings.cluster) == {0, 1, 2}  # clusters do not need training frames


def test_classes_in_common_are_too_few(data):
    y = np.where(data.validation.y == 0, 2, -1)  # validation: only C and, below, A
    y[0, 1:3] = 0
    strange = dataclasses.replace(
        data,
        train=dataclasses.replace(data.train, y=np.where(data.train.y == 2, -1, data.train.y)),
        validation=dataclasses.replace(data.validation, y=y),
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
def test_embeddings_that_cannot_be_measured_give_no_number(encode, words, data):
    found = evaluate(encode, data, choose(data))
    assert tuple(found.metrics) == MEASURED
    assert all(value is None for value in found.metrics.values())
    assert set(found.reasons) == set(MEASURED) and all(words in reason for reason in found.reasons.values())
    assert not found.confusion and (found.embeddings.cluster == -1).all()


def test_fewer_points_than_clusters_give_no_clustering(data):
    def two_points(frames: Frames, mask: np.ndarray) -> np.ndarray:
        return (frames.y[mask][:, None] == 0).astype(np.float32) * np.ones(4, np.float32)

    found = evaluate(two_points, data, choose(data))
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


def test_a_collapse_on_one_split_is_told_apart(data):
    def collapsed(frames: Frames, mask: np.ndarray) -> np.ndarray:
        return constant(frames, mask) if frames is data.train else spectra(frames, mask)

    found = evaluate(collapsed, data, choose(data))
    assert found.metrics["silhouette"] is not None
    assert (
        found.metrics["probe_accuracy"] is None and "training split" in found.reasons["test_probe_accuracy"]
    )


GOALS = ("silhouette", "probe_balanced_accuracy")


@pytest.mark.parametrize("name", MEASURED)
def test_a_metric_alone_has_the_value_of_a_full_evaluation(name, good, data):
    found = evaluate(spectra, data, choose(data), metrics=(name,))
    assert found.metrics == {name: good.metrics[name]}


def test_goals_need_no_test_frames_and_train_no_other_probe(good, data, monkeypatch):
    read = []

    def encode(frames: Frames, mask: np.ndarray) -> np.ndarray:
        read.append((frames, int(mask.sum())))
        return spectra(frames, mask)

    for name in ("paper_probe", "nearest", "mlp"):
        monkeypatch.setattr(probes, name, None)
    chosen = choose(data)
    found = evaluate(encode, data, chosen, metrics=GOALS)
    assert found.metrics == {name: good.metrics[name] for name in GOALS}
    assert read == [(data.validation, chosen.balanced.sum()), (data.train, chosen.train.sum())]
    assert (found.embeddings.cluster == good.embeddings.cluster).all()
    read.clear()
    assert not evaluate(encode, data, chosen, metrics=["effective_rank"]).confusion
    assert len(read) == 1


def test_a_pseudo_label_metric_is_known_but_not_measured_here(data):
    assert not evaluate(spectra, data, choose(data), metrics=["pseudo_label_auroc"]).metrics


def test_unknown_metrics_and_single_clusters_are_refused(data):
    with pytest.raises(UserError, match="'silhouete': did you mean 'silhouette'"):
        evaluate(spectra, data, choose(data), metrics=["nmi", "silhouete"])
    with pytest.raises(UserError, match="clusters is 1"):
        evaluate(spectra, data, choose(data), clusters=1)


def unlabelled(data: Splits) -> Splits:
    none = {name: dataclasses.replace(f, y=np.full_like(f.y, -1)) for name, f in data.by_name().items()}
    return dataclasses.replace(data, **none)


NEED_LABELS = ("nmi", "ari", "silhouette_of_labels", "class_centroid_spread")


@pytest.mark.parametrize("clusters", [None, 3])
def test_without_any_label_what_needs_labels_is_null_and_says_so(data, clusters):
    bare = unlabelled(data)
    chosen = choose(bare)
    found = evaluate(spectra, bare, chosen, clusters=clusters)
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


def test_more_clusters_than_classes_can_be_asked_for(data):
    found = evaluate(spectra, data, choose(data), clusters=5, metrics=["silhouette", "nmi"])
    assert set(found.embeddings.cluster) == set(range(5)) and not found.reasons
