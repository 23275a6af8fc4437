import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans, kmeans_plusplus

from emargin_train.evaluation import clustering, kmeans
from emargin_train.evaluation.lloyd import lloyd


def cloud(kind: str, n: int, d: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    h = rng.standard_normal((n, d))
    if kind == "blobs":
        h += 3 * rng.standard_normal((4, d))[rng.integers(0, 4, n)]
    elif kind == "thread":
        h = np.outer(rng.standard_normal(n), np.ones(d)) + 0.05 * h
    elif kind == "rectified":
        h = np.maximum(h @ rng.standard_normal((d, d)), 0)
    elif kind == "outliers":
        h[:5] *= 100
    return h.astype(np.float32)


@pytest.mark.parametrize("kind", ["gaussian", "blobs", "thread", "rectified", "outliers"])
@pytest.mark.parametrize("clusters, seed", [(2, 0), (5, 1), (12, 2)])
def test_clusters_are_those_of_scikit_learn(kind, clusters, seed):
    h = cloud(kind, 700, 20, seed)
    theirs = KMeans(clusters, n_init=10, random_state=seed).fit(h)
    ours = kmeans.kmeans(h, clusters, seed=seed)
    assert (ours == theirs.labels_).mean() > 0.99
    centres = np.stack([h[ours == k].mean(0, dtype=np.float64) for k in range(clusters)])
    assert ((h - centres[ours]) ** 2).sum() == pytest.approx(theirs.inertia_, rel=1e-4)


@pytest.mark.parametrize("clusters", [2, 5, 12])
def test_starts_are_those_of_scikit_learn(clusters):
    h = cloud("rectified", 500, 10, 3)
    x = h - h.mean(0)
    rng, theirs = np.random.RandomState(7), np.random.RandomState(7)
    for ours in kmeans.starts(torch.from_numpy(x), clusters, rng):
        assert (ours.numpy() == kmeans_plusplus(x, clusters, random_state=theirs)[0]).all()
    assert rng.randint(1000) == theirs.randint(1000)  # as many random numbers were used


def test_clusters_that_run_empty_are_left_to_scikit_learn(monkeypatch):
    h = cloud("blobs", 100, 3, 0)
    monkeypatch.setattr(kmeans, "_lloyd", lambda *_: None)
    expected = KMeans(4, n_init=10, random_state=1).fit_predict(h)
    assert (kmeans.kmeans(h, 4, seed=1) == expected).all()


def test_an_empty_cluster_is_noticed():
    x = torch.tensor([[0.0], [1.0], [2.0]])
    far_off = torch.tensor([[[0.0], [50.0]]])
    assert kmeans._lloyd(x, far_off, 0.0) is None


def test_points_on_each_other():
    h = np.repeat(cloud("blobs", 6, 3, 0), 50, axis=0)
    labels = kmeans.kmeans(h, 6, seed=1)
    assert (labels.reshape(6, 50) == labels[::50, None]).all() and len(set(labels)) == 6


def inertia(h: np.ndarray, labels: np.ndarray) -> float:
    centres = np.stack([h[labels == k].mean(0, dtype=np.float64) for k in range(labels.max() + 1)])
    return float(((h - centres[labels]) ** 2).sum())


@pytest.mark.parametrize("kind", ["gaussian", "blobs", "thread", "rectified", "outliers"])
@pytest.mark.parametrize("clusters, seed", [(2, 0), (5, 1), (12, 2)])
def test_a_tensor_s_clusters_are_as_tight(kind, clusters, seed):
    h = cloud(kind, 700, 20, seed)
    theirs = KMeans(clusters, n_init=10, random_state=seed).fit(h)
    ours = kmeans.kmeans(torch.from_numpy(h), clusters, seed=seed)
    assert inertia(h, ours) == pytest.approx(theirs.inertia_, rel=1e-3)
    assert (ours == theirs.labels_).mean() > 0.99


def test_a_tensor_s_clusters_are_the_same_where_they_lie_apart():
    rng = np.random.default_rng(0)
    h = (
        20 * rng.standard_normal((6, 30))[rng.integers(0, 6, 1000)] + rng.standard_normal((1000, 30))
    ).astype(np.float32)
    assert (kmeans.kmeans(torch.from_numpy(h), 6, seed=1) == kmeans.kmeans(h, 6, seed=1)).all()


@pytest.mark.parametrize("tolerance", [0.0, 1e-3])
def test_steps_of_all_restarts_at_once_end_where_single_steps_do(tolerance):
    x = torch.from_numpy(cloud("rectified", 400, 8, 5))
    starts = kmeans.starts(x, 5, np.random.RandomState(2))
    labels, total = kmeans._lloyd(x, starts.clone(), tolerance)
    others, other_total = lloyd(x, starts, tolerance, kmeans.MOST_STEPS)
    assert (labels == others).double().mean() > 0.99
    torch.testing.assert_close(total, other_total, rtol=1e-4, atol=0)


def test_a_restart_that_has_ended_does_not_move_with_the_others():
    x = torch.from_numpy(cloud("gaussian", 300, 4, 6))
    starts = kmeans.starts(x, 4, np.random.RandomState(3))
    together, _ = lloyd(x, starts, 1e-2, 300)
    alone = torch.cat([lloyd(x, start[None], 1e-2, 300)[0] for start in starts])
    assert (together == alone).all()


@pytest.mark.parametrize("far_off", [[[0.0], [50.0]], [[0.0], [0.0]]])
def test_an_empty_cluster_is_noticed_at_the_end(far_off):
    x = torch.tensor([[0.0], [1.0], [2.0]])
    assert lloyd(x, torch.tensor([[[0.0], [2.0]], far_off]), 0.0, 300) is None
    assert lloyd(x, torch.tensor([[[0.0], [2.0]]]), 0.0, 300) is not None


def test_a_tensor_s_empty_clusters_are_left_to_scikit_learn(monkeypatch):
    h = cloud("blobs", 100, 3, 0)
    monkeypatch.setattr(kmeans, "lloyd", lambda *_: None)
    expected = KMeans(4, n_init=10, random_state=1).fit_predict(h)
    assert (clustering.kmeans(torch.from_numpy(h), 4) == expected).all()
