import numpy as np
import pytest
import torch
from scipy.stats import ortho_group

from emargin_train.evaluation import geometry
from emargin_train.evaluation.degenerate import Degenerate


def with_spectrum(deviation: list[float], n: int = 400, d: int = 12) -> torch.Tensor:
    """Embeddings (n, d) whose covariance has exactly these standard deviations, in a random basis."""
    rng = np.random.default_rng(0)
    left = np.linalg.qr(rng.standard_normal((n, len(deviation) + 1)) + 0)[0]
    left = np.linalg.qr(left - left.mean(0))[0][:, : len(deviation)]
    h = np.sqrt(n) * left * deviation @ ortho_group.rvs(d, random_state=1)[: len(deviation)] + 3
    return torch.from_numpy(h)


def entropy_rank(deviation: list[float]) -> float:
    p = np.array(deviation) / np.sum(deviation)
    return float(np.exp(-(p * np.log(p)).sum()))


@pytest.mark.parametrize("deviation", [[1.0], [2, 2, 2], [1] * 10, [5, 1], [8, 4, 2, 1], [1, 1e-6]])
@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
def test_ranks_of_known_spectra(deviation, scale):
    variance = geometry.spectrum(scale * with_spectrum(deviation))
    np.testing.assert_allclose(
        variance[: len(deviation)], scale**2 * np.square(deviation), rtol=1e-6, atol=1e-15 * scale**2
    )
    assert geometry.effective_rank(variance) == pytest.approx(entropy_rank(deviation), rel=1e-6)
    squares = np.square(deviation, dtype=float)
    assert geometry.participation_ratio(variance) == pytest.approx(squares.sum() ** 2 / (squares**2).sum())


def manifold(name: str, n: int = 2000) -> np.ndarray:
    rng = np.random.default_rng(4)
    u = rng.random((n, 5))
    t = 3 * np.pi * u[:, 0]
    points = {
        "spiral": np.stack([t * np.cos(t), t * np.sin(t), t], 1),
        "swiss roll": np.stack([(5 + t) * np.cos(t), 21 * u[:, 1], (5 + t) * np.sin(t)], 1),
        "sphere": (lambda x: x / np.linalg.norm(x, axis=1, keepdims=True))(rng.standard_normal((n, 3))),
        "cube": u,
        "gaussian": rng.standard_normal((n, 5)),
    }[name]
    basis = ortho_group.rvs(30, random_state=2)[: points.shape[1]]
    return (points @ basis).astype(np.float32)


@pytest.mark.parametrize(
    "name, dimension", [("spiral", 1), ("swiss roll", 2), ("sphere", 2), ("cube", 5), ("gaussian", 5)]
)
def test_two_nn_recovers_the_dimension(name, dimension):
    h = torch.from_numpy(manifold(name))
    found = geometry.intrinsic_dimension(h)
    assert found == pytest.approx(dimension, rel=0.1)
    assert geometry.intrinsic_dimension(torch.cat([h, h[:500]])) == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("offset", [0, 100])
def test_two_nn_finds_exact_neighbours_however_far_from_zero(offset):
    h = manifold("cube", 500).astype(np.float64) + offset
    distance = np.sort(np.linalg.norm(h[:, None] - h, axis=2))
    mu = np.sort(distance[:, 2] / distance[:, 1])[:450]
    x, f = np.log(mu), -np.log(1 - np.arange(1, 451) / 500)
    assert geometry.intrinsic_dimension(torch.from_numpy(h)) == pytest.approx(
        (x * f).sum() / (x * x).sum(), rel=1e-9
    )


def test_cosine_alignment_uniformity_meet_their_sums():
    rng = np.random.default_rng(0)
    h, g = rng.standard_normal((2, 60, 5)) * [2, 1, 1, 1, 1] + [1, 0, 0, 0, 0]
    h[3] = 0
    z = np.array([row / np.linalg.norm(row) if row.any() else row for row in h])
    pairs = [(i, j) for i in range(60) for j in range(60) if i != j]
    points, following = torch.from_numpy(h), torch.from_numpy(g)
    assert geometry.mean_cosine(points) == pytest.approx(np.mean([z[i] @ z[j] for i, j in pairs]))
    potential = np.mean([np.exp(-2 * ((z[i] - z[j]) ** 2).sum()) for i, j in pairs])
    assert geometry.uniformity(points) == pytest.approx(np.log(potential), rel=1e-5)
    far = [((z[i] - g[i] / np.linalg.norm(g[i])) ** 2).sum() for i in range(60)]
    assert geometry.alignment(points, following) == pytest.approx(np.mean(far))


