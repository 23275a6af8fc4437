"""What the eMargin release's baselines really do, each claim of docs/methods.md by itself."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from emargin_train.config import TrainConfig
from emargin_train.encoders.dilated import Dilated
from emargin_train.encoders.projector import Projector
from emargin_train.losses import softclt, ts2vec
from emargin_train.losses.cpc import released_frames
from emargin_train.methods import METHODS, cost, simmtm
from emargin_train.methods import infots as infots_method
from emargin_train.methods import ts2vec as ts2vec_method
from emargin_train.methods.base import Batch
from emargin_train.methods.released import ReleasedProjector
from emargin_train.train import State, next_batch, start, train
from emargin_train.views import mf_clr as mf_clr_views
from emargin_train.views.infots import augment
from emargin_train.views.tnc import distant_range
from emargin_train.views.ts2vec import draw_crops
from tests.emargin_train.configs import TRAINED, config
from tests.emargin_train.synthetic import make_splits

SPLITS = make_splits()
RELEASED = [name for name in TRAINED if METHODS[name].encoder_variant == "released"]


def last(name: str, **more: Any) -> State:
    *_, state = train(config(name, **more), SPLITS)
    return state


def fresh(name: str, **more: Any) -> tuple[Any, Batch, torch.Generator]:
    state = start(config(name, **more), SPLITS)
    return state.method.train(), next_batch(state, "cpu"), torch.Generator().manual_seed(0)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_all_eleven_are_there_with_the_weight_decay_that_ran() -> None:
    """The configs say 0 and nobody reads it; PyTorch's default ran."""
    assert len(RELEASED) == 11
    training = [TrainConfig(method=name).training for name in RELEASED]
    assert {(t.weight_decay, t.learning_rate, t.batch_size) for t in training if t} == {(0.01, 1e-3, 8)}
    assert (1 - 1e-3 * 0.01) ** 600 == pytest.approx(0.994, abs=5e-4)


@pytest.mark.parametrize(
    "n_features, plain, behind, dilated",
    [(90, 41_728, 44_224, 642_944), (156, 50_176, 48_448, 647_168), (1502, 222_464, 134_592, 733_312)],
)
def test_sizes_of_the_encoders(n_features: int, plain: int, behind: int, dilated: int) -> None:
    sizes = count(Projector(n_features)), count(ReleasedProjector(n_features)), count(Dilated(n_features))
    assert sizes == (plain, behind, dilated)


def test_sizes_of_what_is_not_trained() -> None:
    """On sleep: more than the encoder itself, which has 41,728 weights."""
    splits = make_splits(2, 1, t=21, f=90)

    def method(name: str) -> Any:
        return start(config(name), splits).method

    assert count(method("tnc-released").critic) == 821_761
    assert count(method("cpc-released").context) == 616_320
    assert count(method("cpc-released").predictor) == 102_720
    assert count(method("simmtm-released").decoder) == 28_890


FROZEN = {
    "tnc-released": ("critic.",),
    "cpc-released": ("context.", "predictor."),
    "simmtm-released": ("decoder.",),
    "cost-released": ("encoder.", "input_fc.", "trend.", "season_"),
    "infots-released": ("logits",),
}


@pytest.mark.parametrize("name", FROZEN)
def test_critics_stay_as_they_were_drawn(name: str) -> None:
    """So the encoders of TNC, CPC and SimMTM are fitted to random critics, and CoST's to nothing."""
    before, after = start(config(name), SPLITS).method.state_dict(), last(name).method.state_dict()
    weights = {key for key in before if key.startswith(FROZEN[name]) and "running" not in key}
    weights -= {key for key in weights if "num_batches" in key}
    assert weights and all(torch.equal(before[key], after[key]) for key in weights)
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved  # another part learns


# TS2Vec and SoftCLT.


def share_aligned(n_frames: int) -> float:
    """(1/(T-1)) sum_m H_m / m: left and eleft are equal for a crop of each length."""
    harmonic = np.cumsum(1 / np.arange(1, n_frames))
    return float((harmonic / np.arange(1, n_frames)).sum() / (n_frames - 1))


