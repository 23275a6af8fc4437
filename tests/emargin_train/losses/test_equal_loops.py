"""Each loss equals loops written from its equation, and finite differences."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from emargin_train.losses import layout, negatives
from emargin_train.losses.contrast import emargin, emargin_adjacent, infonce
from emargin_train.losses.released import emargin_released, infonce_released
from emargin_train.losses.spread import unevenness
from emargin_train.losses.supervised import cross_entropy, supervised_contrastive
from tests.emargin_train.losses import plain

SIZES = st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(2, 4))
TEMPERATURES = st.floats(0.01, 2.0)
MARGINS = st.sampled_from([0.0, 0.5, 1.0, 100.0]) | st.floats(0.0, 100.0)
NEIGHBOURS = st.sampled_from([1, 2])


def draw(size: tuple[int, int, int], seed: int, share: float) -> tuple[Tensor, Tensor]:
    """Embeddings of any sign, and labels."""
    g = torch.Generator().manual_seed(seed)
    h = torch.randn(size, generator=g, dtype=torch.float64).requires_grad_()
    return h, (torch.rand(size[:2], generator=g) < share)


def assert_same(fast: Tensor, slow: Tensor, h: Tensor) -> None:
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
    own = {"temperature": temperature, "neighbours": neighbours}
    assert_same(infonce(h, **own), plain.infonce(h, **own), h)


@settings(max_examples=120, deadline=None)
@given(
    SIZES,
    st.integers(0, 99),
    st.sampled_from([0.0, 0.3, 1.0]),
    TEMPERATURES,
    MARGINS,
    NEIGHBOURS,
    st.sampled_from([-1, 1]),
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
    dissimilar_sign: int,
    gamma: float,
) -> None:
    h, y = draw(size, seed, share)
    own = {
        "margin": margin,
        "temperature": temperature,
        "neighbours": neighbours,
        "similar_sign": similar_sign,
        "dissimilar_sign": dissimilar_sign,
        "gamma": gamma,
    }
    assert_same(emargin(h, y, **own), plain.emargin(h, y, **own), h)


@settings(max_examples=80, deadline=None)
@given(SIZES, st.integers(0, 99), st.sampled_from([0.0, 0.3, 1.0]), TEMPERATURES, st.floats(0, 1), NEIGHBOURS)
def test_emargin_adjacent_equals_loops(
    size: tuple[int, int, int], seed: int, share: float, temperature: float, margin: float, neighbours: int
) -> None:
    h, y = draw(size, seed, share)
    own = {"margin": margin, "temperature": temperature, "neighbours": neighbours}
    assert_same(emargin_adjacent(h, y, **own), plain.emargin_adjacent(h, y, **own), h)


@settings(max_examples=40, deadline=None)
@given(SIZES, st.integers(0, 99), st.floats(0.01, 100))
def test_unevenness_is_that_of_the_eigenvalues(size: tuple[int, int, int], seed: int, scale: float) -> None:
    """Against eigenvalues of the covariance, whichever of frames and dimensions are more; blind to scale."""
    h, _ = draw(size, seed, 0)
    z = torch.nn.functional.normalize(h.detach().flatten(0, 1), dim=-1)
    eigenvalues = torch.linalg.eigvalsh(torch.cov(z.T)).clamp_min(0) if len(z) > 1 else torch.zeros(1)
    if eigenvalues.sum() < 1e-9:
        assert unevenness(h) == 0
        return
    participation = eigenvalues.sum() ** 2 / eigenvalues.square().sum()
    expected = torch.log(z.shape[1] / participation)
    torch.testing.assert_close(unevenness(scale * h).detach(), expected, rtol=1e-9, atol=1e-9)


def test_unevenness_at_its_ends() -> None:
    even = torch.cat([torch.eye(4), -torch.eye(4)]).double()[None]
    assert unevenness(even).item() == pytest.approx(0, abs=1e-12)
    thread = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]).double()[None]
    assert unevenness(thread).item() == pytest.approx(math.log(3))
    equal = torch.ones(1, 5, 3).double().requires_grad_()
    unevenness(equal).backward()
    assert unevenness(equal) == 0 and equal.grad is not None and not equal.grad.any()


@settings(max_examples=40, deadline=None)
@given(SIZES, st.integers(0, 99), TEMPERATURES, st.integers(1, 4))
def test_supervised_contrastive_equals_loops(
    size: tuple[int, int, int], seed: int, temperature: float, n_classes: int
) -> None:
    h, _ = draw(size, seed, 0)
    labels = torch.randint(-1, n_classes, size[:2], generator=torch.Generator().manual_seed(seed))
    fast = supervised_contrastive(h, labels, temperature=temperature)
    assert_same(fast, plain.supervised_contrastive(h, labels, temperature=temperature), h)


def test_cross_entropy_is_that_of_the_labelled_frames() -> None:
    logits, _ = draw((2, 3, 4), 0, 0)
    labels = torch.tensor([[0, -1, 3], [-1, -1, 2]])
    slow = -sum(logits[at].log_softmax(-1)[labels[at]] for at in [(0, 0), (0, 2), (1, 2)]) / 3
    assert_same(cross_entropy(logits, labels), slow, logits)
    assert cross_entropy(logits, torch.full((2, 3), -1)) == 0


DIFFERENTIABLE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "infonce": lambda h, y: infonce(h, temperature=0.3),
    "infonce-1": lambda h, y: infonce(h, temperature=0.3, neighbours=1),
    "infonce-steep": lambda h, y: infonce(h, temperature=0.002),
    "emargin": lambda h, y: emargin(h, y, margin=5.0, temperature=0.1),
    "emargin-1": lambda h, y: emargin(h, y, margin=0.4, temperature=0.3, neighbours=1, gamma=1.0),
    "emargin-steep": lambda h, y: emargin(h, y, margin=100.0, temperature=0.01, similar_sign=1),
    "emargin-repelling": lambda h, y: emargin(h, y, margin=0.5, temperature=0.1, dissimilar_sign=-1),
    "emargin-adjacent": lambda h, y: emargin_adjacent(h, y, margin=0.5, temperature=0.3),
    "emargin-adjacent-1": lambda h, y: emargin_adjacent(h, y, margin=0.5, temperature=0.3, neighbours=1),
    "emargin-released": lambda h, y: emargin_released(h, y, margin=2.0, temperature=1.0),
    "emargin-released-1": lambda h, y: emargin_released(h, y, margin=2.0, temperature=1.0, neighbours=1),
    "infonce-released": lambda h, y: infonce_released(h, temperature=1.0),
    "infonce-released-1": lambda h, y: infonce_released(h, temperature=1.0, neighbours=1),
    "supervised-contrastive": lambda h, y: supervised_contrastive(h, y.long(), temperature=0.3),
    "unevenness": lambda h, y: unevenness(h),
    "cross-entropy": lambda h, y: cross_entropy(h, y.long()),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient_matches_finite_differences(name: str) -> None:
    h, y = draw((2, 5, 3), 1, 0.4)
    assert 0 < y.sum() < y.numel()
    assert gradcheck(lambda h: DIFFERENTIABLE[name](h, y), h)


@pytest.mark.parametrize("name", ["infonce", "emargin", "emargin-1", "emargin-adjacent"])
@pytest.mark.parametrize("strip", [1, 3, 7, 1000])
def test_way_of_cutting_into_strips_changes_nothing(
    name: str, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    h, y = draw((3, 7, 4), 2, 0.4)
    whole = DIFFERENTIABLE[name](h, y)
    expected = torch.autograd.grad(whole, h)[0]
    monkeypatch.setattr(layout, "STRIP", strip)
    for keep, safe in ((2**28, 700.0), (0, 700.0), (0, -1.0)):  # kept; computed again; row by row
        layout.in_time.cache_clear()
        monkeypatch.setattr(negatives, "KEEP_BYTES", keep)
        monkeypatch.setitem(negatives.SAFE_SPREAD, torch.float64, safe)
        loss = DIFFERENTIABLE[name](h, y)
        assert loss.item() == pytest.approx(whole.item(), rel=1e-12)
        torch.testing.assert_close(torch.autograd.grad(loss, h)[0], expected, rtol=1e-10, atol=1e-12)
    layout.in_time.cache_clear()
