"""Each objective is what its equation says: loops, finite differences, limits and invariances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emargin_train.objectives import emargin, emargin_adjacent, infonce
from tests.emargin_train import plain

SIZES = st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(2, 4))
TEMPERATURES = st.floats(0.01, 2.0)
MARGINS = st.sampled_from([0.0, 0.5, 1.0, 100.0]) | st.floats(0.0, 100.0)
NEIGHBOURS = st.sampled_from([1, 2])


def draw(size: tuple[int, int, int], seed: int, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of any sign, and labels."""
    g = torch.Generator().manual_seed(seed)
    h = torch.randn(size, generator=g, dtype=torch.float64).requires_grad_()
    return h, (torch.rand(size[:2], generator=g) < share)


def assert_same(fast: torch.Tensor, slow: torch.Tensor, h: torch.Tensor) -> None:
    """Values and gradients to 1e-9, relative to their size where that is above 1."""
    assert fast.item() == pytest.approx(slow.item(), rel=1e-9, abs=1e-9)
    mine = torch.autograd.grad(fast, h)[0]
    theirs = torch.autograd.grad(slow, h)[0] if slow.requires_grad else torch.zeros_like(h)
    torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8 * max(1.0, theirs.abs().max().item()))


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(0, 99), TEMPERATURES, NEIGHBOURS)
def test_infonce_equals_loops(
    size: tuple[int, int, int], seed: int, temperature: float, neighbours: int
) -> None:
    h, _ = draw(size, seed, 0)
    knobs = {"temperature": temperature, "neighbours": neighbours}
    assert_same(infonce(h, **knobs), plain.infonce(h, **knobs), h)


@settings(max_examples=120, deadline=None)
@given(
    SIZES,
    st.integers(0, 99),
    st.sampled_from([0.0, 0.3, 1.0]),
    TEMPERATURES,
    MARGINS,
    NEIGHBOURS,
    st.sampled_from([-1, 1]),
    st.sampled_from([0.05, 1.0]),
)
def test_emargin_equals_loops(
    size: tuple[int, int, int],
    seed: int,
    share: float,
    temperature: float,
    margin: float,
    neighbours: int,
    similar_sign: int,
    gamma: float,
) -> None:
    h, y = draw(size, seed, share)
    knobs = {
        "margin": margin,
        "temperature": temperature,
        "neighbours": neighbours,
        "similar_sign": similar_sign,
        "gamma": gamma,
    }
    assert_same(emargin(h, y, **knobs), plain.emargin(h, y, **knobs), h)


@settings(max_examples=80, deadline=None)
@given(SIZES, st.integers(0, 99), st.sampled_from([0.0, 0.3, 1.0]), TEMPERATURES, st.floats(0, 1), NEIGHBOURS)
def test_emargin_adjacent_equals_loops(
    size: tuple[int, int, int], seed: int, share: float, temperature: float, margin: float, neighbours: int
) -> None:
    h, y = draw(size, seed, share)
    knobs = {"margin": margin, "temperature": temperature, "neighbours": neighbours}
    assert_same(emargin_adjacent(h, y, **knobs), plain.emargin_adjacent(h, y, **knobs), h)
