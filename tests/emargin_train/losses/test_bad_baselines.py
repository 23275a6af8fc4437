"""Odd input to the baselines' losses gives a finite value and gradient, or one line that says what to do."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from emargin_train.errors import UserError
from emargin_train.losses import cost, cpc, infots, mf_clr, simmtm, softclt, timedrl, tnc, ts2vec
from emargin_train.views import cost as cost_views
from emargin_train.views import infots as infots_views
from emargin_train.views import mf_clr as mf_clr_views
from emargin_train.views import simmtm as simmtm_views
from emargin_train.views import tnc as tnc_views


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def soft(z1: Tensor, z2: Tensor) -> Tensor:
    w = softclt.instance_weights(softclt.scaled(softclt.cosine_distances(z1.detach())), tau=5.0)
    return softclt.soft_contrast(z1, z2, instance_weights=w, temporal_weights=softclt.sigmoid(1.0, z1))


def cost_all(z1: Tensor, z2: Tensor) -> Tensor:
    q, k = torch.nn.functional.normalize(z1.mean(1) + 1, dim=-1), z2.mean(1)
    queue = torch.randn(z1.shape[-1], 16, generator=generator(), dtype=z1.dtype)
    return cost.cost_loss(q, k, queue, z1, z2)


def tnc_all(z1: Tensor, z2: Tensor) -> Tensor:
    d = z1.shape[-1]
    shapes = (4 * d, 2 * d), (4 * d,), (1, 4 * d), (1,)
    critic = tnc.Critic(*(torch.randn(s, generator=generator(), dtype=z1.dtype) for s in shapes))
    near, distant = tnc_views.draw_pairs(*z1.shape[:2], generator(), scale=0.2)
    return tnc.neighbourhood_loss(
        (z1 + z2).flatten(0, 1), near, distant, critic, dropout=0.5, generator=generator()
    )


def simmtm_all(z1: Tensor, z2: Tensor) -> Tensor:
    s = torch.cat([z1, z2]).flatten(0, 1)
    loss, rebuilt = simmtm.contrast_and_rebuild(s, s, n_series=len(s) // 2)
    return loss + rebuilt.square().mean()


def timedrl_all(z1: Tensor, z2: Tensor) -> Tensor:
    x = timedrl.normalised(z1.detach())
    i1, i2 = (timedrl.instance_embedding(z, "last") for z in (z1, z2))
    instance = timedrl.instance_loss(i1, i2, i1 + 0, i2 + 0)
    return timedrl.predictive_loss(z1, z2, timedrl.patches(x, 1, 1, pad=0)) + instance


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ts2vec": ts2vec.hierarchical_contrast,
    "ts2vec-released": lambda z1, z2: ts2vec.released_contrast(z1, z2[:, : (z2.shape[1] + 1) // 2]),
    "softclt": soft,
    "cost": cost_all,
    "infots": lambda z1, z2: infots.infots_loss(z1, z2, k=2),
    "mf-clr": lambda z1, z2: mf_clr.mf_clr_loss(z1, z2, z1.detach()[..., :1], alpha=0.5, beta=0.5),
    "mf-clr-released": mf_clr.released_loss,
    "tnc": tnc_all,
    "cpc": lambda z1, z2: cpc.predictive_contrast(z1, z2[None]),
    "simmtm": simmtm_all,
    "timedrl": timedrl_all,
}
NEEDS_TWO_FRAMES = ("infots", "tnc", "cpc")


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(4, 9, 6), (1, 8, 5), (3, 1, 4), (1, 1, 3), (2, 2, 1), (2, 7, 12)])
@pytest.mark.parametrize("kind", ["normal", "zero", "constant", "large"])
def test_finite_or_refused_in_one_line(name: str, shape: tuple[int, int, int], kind: str) -> None:
    z1 = torch.randn(shape, generator=generator(1))
    z2 = torch.randn(shape, generator=generator(2))
    if kind == "zero":
        z1, z2 = torch.zeros(shape), torch.zeros(shape)
    elif kind == "constant":
        z1, z2 = torch.full(shape, 0.5), torch.full(shape, 0.5)
    elif kind == "large":
        z1, z2 = 30 * z1, 30 * z2
    z1.requires_grad_(), z2.requires_grad_()
    if shape[1] == 1 and name in NEEDS_TWO_FRAMES:
        with pytest.raises(UserError) as error:
            LOSSES[name](z1, z2)
        assert "\n" not in str(error.value) and "give" in str(error.value)
        return
    loss = LOSSES[name](z1, z2)
    gradients = torch.autograd.grad(loss, (z1, z2), allow_unused=True)
    assert loss.dim() == 0 and loss.isfinite()
    assert all(g is None or g.isfinite().all() for g in gradients) and gradients[0] is not None


@pytest.mark.parametrize("name", [n for n in LOSSES if n != "timedrl"])
def test_one_loss_in_float32_and_float64_at_the_papers_size(name: str) -> None:
    """Not negative embeddings of the encoder's scale; to 1e-4."""
    z1, z2 = (torch.randn(4, 200, 32, generator=generator(i)).relu() for i in (1, 2))
    loss, exact = LOSSES[name](z1, z2), LOSSES[name](z1.double(), z2.double())
    if name in ("tnc", "cost"):  # their own parameters are drawn anew in the other precision
        assert loss.isfinite() and exact.isfinite()
    else:
        assert loss.item() == pytest.approx(exact.item(), rel=1e-4)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "k over T": (lambda: infots.local_contrast(torch.zeros(2, 5, 3), k=8), "k = 8"),
    "k of 1": (lambda: infots.draw_start(9, 1, generator()), "k = 1"),
    "pooling": (
        lambda: infots.global_contrast(torch.zeros(2, 5, 3), torch.zeros(2, 5, 3), pooling="x"),
        "max",
    ),
    "fewer bins than groups": (lambda: mf_clr.feature_groups(12, 2, 3), "2 bins"),
    "T other than CoST's": (
        lambda: cost.season(torch.zeros(2, 7, 3), torch.zeros(5, 3, 2).cfloat(), torch.zeros(5, 2).cfloat()),
        "8 or 9 frames",
    ),
    "queue": (lambda: cost.enqueue(torch.zeros(4, 2), 0, torch.zeros(3, 4)), "queue of 2"),
    "scaling": (lambda: softclt.scaled(torch.zeros(3, 3), scaling="rows"), "rows"),
    "one frame": (lambda: tnc_views.draw_pairs(8, 1, generator()), "sequence length"),
    "nothing distant": (lambda: tnc_views.draw_pairs(1, 20, generator(), scale=5.0), "scale of at most 2"),
    "steps ahead": (
        lambda: cpc.predictive_contrast(torch.zeros(2, 3, 4), torch.zeros(3, 2, 3, 4)),
        "3 frames ahead",
    ),
    "released CPC": (lambda: cpc.released_frames(5), "6 frames"),
    "cold": (
        lambda: simmtm.contrast_and_rebuild(torch.ones(4, 2), torch.ones(4, 2), n_series=2, temperature=0.01),
        "0.025 or more",
    ),
    "patches": (lambda: timedrl.patches(torch.zeros(2, 3, 1), 10, 1), "10 frames"),
    "instance": (lambda: timedrl.instance_embedding(torch.zeros(2, 3, 1), "first"), "gap"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line_with_the_remedy(name: str) -> None:
    run, part = REFUSED[name]
    with pytest.raises(UserError) as error:
        run()
    message = str(error.value)
    assert part in message and "\n" not in message and "give" in message


@pytest.mark.parametrize("n_channels, n_bins", [(1, 90), (12, 26), (2, 751), (1, 3), (6, 4)])
def test_groups_hold_every_feature_once_and_each_channel_evenly(n_channels: int, n_bins: int) -> None:
    groups = mf_clr.feature_groups(n_channels, n_bins, 3)
    assert sorted(i for group in groups for i in group) == list(range(n_channels * n_bins))
    assert all(len(group) >= n_channels and len(group) % n_channels == 0 for group in groups)
    highest = [max(i % n_bins for i in group) for group in groups]
    assert highest == sorted(highest) and highest[-1] == n_bins - 1


@pytest.mark.parametrize("shape", [(3, 1, 4), (1, 2, 1), (2, 7, 12), (8, 200, 3)])
@pytest.mark.parametrize("x", [0.0, 1.0])
def test_views_of_constant_features_are_finite(shape: tuple[int, int, int], x: float) -> None:
    frames, g = torch.full(shape, x), generator()
    views = [cost_views.augment(frames, g), mf_clr_views.augment(frames, g)]
    views += [infots_views.augment(frames, g, probability=1.0)]
    views += [a(frames, g) for a in infots_views.augmentations()]
    for view in views:
        assert view.shape == shape and view.isfinite().all()
    masked, keep = simmtm_views.masked_copies(frames, g)
    assert masked.shape == keep.shape == (4 * shape[0], *shape[1:]) and masked.isfinite().all()


def test_simmtm_normalises_a_series_that_is_masked_whole_to_zero() -> None:
    x, keep = torch.randn(2, 5, 3, generator=generator()), torch.ones(2, 5, 3)
    keep[1, :, 2] = 0
    found, mean, sd = simmtm.masked_normalisation(x, keep)
    assert found.isfinite().all() and (found[1, :, 2] == 0).all() and mean[1, 0, 2] == 0
    assert found[0].mean(0).abs().max() < 1e-5 and sd[0].min() > 0
