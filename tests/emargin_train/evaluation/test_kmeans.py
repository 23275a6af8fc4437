import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans, kmeans_plusplus

from emargin_train.evaluation import kmeans


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
    ours = kmeans.kmeans(torch.from_numpy(h), clusters, seed=seed)
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
    monkeypatch.setattr(kmeans, "lloyd", lambda *_: None)
    expected = KMeans(4, n_init=10, random_state=1).fit_predict(h)
    assert (kmeans.kmeans(torch.from_numpy(h), 4, seed=1) == expected).all()


def test_an_empty_cluster_is_noticed():
    x = torch.tensor([[0.0], [1.0], [2.0]])
    far_off = torch.tensor([[[0.0], [50.0]]])
    assert kmeans.lloyd(x, far_off, 0.0) is None


def test_points_on_each_other():
    h = np.repeat(cloud("blobs", 6, 3, 0), 50, axis=0)
    labels = kmeans.kmeans(torch.from_numpy(h), 6, seed=1)
    assert (labels.reshape(6, 50) == labels[::50, None]).all() and len(set(labels)) == 6


def test_a_restart_that_has_ended_does_not_move_with_the_others():
    x = torch.from_numpy(cloud("gaussian", 300, 4, 6))
    starts = kmeans.starts(x, 4, np.random.RandomState(3))
    together, _ = kmeans.lloyd(x, starts, 1e-2)
    alone = torch.cat([kmeans.lloyd(x, start[None], 1e-2)[0] for start in starts])
    assert (together == alone).all()


@pytest.mark.parametrize("far_off", [[[0.0], [50.0]], [[0.0], [0.0]]])
def test_an_empty_cluster_of_any_restart_is_noticed(far_off):
    x = torch.tensor([[0.0], [1.0], [2.0]])
    assert kmeans.lloyd(x, torch.tensor([[[0.0], [2.0]], far_off]), 0.0) is None
    assert kmeans.lloyd(x, torch.tensor([[[0.0], [2.0]]]), 0.0) is not None
