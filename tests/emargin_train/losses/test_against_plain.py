"""Fast losses equal loops written from the equations: values to 1e-10, gradients to 1e-8; and gradcheck."""

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from emargin_train.losses import cost, cpc, infots, mf_clr, simmtm, softclt, tnc, ts2vec, two_views
from emargin_train.views import simmtm as simmtm_views
from emargin_train.views import tnc as tnc_views
from tests.emargin_train.losses import plain_baselines as plain


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=g, dtype=torch.float64) * scale).requires_grad_()


def same(fast: Tensor, slow: Tensor, *wrt: Tensor) -> None:
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)
    gradients = [torch.autograd.grad(v, wrt, retain_graph=True) for v in (fast, slow)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("b, t", [(3, 8), (2, 7), (1, 5), (4, 1), (1, 1), (2, 13)])
@pytest.mark.parametrize("alpha, unit", [(0.5, 0), (0.2, 1), (1.0, 0), (0.0, 2)])
def test_ts2vec(b: int, t: int, alpha: float, unit: int) -> None:
    z1, z2 = normal(b, t, 3), normal(b, t, 3, seed=1)
    settings = {"alpha": alpha, "temporal_unit": unit}
    fast = ts2vec.hierarchical_contrast(z1, z2, **settings)
    slow = plain.hierarchical_contrast(z1, z2, **settings) + 0 * (z1.sum() + z2.sum())
    same(fast, slow, z1, z2)


@pytest.mark.parametrize("t", [6, 7])
def test_ts2vec_large_products_that_are_halved(t: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_views, "HALVED_FROM", 2)
    z1, z2 = normal(2, t, 3), normal(2, t, 3, seed=1)
    same(ts2vec.hierarchical_contrast(z1, z2), plain.hierarchical_contrast(z1, z2), z1, z2)


@pytest.mark.parametrize("b, t", [(3, 6), (2, 9), (1, 4), (3, 1)])
def test_softclt(b: int, t: int) -> None:
    z1, z2 = normal(b, t, 3), normal(b, t, 3, seed=1)
    d = normal(b, b, seed=2).detach().abs()
    w = softclt.instance_weights(d, tau=3.0)
    fast = softclt.soft_contrast(
        z1, z2, instance_weights=w, temporal_weights=softclt.sigmoid(0.7, z1), weight=0.3
    )

    def instance(i: int, j: int) -> float:
        return 1.0 if i == j else float(1 / (1 + torch.exp(3.0 * d[i, j])))

    def level(depth: int) -> plain.Weights:
        def weight(i: int, j: int) -> float:
            found = 2 / (1 + math.exp(0.7 * 2**depth * abs(i - j)))
            return found if found >= 1e-6 else 0.0

        return weight

    slow = plain.hierarchical_contrast(z1, z2, alpha=0.3, instance=instance, temporal=level)
    same(fast, slow + 0 * (z1.sum() + z2.sum()), z1, z2)


def test_two_views_of_members_side_by_side_are_those_one_by_one() -> None:
    """Leading dimensions: each member has its own alpha and weights."""
    z1, z2 = normal(3, 4, 6, 5), normal(3, 4, 6, 5, seed=1)
    alpha, tau = torch.tensor([0.1, 0.5, 0.9]).double(), torch.tensor([1.0, 2.0, 9.0]).double()
    w = softclt.instance_weights(torch.rand(4, 4).double(), tau=tau[:, None, None])
    together = softclt.soft_contrast(
        z1,
        z2,
        weight=alpha,
        instance_weights=w,
        temporal_weights=softclt.sigmoid(tau[:, None, None], z1),
    )
    alone = torch.stack(
        [
            softclt.soft_contrast(
                z1[i],
                z2[i],
                weight=alpha[i].item(),
                instance_weights=w[i],
                temporal_weights=softclt.sigmoid(tau[i].item(), z1),
            )
            for i in range(3)
        ]
    )
    torch.testing.assert_close(together, alone)
    gradients = [torch.autograd.grad((v * alpha).sum(), (z1, z2)) for v in (together, alone)]
    torch.testing.assert_close(*gradients)


def test_cost() -> None:
    q, k, queue = normal(4, 5), normal(4, 5, seed=1), normal(5, 8, seed=2)
    same(cost.momentum_contrast(q, k, queue), plain.momentum_contrast(q, k.detach(), queue, 0.07), q, queue)
    for t in (1, 2, 7, 8):
        s, other = normal(3, t, 4), normal(3, t, 4, seed=1)
        fast = sum(cost.season_contrast(s, other))
        parts = zip(plain.amplitude_and_phase(s), plain.amplitude_and_phase(other), strict=True)
        slow = sum(plain.instance_contrast(one, two) for one, two in parts)
        torch.testing.assert_close(fast, slow, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("frame", [0, 1, 5, 8])
def test_cost_trend_at_one_frame_is_that_of_the_whole(frame: int) -> None:
    e = normal(2, 9, 4)
    weights, biases = [normal(3, 4, k, seed=k) for k in (1, 2, 4, 8)], [normal(3, seed=k) for k in range(4)]
    whole = plain.trend(e, weights, biases)
    same(cost.trend_at(e, frame, weights, biases).sum(), whole[:, frame].sum(), e, *weights, *biases)
    same(cost.trend(e, weights, biases).square().sum(), whole.square().sum(), e, *weights, *biases)


@pytest.mark.parametrize("k, t, start", [(2, 7, 1), (3, 9, 0), (4, 9, 1), (8, 16, 0), (9, 9, 0)])
def test_infots(k: int, t: int, start: int) -> None:
    z1, z2 = normal(3, t, 4), normal(3, t, 4, seed=1)
    fast = infots.infots_loss(z1, z2, k=k, start=start, beta=0.7)
    pooled = [[row.max(0).values for row in z] for z in (z1, z2)]
    local = plain.mean([plain.local_contrast(z, k, start) for z in z1])
    same(fast, plain.contrast(*pooled) + 0.7 * local, z1, z2)


@pytest.mark.parametrize("alpha, beta", [(1.0, 1e-5), (0.5, 0.3), (0.2, 1.0)])
def test_mf_clr(alpha: float, beta: float) -> None:
    z1, z2, f = normal(3, 4, 5), normal(3, 4, 5, seed=1), normal(3, 4, 2, seed=2).detach()
    fast = mf_clr.mf_clr_loss(z1, z2, f, alpha=alpha, beta=beta)
    hard = alpha * plain.instance_contrast(z1, z2) + (1 - alpha) * plain.temporal_contrast(z1, z2)
    slow = (1 - beta if beta < 1 else 1) * hard + beta * plain.guide_loss(z1, z2, f)
    same(fast, slow, z1, z2)


def test_tnc_with_all_anchors() -> None:
    h = normal(2 * 11, 3)
    critic = tnc.Critic(normal(12, 6, seed=1), normal(12, seed=2), normal(1, 12, seed=3), normal(1, seed=4))
    g = torch.Generator().manual_seed(0)
    near, distant = tnc_views.draw_pairs(2, 11, g, scale=1.0, count=3)
    fast = tnc.neighbourhood_loss(h, near, distant, critic, weight=0.2)
    parameters = critic.w1, critic.b1, critic.w2, critic.b2
    same(fast, plain.neighbourhood_loss(h, near, distant, *parameters, 0.2), h, *parameters)


def test_tnc_dropout_keeps_the_units_that_the_generator_drew() -> None:
    h = normal(8, 3)
    critic = tnc.Critic(normal(12, 6, seed=1), normal(12, seed=2), normal(1, 12, seed=3), normal(1, seed=4))
    near, distant = tnc_views.draw_pairs(2, 4, torch.Generator().manual_seed(0), scale=0.5, count=2)
    kept = torch.rand(12, generator=torch.Generator().manual_seed(5)) >= 0.5
    assert 0 < kept.sum() < 12
    w2 = critic.w2 * kept / 0.5
    expected = plain.neighbourhood_loss(h, near, distant, critic.w1, critic.b1, w2, critic.b2, 0.05)
    dropped = tnc.neighbourhood_loss(
        h, near, distant, critic, dropout=0.5, generator=torch.Generator().manual_seed(5)
    )
    same(dropped, expected, h, critic.w1, critic.b1, critic.w2, critic.b2)


@pytest.mark.parametrize("b, t, k", [(2, 5, 2), (1, 3, 2), (3, 2, 1)])
def test_cpc(b: int, t: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpc, "QUERIES", 3)
    z, q = normal(b, t, 4), normal(k, b, t, 4, seed=1)
    same(cpc.predictive_contrast(z, q, temperature=0.7), plain.predictive_contrast(z, q, 0.7), z, q)


@pytest.mark.parametrize(
    "n, copies, rebuilt, rows", [(3, 3, 3, 400), (3, 1, 6, 2), (5, 2, 5, 4), (1, 2, 0, 2)]
)
def test_simmtm(n: int, copies: int, rebuilt: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simmtm, "ROWS", rows)
    total = n * (copies + 1)
    s, y = normal(total, 4), normal(total, 2, 3, seed=1)
    settings = {"n_series": n, "temperature": 0.3, "n_rebuilt": rebuilt}
    loss, built = simmtm.contrast_and_rebuild(s, y, **settings)
    if rebuilt == 0:
        assert built.shape == (0, 2, 3)
        settings["n_rebuilt"] = 1
        same(loss, plain.contrast_and_rebuild(s, y, **settings)[0], s)
        return
    slow_loss, slow_built = plain.contrast_and_rebuild(s, y, **settings)
    torch.testing.assert_close(built, slow_built)
    same(loss + built.square().sum(), slow_loss + slow_built.square().sum(), s, y)


def test_simmtm_decodes_before_the_sum_as_after_it() -> None:
    s, y, w, b = normal(8, 4), normal(8, 6, seed=1), normal(2, 6, seed=2), normal(2, seed=3)
    linear = torch.nn.functional.linear
    after = linear(simmtm.contrast_and_rebuild(s, y, n_series=2)[1], w, b)
    before = simmtm.contrast_and_rebuild(s, linear(y, w, b), n_series=2)[1]
    same(before.square().sum(), after.square().sum(), s, y, w, b)


@pytest.mark.parametrize("ratio, length", [(0.5, 3.0), (0.25, 3.0), (0.7, 2.5), (0.5, 1.0)])
def test_simmtm_chain(ratio: float, length: float) -> None:
    u = torch.rand(500, generator=torch.Generator().manual_seed(1))
    found = simmtm_views.keep_chain(u, ratio=ratio, length=length)
    assert found.tolist() == plain.keep_chain(u, ratio, length)


def test_gradients_by_finite_differences() -> None:
    z1, z2, f = normal(3, 5, 4), normal(3, 5, 4, seed=1), normal(3, 5, 2, seed=2).detach()
    w = softclt.instance_weights(
        torch.rand(3, 3, generator=torch.Generator().manual_seed(0)).double(), tau=2.0
    )
    assert gradcheck(lambda a, b: ts2vec.hierarchical_contrast(a, b), (z1, z2))
    assert gradcheck(
        lambda a, b: softclt.soft_contrast(
            a, b, instance_weights=w, temporal_weights=softclt.gaussian(1.0, a)
        ),
        (z1, z2),
    )
    assert gradcheck(lambda a, b: infots.infots_loss(a, b, k=4), (z1, z2))
    assert gradcheck(lambda a, b: mf_clr.mf_clr_loss(a, b, f, beta=0.3), (z1, z2))
    assert gradcheck(lambda a, b: cpc.predictive_contrast(a, b), (z1, normal(2, 3, 5, 4, seed=4)))
    assert gradcheck(lambda a, b: simmtm.contrast_and_rebuild(a, b, n_series=2), (normal(6, 4), normal(6, 3)))
    assert gradcheck(lambda a, b: sum(cost.season_contrast(a, b)), (z1, z2))
