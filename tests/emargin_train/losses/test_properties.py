"""Properties of every loss: it is finite, invariant, depends on its input, and has the right limits."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from emargin_train.losses import contrast
from emargin_train.losses.contrast import emargin, emargin_adjacent, infonce, margin_kernel
from emargin_train.losses.released import emargin_released
from emargin_train.losses.supervised import supervised_contrastive
from tests.emargin_train.losses import plain

Loss = Callable[[Tensor, Tensor, float], Tensor]
STEEP: dict[str, Loss] = {
    "infonce": lambda h, y, tau: infonce(h, temperature=tau),
    "infonce-1": lambda h, y, tau: infonce(h, temperature=tau, neighbours=1),
    "emargin": lambda h, y, tau: emargin(h, y, margin=100.0, temperature=tau),
    "emargin-1": lambda h, y, tau: emargin(h, y, margin=100.0, temperature=tau, neighbours=1),
    "emargin-one": lambda h, y, tau: emargin(h, y, margin=100.0, temperature=tau, gamma=1.0, similar_sign=1),
    "emargin-adjacent": lambda h, y, tau: emargin_adjacent(h, y, margin=1.0, temperature=tau),
    "supervised-contrastive": lambda h, y, tau: supervised_contrastive(h, y.long(), temperature=tau),
}


def embeddings(b: int, t: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Like the encoder's: not negative, many zeros, close to one another."""
    g = torch.Generator().manual_seed(seed)
    h = (torch.randn(b, t, d, generator=g) + 0.5).clamp_min(0)
    return h.requires_grad_(), torch.rand(b, t, generator=g) < 0.3


