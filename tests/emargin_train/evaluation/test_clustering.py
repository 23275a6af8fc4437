import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn import metrics
from sklearn.cluster import KMeans

from emargin_train.evaluation import clustering
from emargin_train.evaluation.degenerate import Degenerate


def blobs(
    n: int = 300, d: int = 6, k: int = 4, apart: float = 3.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    return (apart * rng.standard_normal((k, d))[y] + rng.standard_normal((n, d))).astype(np.float32), y


@settings(deadline=None, max_examples=60)
@given(st.integers(5, 120), st.integers(1, 8), st.integers(2, 4), st.integers(0, 10**6))
def test_silhouettes_meet_scikit_learn(n, d, k, seed):
    rng = np.random.default_rng(seed)
    h = (rng.standard_normal((n, d)) * 10.0 ** rng.integers(-3, 4) + rng.integers(0, 5)).astype(np.float32)
    one, two = rng.permutation(np.arange(n) % k), rng.permutation(np.arange(n) % 2) * 7 - 3
    expected = [metrics.silhouette_score(h.astype(np.float64), labels) for labels in (one, two)]
    assert clustering.silhouettes(torch.from_numpy(h), one, two) == pytest.approx(expected, abs=1e-4)


def test_silhouette_of_blocks_and_lone_points():
    h, y = blobs(2100)
    y[:2] = (10, 11)  # alone in their clusters
    assert clustering.silhouettes(torch.from_numpy(h), y)[0] == pytest.approx(
        metrics.silhouette_score(h, y), abs=1e-5
    )


def test_silhouette_of_heavy_tails_far_from_zero():
    h, y = blobs(500)
    h[:5] *= 1e3
    h += 100
    expected = metrics.silhouette_score(h.astype(np.float64), y)
    assert clustering.silhouettes(torch.from_numpy(h), y)[0] == pytest.approx(expected, abs=1e-4)


def test_repeated_points_have_silhouette_zero_not_nan():
    h = np.zeros((10, 3), np.float32)
    assert clustering.silhouettes(torch.from_numpy(h), np.arange(10) % 2) == [0.0]


def every_score(h: np.ndarray, y: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    return (
        *clustering.silhouettes(torch.from_numpy(h), labels, y),
        *clustering.published(torch.from_numpy(h), labels),
        *clustering.agreement(labels, y),
    )


@pytest.mark.parametrize("change", ["rotated", "scaled", "moved", "reordered", "relabelled"])
def test_scores_do_not_change_when(change):
    h, y = blobs()
    labels = clustering.kmeans(torch.from_numpy(h), 4)
    before = every_score(h, y, labels)
    order = np.random.default_rng(3).permutation(len(h))
    h, y, labels = {
        "rotated": lambda: (h @ ortho_group.rvs(6, random_state=0).astype(np.float32), y, labels),
        "scaled": lambda: (37 * h, y, labels),
        "moved": lambda: (h + 5, y, labels),
        "reordered": lambda: (h[order], y[order], labels[order]),
        "relabelled": lambda: (h, np.array([7, 3, 0, 9])[y], np.array([2, 0, 3, 1])[labels]),
    }[change]()
    assert every_score(h, y, labels) == pytest.approx(before, rel=1e-4)


def test_kmeans_is_the_published_one():
    h, _ = blobs()
    assert (
        clustering.kmeans(torch.from_numpy(h), 4) == KMeans(4, n_init=10, random_state=1).fit_predict(h)
    ).all()


def test_published_meets_its_definitions():
    h, _ = blobs()
    labels = clustering.kmeans(torch.from_numpy(h), 4)
    centre = np.stack([h[labels == k].mean(0) for k in range(4)])
    spread = np.array([np.linalg.norm(h[labels == k] - centre[k], axis=1).mean() for k in range(4)])
    apart = np.linalg.norm(centre[:, None] - centre, axis=2) + np.diag(np.full(4, np.inf))
    dbi = ((spread[:, None] + spread) / apart).max(1).mean()
    size = np.bincount(labels)
    within = sum(((h[labels == k] - centre[k]) ** 2).sum() for k in range(4))
    between = (size * ((centre - h.mean(0)) ** 2).sum(1)).sum()
    expected = (dbi, (between / 3) / (within / (len(h) - 4)), size.max() / len(h))
    assert clustering.published(torch.from_numpy(h), labels) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("apart", [0.0, 3.0])
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_published_scores_meet_scikit_learn(apart, scale):
    h, _ = blobs(apart=apart)
    h = np.float32(scale) * h + np.float32(scale)
    labels = 3 * clustering.kmeans(torch.from_numpy(h), 4) - 1
    found = clustering.published(torch.from_numpy(h), labels)
    wide = h.astype(np.float64)
    expected = metrics.davies_bouldin_score(wide, labels), metrics.calinski_harabasz_score(wide, labels)
    assert found[:2] == pytest.approx(expected, rel=1e-6)


def test_published_scores_of_points_on_each_other_are_those_of_scikit_learn():
    h = np.repeat(np.float32([[1, 0], [0, 1], [3, 3]]), 5, axis=0)
    together = np.zeros((15, 2), np.float32) + np.float32([[0, 1], [0, -1], [0, 0]]).repeat(5, 0)
    for points, labels in ((h, np.arange(15) // 5), (together, np.arange(15) % 5 % 2)):
        expected = (
            metrics.davies_bouldin_score(points, labels),
            metrics.calinski_harabasz_score(points, labels),
        )
        assert clustering.published(torch.from_numpy(points), labels)[:2] == pytest.approx(expected, rel=1e-3)


def test_silhouette_null_of_a_known_spectrum_is_that_of_the_points():
    h, _ = blobs(400)
    variance = np.linalg.eigvalsh(np.cov(h.T.astype(np.float64), bias=True))
    found = clustering.silhouette_null(torch.from_numpy(h), 4, variance=variance)
    assert found == pytest.approx(clustering.silhouette_null(torch.from_numpy(h), 4), abs=1e-6)


def test_kept_normals_are_those_of_a_new_generator():
    drawn = np.random.default_rng(5)
    singly = np.concatenate([drawn.standard_normal((7, 3)).ravel() for _ in range(4)])
    assert (clustering._normals(5, 84) == singly).all()
    assert (clustering._normals(5, 100)[:84] == singly).all()


def test_agreement_meets_its_definitions():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, 200)
    b = np.where(rng.random(200) < 0.6, a, rng.integers(0, 4, 200))
    joint = np.array([[((a == i) & (b == j)).mean() for j in range(4)] for i in range(3)])
    entropy = lambda p: -sum(x * np.log(x) for x in p.ravel() if x > 0)  # noqa: E731
    shared = entropy(joint.sum(0)) + entropy(joint.sum(1)) - entropy(joint)
    nmi = shared / ((entropy(joint.sum(0)) + entropy(joint.sum(1))) / 2)
    pairs = [((a[i] == a[j]), (b[i] == b[j])) for i in range(200) for j in range(i)]
    both, first, second = (np.mean([f(p) for p in pairs]) for f in (all, lambda p: p[0], lambda p: p[1]))
    ari = (both - first * second) / ((first + second) / 2 - first * second)
    assert clustering.agreement(a, b) == pytest.approx((nmi, ari))


@pytest.mark.parametrize("d, decay", [(2, 0), (40, 0), (40, 0.3)])
def test_a_gaussian_has_no_clusters_beyond_its_spread(d, decay):
    rng = np.random.default_rng(5)
    h = (
        rng.standard_normal((2000, d)) * np.exp(-decay * np.arange(d)) @ ortho_group.rvs(d, random_state=1)
    ).astype(np.float32)
    (score,) = clustering.silhouettes(torch.from_numpy(h), clustering.kmeans(torch.from_numpy(h), 4))
    assert score - clustering.silhouette_null(torch.from_numpy(h), 4) == pytest.approx(0, abs=0.01)


def test_separated_clusters_exceed_their_spread_and_a_steeper_spectrum_does_not():
    h, _ = blobs(1500, d=10, apart=6)
    (score,) = clustering.silhouettes(torch.from_numpy(h), clustering.kmeans(torch.from_numpy(h), 4))
    assert score - clustering.silhouette_null(torch.from_numpy(h), 4) > 0.3
    line = (np.random.default_rng(0).standard_normal((1500, 10)) * [10, *[0.1] * 9]).astype(np.float32)
    (score,) = clustering.silhouettes(torch.from_numpy(line), clustering.kmeans(torch.from_numpy(line), 4))
    assert score > 0.45  # looks like clusters, and is what any one-dimensional cloud gets
    assert score - clustering.silhouette_null(torch.from_numpy(line), 4) == pytest.approx(0, abs=0.015)


def test_permuted_scores_explain_tails_and_leave_clusters():
    """A few loud points beside one quiet crowd: no Gaussian has such a score, their permuted scores have."""
    rng = np.random.default_rng(0)
    loud = (rng.standard_normal((1500, 4)) * np.float32([1, 0.5, 0.4, 0.3])).astype(np.float32)
    loud[:30, 0] *= 20  # an independent axis with heavy tails
    tails = torch.from_numpy(loud)
    (score,) = clustering.silhouettes(tails, clustering.kmeans(tails, 2))
    assert score - clustering.silhouette_null(tails, 2) > 0.2
    assert score - clustering.silhouette_permuted(tails, 2) == pytest.approx(0, abs=0.05)
    clusters = torch.from_numpy(blobs(1500, d=10, apart=6)[0])
    (score,) = clustering.silhouettes(clusters, clustering.kmeans(clusters, 4))
    assert score - clustering.silhouette_permuted(clusters, 4) > 0.2


def test_permuted_scores_do_not_depend_on_rotation_or_scale():
    h, _ = blobs(400)
    found = clustering.silhouette_permuted(torch.from_numpy(h), 4)
    assert found == clustering.silhouette_permuted(torch.from_numpy(h), 4)
    rotated = h @ ortho_group.rvs(6, random_state=0).astype(np.float32)
    for other in (64 * h, rotated + np.float32(3)):
        assert found == pytest.approx(clustering.silhouette_permuted(torch.from_numpy(other), 4), abs=0.02)
    with pytest.raises(Degenerate):
        clustering.silhouette_permuted(torch.ones(50, 3), 4)


def test_null_is_seeded_and_invariant():
    h, _ = blobs(400)
    null = clustering.silhouette_null(torch.from_numpy(h), 4)
    assert null == clustering.silhouette_null(torch.from_numpy(h), 4)
    assert null != clustering.silhouette_null(torch.from_numpy(h), 4, seed=2)
    assert null == pytest.approx(clustering.silhouette_null(torch.from_numpy(64 * h), 4))
    rotated = h @ ortho_group.rvs(6, random_state=0).astype(np.float32)
    assert null == pytest.approx(clustering.silhouette_null(torch.from_numpy(rotated), 4), abs=0.01)


@pytest.mark.parametrize(
    "fail, words",
    [
        (lambda: clustering.kmeans(torch.ones(20, 3), 2), "1 distinct embeddings among 20 frames"),
        (lambda: clustering.kmeans(torch.eye(3).repeat(9, 1), 4), "fewer than 4 clusters"),
        (
            lambda: clustering.silhouettes(torch.eye(5), np.zeros(5)),
            "1 clusters among 5 frames",
        ),
        (
            lambda: clustering.silhouettes(torch.eye(5), np.arange(5)),
            "5 clusters among 5 frames",
        ),
        (lambda: clustering.silhouette_null(torch.full((20, 3), 0.1), 2), "no spread"),
    ],
)
def test_what_has_no_value_says_why(fail, words):
    with pytest.raises(Degenerate, match=words):
        fail()
