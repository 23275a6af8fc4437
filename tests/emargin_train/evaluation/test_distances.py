import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from emargin_train.evaluation import distances


def test_a_common_offset_costs_no_digits():
    a = np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32)
    clusters = np.arange(50) % 3
    far, near = (distances.all_pairs(torch.from_numpy(points), clusters).total[0] for points in (a + 1024, a))
    np.testing.assert_allclose(far, near, rtol=1e-3)
    far, near = (distances.nearest(*2 * (torch.from_numpy(points),), 1)[:, 0] for points in (a + 1024, a))
    assert (far == np.arange(50)).all() and (near == np.arange(50)).all()


@pytest.mark.parametrize("n, k", [(5, 5), (31, 1), (32, 1), (100, 3), (1000, 15), (1015, 15)])
def test_the_least_values_are_those_of_a_sort(n, k):
    values = np.random.default_rng(n).standard_normal((40, n)).astype(np.float32)
    values[:5] = np.sort(values[:5])  # the least ones stand side by side
    value, index = distances.least(torch.from_numpy(values), k)
    np.testing.assert_array_equal(np.sort(value), np.sort(values)[:, :k])
    np.testing.assert_array_equal(
        np.sort(np.take_along_axis(values, index.numpy(), 1)), np.sort(values)[:, :k]
    )


def test_nearest_meets_scikit_learn():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((1100, 9)).astype(np.float32), rng.standard_normal((400, 9)).astype(np.float32)
    expected = NearestNeighbors(n_neighbors=6).fit(b).kneighbors(a, return_distance=False)
    assert (
        np.sort(distances.nearest(torch.from_numpy(a), torch.from_numpy(b), 6)) == np.sort(expected)
    ).all()


@pytest.mark.parametrize("n, block", [(11, 512), (300, 7), (300, 100), (1100, 512)])
def test_a_pass_over_all_pairs_finds_what_single_passes_find(n, block):
    rng = np.random.default_rng(n)
    a = rng.standard_normal((n, 4)).astype(np.float32)
    codes = rng.permutation(np.arange(n) % 2), rng.permutation(np.arange(n) % 5)
    pairs = distances.all_pairs(torch.from_numpy(a), *codes, near=3, potential=True, block=block)
    distance = cdist(a, a)
    for code, total in zip(codes, pairs.total, strict=True):
        np.testing.assert_allclose(total, distance @ np.eye(code.max() + 1)[code], rtol=1e-5, atol=2e-3)
    expected = NearestNeighbors(n_neighbors=3).fit(a).kneighbors(return_distance=False)
    assert (np.sort(pairs.near) == np.sort(expected)).all()
    assert pairs.potential == pytest.approx(np.exp(-2 * distance**2).sum() - n, rel=1e-5)


def test_a_pass_keeps_only_what_is_asked_for():
    pairs = distances.all_pairs(torch.eye(6))
    assert pairs.total == [] and pairs.near.shape == (6, 0) and pairs.potential is None


def test_points_on_each_other_are_near_but_never_their_own_neighbour():
    a = np.repeat(np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32), 4, axis=0)
    near = distances.all_pairs(torch.from_numpy(a), near=3, block=3).near
    assert (np.sort(near // 4) == np.arange(20)[:, None] // 4).all()
    assert (near != np.arange(20)[:, None]).all()
