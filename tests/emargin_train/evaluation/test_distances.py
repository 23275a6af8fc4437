import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from emargin_train.evaluation import distances


def all_squared(a: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    return np.concatenate([block.numpy().copy() for _, block in distances.squared_distances(a, b)])


@pytest.mark.parametrize("n", [1, 5, 1024, 1500])
def test_blocks_meet_scipy(n):
    rng = np.random.default_rng(n)
    a = rng.standard_normal((n, 7)).astype(np.float32)
    b = rng.standard_normal((31, 7)).astype(np.float32)
    np.testing.assert_allclose(all_squared(a, b), cdist(a, b, "sqeuclidean"), atol=1e-5)
    own = all_squared(a)
    np.testing.assert_allclose(own, cdist(a, a, "sqeuclidean"), atol=1e-5)
    assert (np.diagonal(own) == 0).all()


def test_a_common_offset_costs_no_digits():
    a = np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32)
    np.testing.assert_allclose(all_squared(a + 1024), cdist(a, a, "sqeuclidean"), atol=5e-3)
    assert abs(all_squared(a + 1024) - all_squared(a)).max() < 5e-3


def test_nearest_meets_scikit_learn():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((1100, 9)).astype(np.float32), rng.standard_normal((400, 9)).astype(np.float32)
    expected = NearestNeighbors(n_neighbors=6).fit(b).kneighbors(a, return_distance=False)
    assert (np.sort(distances.nearest(a, b, 6)) == np.sort(expected)).all()


def test_nearest_among_themselves_leaves_oneself_out():
    a = np.random.default_rng(2).standard_normal((1100, 4)).astype(np.float32)
    expected = NearestNeighbors(n_neighbors=3).fit(a).kneighbors(return_distance=False)
    assert (np.sort(distances.nearest(a, None, 3)) == np.sort(expected)).all()