def test_crops_of_released_ts2vec_are_aligned_in_few_steps() -> None:
    """9 % at 200 frames, 13 % at 119; else a frame meets another one, 13 later in the median."""
    assert share_aligned(200) == pytest.approx(0.091, abs=5e-4)
    assert share_aligned(119) == pytest.approx(0.128, abs=5e-4)
    generator, n = torch.Generator().manual_seed(0), 4000
    crops = [draw_crops(1, 200, generator) for _ in range(n)]
    shift = np.array([c.second[0] - c.first[0] for c in crops])
    spread = np.sqrt(0.091 * 0.909 / n)
    assert (shift == 0).mean() == pytest.approx(share_aligned(200), abs=4 * spread)
    assert np.median(shift) == pytest.approx(13, abs=2) and shift.mean() == pytest.approx(24.5, abs=2)
    lengths = np.array([[c.first[1] - c.first[0], c.second[1] - c.second[0]] for c in crops])
    padding = 1 - lengths.min(1) / lengths.max(1)
    assert padding.mean() == pytest.approx(0.23, abs=0.02)


def test_released_ts2vec_contrasts_different_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Embeddings that tell their frame's time: index k of the views shows times that differ by the shift."""
    method, batch, generator = fresh("ts2vec-released")
    seen: list[tuple[Tensor, Tensor]] = []
    monkeypatch.setattr(ts2vec_method, "released_contrast", lambda *z: seen.append(z) or z[0].sum())
    clock = torch.arange(20.0)[None, :, None].expand(8, 20, 15)
    method.encoder = nn.Module()
    method.encoder.forward = lambda x, mask: x
    shifts = set()
    for _ in range(30):
        method.loss(dataclasses.replace(batch, x=clock), generator)
        z1, z2 = seen[-1]
        n = min(z1.shape[1], z2.shape[1])
        shift = (z2[:, :n] - z1[:, :n]).unique()
        assert len(shift) == 1 and shift >= 0
        shifts.add(int(shift))
    assert shifts - {0}


def test_released_softclt_is_hard_ts2vec() -> None:
    """With crops cut right; soft targets, which it computes, have no part in the loss."""
    method, batch, _ = fresh("softclt-released")
    torch.manual_seed(0)
    loss = method.loss(batch, torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    crops, z1, z2 = method.crops(batch.x, torch.Generator().manual_seed(1))
    aligned = crops.align(z1, z2)
    assert torch.equal(loss, ts2vec.hierarchical_contrast(*aligned))
    for weights in (torch.eye(8), torch.rand(8, 8)):
        assert torch.equal(loss, softclt.released_contrast(*aligned, weights))
    soft = softclt.soft_contrast(*aligned, instance_weights=torch.full((8, 8), 0.5).fill_diagonal_(1))
    assert not torch.isclose(soft, loss)


# CoST.


def test_released_cost_evaluates_a_random_encoder_with_statistics_of_another_input() -> None:
    first: Any = start(config("cost-released"), SPLITS).method
    method: Any = last("cost-released").method
    trained = [key for key, p in method.named_parameters() if p.requires_grad]
    assert trained == ["head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias"]
    # The encoder of a training that takes no step, but sees the same batches in training mode.
    state = start(config("cost-released", iterations=10), SPLITS)
    idle: Any = state.method.train()
    for _ in range(10):
        batch = next_batch(state, "cpu")
        with torch.no_grad():
            idle.loss(batch, state.generator)
    x = torch.from_numpy(SPLITS.train.x())
    assert torch.equal(method.eval().encode(x), idle.eval().encode(x))
    # BatchNorm's first statistics are of the linear layer's outputs, which evaluation leaves out.
    layer = method.encoder.blocks[0]
    with torch.no_grad():
        seen, evaluated = (
            nn.functional.linear(v.flatten(0, 1), layer.weight[:, :, 0], layer.bias).mean(0)
            for v in (method.input_fc(x), x)
        )
    running = method.encoder.blocks[1].running_mean
    assert (running - seen).norm() < 0.5 * (running - evaluated).norm()
    assert torch.equal(first.encoder.blocks[0].weight, layer.weight)


def test_released_cost_has_one_view_and_draws_once_for_a_batch() -> None:
    method, batch, generator = fresh("cost-released")
    kinds = set()
    for _ in range(40):
        q, k = method.views(batch.x, generator)
        assert torch.equal(q, batch.x)
        kinds.add(torch.equal(k, q))
        two = cost.released_view(torch.ones(2, 1, 15), torch.Generator().manual_seed(7))
    assert kinds == {True, False} and two.shape == (2, 1, 15)
    scaled = [
        cost.released_view(torch.ones(2, 4, 3), torch.Generator().manual_seed(seed)) for seed in range(40)
    ]
    assert any(torch.equal(v[0], v[1]) and not (v == 1).all() for v in scaled)  # alike for all sequences


# InfoTS.


def test_released_infots_mostly_sees_the_same_frames_twice() -> None:
    generator, x = torch.Generator().manual_seed(0), torch.rand(2, 8, 3)
    share = np.mean([augment(x, generator, probability=infots_method.AUGMENTED) is x for _ in range(1000)])
    assert share == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 1000))