@pytest.fixture(params=["blocks", "dense"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the far negatives are gone through: as on a CPU, or as on a GPU."""
    monkeypatch.setattr(contrast, "is_dense", lambda h: request.param == "dense")
    return request.param


@pytest.mark.parametrize("name", STEEP)
@pytest.mark.parametrize("tau", [0.05, 0.001])
def test_finite_in_float32_at_paper_size_and_equal_to_float64(name: str, tau: float, way: str) -> None:
    """Margin 100 and tau 0.05 at N = 1600, and far beyond; loss to 1e-5, gradient to 1e-3 of its largest."""
    h, y = embeddings(8, 200, 32)
    loss = STEEP[name](h, y, tau)
    gradient = torch.autograd.grad(loss, h)[0]
    assert loss.isfinite() and gradient.isfinite().all()
    double = h.detach().double().requires_grad_()
    exact = STEEP[name](double, y, tau)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5, abs=1e-5)
    reference = torch.autograd.grad(exact, double)[0].float()
    tolerance = 1e-3 * reference.abs().max().item() * max(1, 0.05 / tau)
    torch.testing.assert_close(gradient, reference, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", STEEP)
def test_finite_for_dead_equal_and_opposite_frames(name: str, way: str) -> None:
    """All zero, all the same, antipodal; a dead frame has no gradient."""
    y = torch.arange(12).view(2, 6) % 2 == 0
    one = torch.ones(2, 6, 3)
    dead = torch.rand(2, 6, 3, generator=torch.Generator().manual_seed(0))
    dead[0, 2] = 0
    for h in (torch.zeros(2, 6, 3), one, torch.where(y[..., None], one, -one), dead, one * 1e-20, one * 1e15):
        h = h.clone().requires_grad_()
        loss = STEEP[name](h, y, 0.05)
        gradient = torch.autograd.grad(loss, h)[0]
        assert loss.isfinite()
        alive = h.norm(dim=-1) > 0
        assert gradient[alive].isfinite().all()
        if name != "supervised-contrastive":
            assert (gradient[~alive] == 0).all()


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(STEEP)), st.integers(0, 99), st.permutations(range(4)), st.floats(1e-3, 1e3))
def test_invariant_to_order_of_sequences_and_to_scale(
    name: str, seed: int, order: list[int], scale: float
) -> None:
    h, y = embeddings(4, 5, 6, seed)
    h = h.double() + 1e-3
    loss = STEEP[name](h, y, 0.2).item()
    assert STEEP[name](h[order], y[order], 0.2).item() == pytest.approx(loss, rel=1e-9)
    assert STEEP[name](h * scale, y, 0.2).item() == pytest.approx(loss, rel=1e-9)
    each = scale ** torch.rand(4, 5, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert STEEP[name](h * each, y, 0.2).item() == pytest.approx(loss, rel=1e-9)


def test_not_invariant_to_order_within_a_sequence() -> None:
    h, y = embeddings(4, 5, 6)
    for name in ("infonce", "emargin", "emargin-adjacent"):
        assert STEEP[name](h.flip(0), y.flip(0), 0.2).item() == pytest.approx(STEEP[name](h, y, 0.2).item())
        shuffled = [2, 0, 3, 1, 4]
        assert abs(STEEP[name](h[:, shuffled], y[:, shuffled], 0.2) - STEEP[name](h, y, 0.2)) > 1e-4


@pytest.mark.parametrize("neighbours", [1, 2])
def test_adjacent_variant_is_infonce_where_nothing_is_dissimilar(neighbours: int) -> None:
    h, y = embeddings(3, 6, 5)
    own = {"temperature": 0.2, "neighbours": neighbours}
    limit = emargin_adjacent(h, torch.zeros_like(y), margin=0.7, **own)
    assert limit.item() == infonce(h, **own).item()
    assert emargin_adjacent(h, torch.ones_like(y), margin=0.7, **own).item() == 0  # no positive is left


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 999), st.floats(0.2, 0.8), st.sampled_from(["emargin", "emargin-adjacent"]))
def test_every_label_is_live(seed: int, share: float, name: str) -> None:
    """Inverting the label of one anchor changes the loss, unless it is a last frame of emargin-adjacent."""
    h, _ = embeddings(2, 4, 5, seed)
    h = (h + 1e-3).double()
    y = torch.rand(2, 4, generator=torch.Generator().manual_seed(seed)) < share
    of = {"emargin": emargin, "emargin-adjacent": emargin_adjacent}[name]
    own = {"margin": 0.5, "temperature": 0.1}
    loss = of(h, y, **own).item()
    for at in [(b, t) for b in range(2) for t in range(4)]:
        turned = y.clone()
        turned[at] = ~turned[at]
        other = of(h, turned, **own).item()
        assert (other != loss) == (name == "emargin" or at[1] < 3)


def test_margin_kernel_and_its_slope() -> None:
    """k and dk/ds at a few points, for both labels and signs."""
    s = torch.tensor([-0.5, 0.0, 0.8], requires_grad=True)
    similar, dissimilar = torch.zeros(3), torch.ones(3)
    for sign in (-1, 1):
        k = margin_kernel(s, similar, margin=2.0, similar_sign=sign)
        assert k.tolist() == pytest.approx([sign * 0.125, 0.0, sign * 0.32])
        assert torch.autograd.grad(k.sum(), s)[0].tolist() == pytest.approx([-sign * 0.5, 0, sign * 0.8])
    k = margin_kernel(s, dissimilar, margin=0.5)
    assert k.tolist() == pytest.approx([0.5, 0.125, 0.0])
    assert torch.autograd.grad(k.sum(), s)[0].tolist() == pytest.approx([-1.0, -0.5, 0.0])


def mean_cosine_after(loss: Callable[[Tensor], Tensor], h: Tensor) -> float:
    """Mean cosine of all pairs after 30 steps down the loss."""
    h = h.detach().clone().requires_grad_()
    for _ in range(30):
        h = (h - 10 * torch.autograd.grad(loss(h), h)[0]).detach().requires_grad_()
    z = torch.nn.functional.normalize(h.flatten(0, 1), dim=-1)
    return (z @ z.T).mean().item()


def test_dissimilar_kernel_pulls_all_pairs_together() -> None:
    """Known fault 5: minimising e^{(m - S)^2 / 2} over negatives raises their similarity."""
    g = torch.Generator().manual_seed(0)
    h = torch.randn(4, 20, 8, generator=g, dtype=torch.float64)
    y = torch.ones(4, 20, dtype=torch.bool)
    before = mean_cosine_after(lambda h: 0 * h.sum(), h)
    apart = mean_cosine_after(lambda h: infonce(h, temperature=0.5), h)
    ours = mean_cosine_after(lambda h: emargin(h, y, margin=5.0, temperature=0.1), h)
    released = mean_cosine_after(lambda h: emargin_released(h, y, margin=5.0, temperature=0.5), h)
    assert apart < before
    assert ours > before + 0.05 and released > before + 0.05


def test_hinge_with_its_sign_flipped_does_not_pull() -> None:
    """From embeddings that point the same way, as after a ReLU: only the published sign draws them nearer."""
    h = torch.rand(4, 20, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.ones(4, 20, dtype=torch.bool)
    before = mean_cosine_after(lambda h: 0 * h.sum(), h)
    pull, push = (
        mean_cosine_after(
            lambda h, sign=sign: emargin(h, y, margin=5.0, temperature=0.1, dissimilar_sign=sign), h
        )
        for sign in (1, -1)
    )
    assert pull > before + 0.1 and abs(push - before) < 0.02


@given(
    st.integers(0, 999),
    st.floats(0.0, 1.0),
    st.floats(1.0, 5.0),
    st.floats(0.05, 1.0),
    st.floats(0.01, 0.5),  # beyond, a slope of e^-700 is 0 in float64
)
@settings(max_examples=60, deadline=None)
def test_emargin_falls_in_every_cosine(
    seed: int, share: float, margin: float, tau: float, gamma: float
) -> None:
    """With cosines in [0, 1), sigma = -1 and m >= 1, every dl_i / dS_ij is negative, so nothing repels.

    The cosines are free variables here, not those of embeddings.
    """
    g = torch.Generator().manual_seed(seed)
    s = torch.rand(12, 12, generator=g, dtype=torch.float64).clamp(0.01, 0.99).requires_grad_()
    y = torch.rand(12, generator=g) < share
    own = {"margin": margin, "temperature": tau, "gamma": gamma}
    slopes = torch.autograd.grad(plain.emargin_of_cosines(s, y, 4, **own).sum(), s)[0]
    others = ~torch.eye(12, dtype=torch.bool)
    assert (slopes[others] < 0).all()
    repelled = torch.autograd.grad(plain.emargin_of_cosines(s, y, 4, **own, dissimilar_sign=-1).sum(), s)[0]
    block = torch.arange(12) // 4
    far = (block[:, None] != block) & y[:, None]
    assert (repelled[far] > 0).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_total_collapse_is_the_minimum_of_emargin(share: float) -> None:
    """l* = log(1 + (N - 1 - |P|) e^{gamma k(1) / tau} / (|P| e^{1 / tau})) is below any other loss."""
    g = torch.Generator().manual_seed(0)
    y = torch.rand(2, 6, generator=g) < share
    lowest = []
    for b, t in [(b, t) for b in range(2) for t in range(6)]:
        p = 1 if t in (0, 5) else 2
        k = (5.0 - 1) ** 2 / 2 if y[b, t] else -0.5
        lowest.append(math.log1p((12 - 1 - p) * math.exp(0.05 * k / 0.1) / (p * math.exp(1 / 0.1))))
    best = sum(lowest) / 12
    collapsed = torch.ones(2, 6, 3, dtype=torch.float64)
    assert emargin(collapsed, y, margin=5.0, temperature=0.1).item() == pytest.approx(best, rel=1e-12)
    for seed in range(20):
        h = torch.rand(2, 6, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert emargin(h, y, margin=5.0, temperature=0.1).item() > best