def test_collapse_in_direction_is_cosine_one_and_uniformity_zero():
    h = torch.outer(1 + torch.arange(20.0), torch.tensor([1.0, 2, 3]))
    assert geometry.mean_cosine(h) == pytest.approx(1)
    assert geometry.uniformity(h) == pytest.approx(0, abs=1e-6)
    assert geometry.alignment(h, 2 * h) == pytest.approx(0)


def test_class_centroid_spread_is_the_correlation_ratio():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 100)
    h = rng.standard_normal((100, 4)) + y[:, None]
    within = sum(((h[y == c] - h[y == c].mean(0)) ** 2).sum() for c in range(3))
    expected = 1 - within / ((h - h.mean(0)) ** 2).sum()
    assert geometry.class_centroid_spread(torch.from_numpy(h), y) == pytest.approx(expected)
    assert geometry.class_centroid_spread(torch.eye(3)[y], y) == pytest.approx(1)


@pytest.mark.parametrize(
    "name", ["effective_rank", "participation_ratio", "dimension", "cosine", "uniformity", "spread"]
)
@pytest.mark.parametrize("change", ["rotated", "scaled", "reordered"])
def test_geometry_does_not_change_when(name, change):
    measure = {
        "effective_rank": lambda h, y: geometry.effective_rank(geometry.spectrum(h)),
        "participation_ratio": lambda h, y: geometry.participation_ratio(geometry.spectrum(h)),
        "dimension": lambda h, y: geometry.intrinsic_dimension(h),
        "cosine": lambda h, y: geometry.mean_cosine(h),
        "uniformity": lambda h, y: geometry.uniformity(h),
        "spread": geometry.class_centroid_spread,
    }[name]
    rng = np.random.default_rng(0)
    h, y = rng.standard_normal((300, 6)) * [3, 2, 1, 1, 1, 0.5] + 1, rng.integers(0, 3, 300)
    order = rng.permutation(300)
    changed = {
        "rotated": (h @ ortho_group.rvs(6, random_state=0), y),
        "scaled": (1e3 * h, y),
        "reordered": (h[order], y[order]),
    }[change]
    moved, classes = changed
    expected = pytest.approx(measure(torch.from_numpy(h), y), rel=1e-4)
    assert measure(torch.from_numpy(moved), classes) == expected


@pytest.mark.parametrize("n, d", [(300, 6), (40, 60)])
def test_spectrum_meets_singular_values(n, d):
    rng = np.random.default_rng(2)
    h = np.maximum(rng.standard_normal((n, d)) * np.logspace(0, -3, d) + 0.2, 0).astype(np.float32)
    x = h - h.mean(0, dtype=np.float64)
    variance = geometry.spectrum(torch.from_numpy(h))
    assert variance.shape == (min(h.shape),) and (np.diff(variance) <= 0).all() and (variance >= 0).all()
    np.testing.assert_allclose(variance, np.linalg.svd(x, compute_uv=False) ** 2 / n, atol=1e-12)


def test_rank_one_is_rank_one():
    line = torch.outer(torch.arange(50.0), torch.arange(1.0, 41.0))
    assert geometry.effective_rank(geometry.spectrum(line)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "fail, words",
    [
        (lambda: geometry.spectrum(torch.full((30, 4), 0.1)), "no spread"),
        (
            lambda: geometry.spectrum(torch.full((30, 4), 1e6).double() + torch.eye(30, 4) * 1e-3),
            "up to rounding",
        ),
        (lambda: geometry.class_centroid_spread(torch.ones(30, 4), np.arange(30) % 2), "no spread"),
        (lambda: geometry.mean_cosine(torch.zeros(30, 4)), "no direction"),
        (
            lambda: geometry.intrinsic_dimension(torch.eye(9).repeat(5, 1)),
            "9 distinct embeddings are too few",
        ),
        (lambda: geometry.intrinsic_dimension(torch.eye(12)), "equally far"),
    ],
)
def test_what_has_no_value_says_why(fail, words):
    with pytest.raises(Degenerate, match=words):
        fail()