def test_released_infots_takes_segments_of_the_first_sequence_alone() -> None:
    """With one segment turned, only the first sequence of a batch changes the local term."""
    method, batch, _ = fresh("infots-released", **{"infots.k": 4})
    method.eval()

    def loss(turned: int | None) -> float:
        x = batch.x.clone()
        if turned is not None:
            x[turned] = x[turned].flip(0)  # its maximum over time, and so the global term, stays
        return float(method.loss(dataclasses.replace(batch, x=x), torch.Generator().manual_seed(1)))

    method.encoder = nn.Module()
    method.encoder.forward = lambda x, mask: x
    assert loss(3) == pytest.approx(loss(None), rel=1e-6) != pytest.approx(loss(0), rel=1e-6)


def test_released_infots_alone_sees_sequences() -> None:
    sees = {name for name in RELEASED if start(config(name), SPLITS).method.sees_sequence}
    assert sees == {"infots-released"}


# MF-CLR.


def test_released_mf_clr_contrasts_channels_and_has_no_guide() -> None:
    method, batch, _ = fresh("mf-clr-released")
    method.eval()  # no dropout
    loss = method.loss(batch, torch.Generator().manual_seed(1))
    view = mf_clr_views.augment(batch.x, torch.Generator().manual_seed(1))
    z1, z2 = method.encoder(batch.x), method.encoder(view)
    u = torch.cat([z1, z2])  # (2B, T, D)
    s = torch.einsum("atd,btd->dab", u, u)
    s.diagonal(0, 1, 2).fill_(-torch.inf)
    other = torch.arange(16).roll(8)
    channels = (s.logsumexp(-1) - s[:, torch.arange(16), other]).mean()
    apart = (z1[:, None] - z2[None]).flatten(2).norm(dim=-1)
    expected = (1 - 1e-5) * channels + 1e-5 * apart.square().mean()
    torch.testing.assert_close(loss, expected)


def test_released_mf_clr_evaluates_the_mean_of_all_iterates() -> None:
    config_ = config("mf-clr-released", report_every=1, iterations=3)
    first: Any = start(config_, SPLITS).method
    weights = [first.encoder.input_fc.weight.detach().clone()]
    for state in train(config_, SPLITS):
        method: Any = state.method
        weights.append(method.encoder.input_fc.weight.detach().clone())
    torch.testing.assert_close(method.average.module.input_fc.weight, torch.stack(weights).mean(0))
    running = "projector.blocks.1.running_mean"
    assert torch.equal(method.average.module.state_dict()[running], method.encoder.state_dict()[running])


# TNC.


@pytest.mark.parametrize("n_frames, used", [(200, {0}), (119, {0, 1})])
def test_released_tnc_uses_the_first_sequence_of_eight(n_frames: int, used: set[int]) -> None:
    """At 119 frames also the start of the second. A frame's value is its sequence here."""
    splits = make_splits(8, 1, t=n_frames, f=4)
    method: Any = start(config("tnc-released", **{"tnc.window": 20}), splits).method.train()
    x = torch.arange(8.0)[:, None, None].expand(8, n_frames, 4)
    seen: list[Tensor] = []
    method.encoder, method.critic = nn.Module(), nn.Module()
    method.encoder.forward = lambda windows: seen.append(windows) or windows
    method.critic.forward = lambda pairs: pairs[:, 0]
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        method.loss(Batch(x, torch.arange(8), torch.zeros(8, n_frames)), generator)
    assert all(windows.shape == (20, 20, 4) for windows in seen)
    assert set(torch.cat(seen).unique().tolist()) == used


@pytest.mark.parametrize("n_frames, distinct, of", [(200, 60, 180), (119, 21, 99)])
def test_released_tnc_has_few_distant_windows(n_frames: int, distinct: int, of: int) -> None:
    """They lie at the ends of a sequence; with 119 frames, 51 of 80 anchors have a single one."""
    anchors = range(40, 120)
    ranges = [distant_range(t, n_frames=n_frames, window=20, delta=100) for t in anchors]
    assert len({c for low, high in ranges for c in range(low, high)}) == distinct
    assert n_frames - 20 == of
    if n_frames == 119:
        assert sum(high - low == 1 for low, high in ranges) == 51


# CPC.


def test_released_cpc_has_its_answer_in_its_context() -> None:
    context, positive, pool = released_frames(200)
    seen = range(200)[context]
    assert positive == 101 and positive in seen
    assert {103, 104} <= set(pool.tolist()) & set(seen)  # negatives are in the context too


def test_released_cpc_asks_about_the_middle_alone() -> None:
    """One query a sequence: a change of the context's frames moves each loss, whatever is drawn."""
    method, batch, _ = fresh("cpc-released")
    x = batch.x.clone().requires_grad_()
    z = method.eval().encoder(x)
    query = method.predictor(method.context(z[:, 10:15])[0][:, -1])
    assert query.shape == (8, 320)
    query.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum((0, 2)).nonzero()[:, 0].tolist() == [10, 11, 12, 13, 14]


# SimMTM.


def test_released_simmtm_rebuilds_its_masked_input_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch, generator = fresh("simmtm-released")
    seen: list[tuple[Tensor, ...]] = []
    real = simmtm.released_loss
    monkeypatch.setattr(simmtm, "released_loss", lambda *parts: seen.append(parts) or real(*parts))
    method.loss(batch, generator)
    ((z, decoded, target),) = seen
    assert z.shape == (4 * 8 * 20, 320) and decoded.shape == target.shape == (4 * 8 * 20, 15)
    assert torch.equal(target[: 8 * 20], batch.x.flatten(0, 1))
    assert (target[8 * 20 :] == 0).float().mean() == pytest.approx(0.5, abs=0.1)  # zeros are rebuilt too
    assert not [key for key, p in method.named_parameters() if p.requires_grad and "encoder" not in key]


# TimeDRL.


def test_released_timedrl_has_one_cls_for_all_sequences() -> None:
    method: Any = last("timedrl-released").method.eval()
    x = torch.from_numpy(SPLITS.train.x())
    with torch.no_grad():
        z = method.encoder(method.tokens(x))
    assert z.shape == (12, 20, 320)
    assert (z[:, 0] - z[0, 0]).abs().max() == 0 and (z[:, 1:] - z[0, 1:]).abs().max() > 0


def test_released_timedrl_is_evaluated_on_an_input_that_it_never_saw() -> None:
    """Training: tokens of normalised patches. Evaluation: raw frames; both have F numbers."""
    method, batch, generator = fresh("timedrl-released")
    seen: list[Tensor] = []
    method.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.loss(batch, generator)
    method.eval()
    method.encode(batch.x)
    *trained, evaluated = seen
    assert len(trained) == 2 and all(t.shape == evaluated.shape == batch.x.shape for t in trained)
    assert torch.equal(evaluated, batch.x)
    assert all((t - evaluated).abs().flatten(0, 1).amin(0).min() > 0 for t in trained)
    assert evaluated.min() >= 0 > min(t.min() for t in trained)  # magnitudes have one sign, tokens both
    assert all(p.requires_grad for p in method.parameters())  # all of it is trained
