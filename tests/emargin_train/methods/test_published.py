"""The published forms: own encoders, hidden latents, averages, schedules, a queue, a [CLS] token."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from emargin_train.config import TrainConfig
from emargin_train.encoders.dilated import Dilated
from emargin_train.errors import UserError
from emargin_train.methods import METHODS
from emargin_train.methods.base import Shape
from emargin_train.train import State, next_batch, start, train
from emargin_train.variants import find_variant
from tests.emargin_train.configs import TRAINED, config
from tests.emargin_train.synthetic import make_splits

SPLITS = make_splits()
PUBLISHED = [name for name in TRAINED if METHODS[name].encoder_variant == "published"]
AVERAGED = [name for name in PUBLISHED if "iterate" in TrainConfig(method=name).hyperparameters()]


def last(name: str, **more: Any) -> State:
    *_, state = train(config(name, **more), SPLITS)
    return state


def test_which_are_there_and_why_others_are_not() -> None:
    names = "cost cpc mf-clr simmtm softclt timedrl tnc ts2vec".split()
    assert sorted(PUBLISHED) == [f"{name}-published" for name in names]
    assert AVERAGED == [f"{name}-published" for name in "mf-clr softclt ts2vec".split()]
    with pytest.raises(UserError, match="its meta steps, which learn the weights of the augmentations"):
        find_variant("infots", "published")


@pytest.mark.parametrize(
    "name, encoder", [("ts2vec", (10, 64, 320)), ("softclt", (10, 64, 320)), ("mf-clr", (4, 128, 64))]
)
def test_encoders_have_their_published_sizes(name: str, encoder: tuple[int, int, int]) -> None:
    settings: Any = TrainConfig(method=f"{name}-published").encoder_settings
    assert (settings.depth, settings.width, settings.dim, settings.dropout) == (*encoder, 0.1)


def test_training_is_as_published() -> None:
    """What the official programs do by default."""
    found = {name: TrainConfig(method=name).training for name in PUBLISHED}
    own = {
        name: (t.learning_rate, t.weight_decay, t.batch_size) for name, t in found.items() if t is not None
    }
    assert own == {
        "cost-published": (1e-3, 1e-4, 8),
        "cpc-published": (2e-4, 0.0, 64),
        "simmtm-published": (1e-4, 0.0, 32),
        "tnc-published": (1e-3, 1e-5, 10),
        "mf-clr-published": (1e-3, 0.01, 32),
        "softclt-published": (1e-3, 0.01, 8),
        "timedrl-published": (1e-3, 1e-3, 32),
        "ts2vec-published": (1e-3, 0.01, 8),
    }


@pytest.mark.parametrize("name", AVERAGED)
def test_the_mean_of_all_iterates_is_evaluated(name: str) -> None:
    """The initial weights count as one of them."""
    more = config(name, report_every=1, iterations=3)

    def weights(method: Any) -> list[Tensor]:
        part = method.encoders if name.startswith("mf") else method.encoder
        return [p.detach().clone() for p in part.parameters()]

    iterates = [weights(start(more, SPLITS).method)]
    for state in train(more, SPLITS):
        method: Any = state.method
        iterates.append(weights(method))
    assert int(method.average.n_averaged) == 4
    for kept, *found in zip(method.average.module.parameters(), *iterates, strict=True):
        torch.testing.assert_close(kept, torch.stack(found).mean(0))
    x = torch.from_numpy(SPLITS.train.x())
    mean, final = (last(name, iterations=3, iterate=which).method.eval() for which in ("mean", "last"))
    with torch.no_grad():
        assert not torch.equal(mean.encode(x), final.encode(x))
        torch.testing.assert_close(mean.encode(x), method.eval().encode(x))


@pytest.mark.parametrize("name", ["ts2vec-published", "softclt-published"])
def test_latents_are_hidden_in_training_alone(name: str) -> None:
    """Half of them; the rest of the network sees a zero where the linear layer would have its bias."""
    state = start(config(name, **{"dilated.dropout": 0}), SPLITS)
    method: Any = state.method.train()
    seen: list[Tensor] = []
    method.encoder.blocks.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.average.module.blocks.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for _ in range(10):
        method.loss(next_batch(state, "cpu"), state.generator)
    hidden = torch.cat([(h == 0).all(1).flatten() for h in seen]).float().mean()
    assert hidden == pytest.approx(0.5, abs=0.1)
    seen.clear()
    method.eval().encode(torch.from_numpy(SPLITS.train.x()))
    assert len(seen) == 1 and not (seen[0] == 0).all(1).any()


@pytest.mark.parametrize("name", [*AVERAGED, "cost-published"])
def test_features_are_standardised_and_the_statistics_are_kept(name: str) -> None:
    """A feature on another scale is embedded alike; a checkpoint needs no training frames."""
    one: Any = start(config(name), SPLITS).method.eval()
    scale = torch.linspace(0.5, 20, 15)
    train_ = dataclasses.replace(SPLITS.train, store=SPLITS.train.store * scale.numpy())
    other: Any = start(config(name), dataclasses.replace(SPLITS, train=train_)).method.eval()
    x = torch.from_numpy(SPLITS.train.x())
    with torch.no_grad():
        torch.testing.assert_close(one.encode(x), other.encode(x * scale), rtol=1e-3, atol=1e-4)
    assert {"standardise.mean", "standardise.deviation"} <= set(one.state_dict())


ON_SAMPLES = ("cpc-published", "simmtm-published", "tnc-published")


@pytest.mark.parametrize("name, dim", list(zip(ON_SAMPLES, (512, 1280, 10), strict=True)))
def test_encoders_on_samples_have_their_published_sizes(name: str, dim: int) -> None:
    """For sleep's frames of 178 samples; the CPC encoder makes one value of each channel from 160 samples."""
    method: Any = start(TrainConfig(method=name), make_splits(2, 1, t=20, f=89)).method.eval()
    assert method.standardise.mean.shape == (178,) and method.encoder.dim == dim
    assert method.encode(torch.zeros(1, 3, 178)).shape == (1, 3, dim)
    if name == "cpc-published":
        assert method.encoder.layers(torch.zeros(1, 1, 178)).shape == (1, 512, 1)
    for length in (1, 2, 5, 50, 1500):  # of any other length, too
        other = METHODS[name].own_encoder(2 * length, None, 2).eval()  # type: ignore[call-arg, misc]
        assert other(torch.randn(1, 2, 2 * length)).isfinite().all()


@pytest.mark.parametrize("name", ON_SAMPLES)
def test_samples_are_standardised_channel_by_channel(name: str) -> None:
    splits = dataclasses.replace(make_splits(), n_channels=2)
    method: Any = start(config(name), splits).method
    x = torch.from_numpy(method.seen(splits.train).x()).double().unflatten(-1, (2, 15))
    found = method.standardise(x.flatten(2)).unflatten(-1, (2, 15))
    whole = x.movedim(2, 0).flatten(1)
    expected = (x - whole.mean(1)[:, None]) / whole.std(1, correction=0)[:, None]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ON_SAMPLES)
def test_learning_rates_on_samples(name: str) -> None:
    states = train(config(name, iterations=60, batch_size=2, report_every=1), make_splits(4, 2))
    rates = {s.step: s.optimizer.param_groups[0]["lr"] for s in states if s.optimizer is not None}
    expected = {
        "cpc-published": {1: 2e-4 * 2 / 50, 24: 1e-4, 49: 2e-4, 60: 2e-4},
        "simmtm-published": {1: 1e-4 * (1 + math.cos(math.pi / 60)) / 2, 30: 5e-5, 60: 0.0},
        "tnc-published": {1: 1e-3, 60: 1e-3},
    }[name]
    assert {step: rates[step] for step in expected} == pytest.approx(expected, abs=1e-12)


def test_tnc_encodes_the_frames_of_its_pairs_alone() -> None:
    method: Any = start(config("tnc-published", **{"tnc.pairs": 3}), SPLITS).method.train()
    state = start(config("tnc-published"), SPLITS)
    batch, seen = next_batch(state, "cpu"), []
    method.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    for _ in range(20):
        method.loss(batch, state.generator)
    assert len(batch.x) < min(seen) and max(seen) <= len(batch.x) * 7  # an anchor and six others


def test_cpc_finds_the_context_of_a_target_among_the_batch() -> None:
    """By loops: z_{t+k} of each sequence against the queries of all."""
    method: Any = start(config("cpc-published"), SPLITS).method.eval()
    state = start(config("cpc-published"), SPLITS)
    batch = next_batch(state, "cpu")
    found = method.loss(batch, torch.Generator().manual_seed(4))
    now = int(torch.randint(20 - 4, (), generator=torch.Generator().manual_seed(4)))
    z = method.encode(batch.x)
    c = method.context(z[:, : now + 1])[1][0]
    q = method.predictors(c).view(len(c), 4, -1)
    losses = [
        torch.logsumexp(torch.stack([z[b, now + k] @ q[other, k - 1] for other in range(len(z))]), 0)
        - z[b, now + k] @ q[b, k - 1]
        for k in range(1, 5)
        for b in range(len(z))
    ]
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_simmtm_rebuilds_one_frame_of_each_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Tensor] = {}

    def masked(x: Tensor, *_: Any, copies: int, **__: Any) -> tuple[Tensor, None]:
        seen["series"] = x
        return x.repeat(copies + 1, 1, 1), None

    monkeypatch.setattr("emargin_train.methods.simmtm.masked_copies", masked)
    state = start(config("simmtm-published"), SPLITS)
    method: Any = state.method.train()
    batch = next_batch(state, "cpu")
    assert method.loss(batch, state.generator).isfinite()
    x = method.standardise(batch.x)
    rows = [(row[:, None] == one).all(-1).any() for row, one in zip(x, seen["series"][..., 0], strict=True)]
    assert seen["series"].shape == (len(batch.x), 30, 1) and all(rows)


def test_cost_follows_a_cosine_to_zero_by_sgd_with_momentum() -> None:
    more = config("cost-published", report_every=1)
    first = start(more, SPLITS)
    assert isinstance(first.optimizer, torch.optim.SGD)
    assert first.optimizer.param_groups[0]["momentum"] == 0.9
    rates = [s.optimizer.param_groups[0]["lr"] for s in train(more, SPLITS) if s.optimizer is not None]
    expected = [1e-3 * (1 + math.cos(math.pi * step / 10)) / 2 for step in range(1, 11)]
    assert rates == pytest.approx(expected, abs=1e-12)


def test_cost_embeds_trend_and_season_for_one_number_of_frames() -> None:
    method: Any = last("cost-published", iterations=2).method.eval()
    x = torch.from_numpy(SPLITS.train.x())
    with torch.no_grad():
        e = method.embedded(method.standardise(x))
        h = method.encode(x)
        layers = list(method.trend)
        slow = torch.stack([
            torch.stack([
                layer.bias + sum(
                    layer.weight[:, :, m] @ e[0, t - layer.kernel_size[0] + 1 + m]
                    for m in range(layer.kernel_size[0]) if t - layer.kernel_size[0] + 1 + m >= 0
                )
                for layer in layers
            ]).mean(0)
            for t in range(20)
        ])  # fmt: skip
    torch.testing.assert_close(h[0, :, :8], slow, rtol=1e-4, atol=1e-5)
    assert h.shape == (12, 20, 16)
    with pytest.raises(UserError, match="built for sequences of 20 or 21 frames, but these have 19: give"):
        method.encode(x[:, :19])


def test_mf_clr_lowers_its_rate_every_ten_epochs() -> None:
    """An epoch is one step here: a batch holds all 12 sequences."""
    more = config("mf-clr-published", report_every=1, iterations=21)
    rates = [s.optimizer.param_groups[0]["lr"] for s in train(more, SPLITS) if s.optimizer is not None]
    assert rates == pytest.approx([1e-3] * 9 + [0.7e-3] * 10 + [0.49e-3] * 2)


def test_mf_clr_widens_block_by_block() -> None:
    method: Any = start(config("mf-clr-published", **{"mf_clr.groups": 4}), SPLITS).method
    assert [encoder.dim for encoder in method.encoders] == [16, 16 + 32, 16 + 64]
    assert all(isinstance(encoder, Dilated) for encoder in method.encoders)


def test_cls_of_published_timedrl_knows_its_sequence() -> None:
    """Unlike the released one; and a frame's embedding is that of its token."""
    method: Any = last("timedrl-published", iterations=2).method.eval()
    x = torch.from_numpy(method.seen(SPLITS.train).x())
    with torch.no_grad():
        h, cls = method.passed(x)
        assert (cls - cls[0]).abs().max() > 1e-3
        assert torch.equal(method.encoder(x), h) and h.shape == (12, 20, 8)
        later = x.clone()
        later[:, -1] += 1
        assert ((method.encoder(later) - h)[:, 0] != 0).any()  # the first frame sees the last one


def test_published_timedrl_normalises_each_channel_over_a_sequence() -> None:
    splits = dataclasses.replace(SPLITS, n_channels=3)
    method: Any = start(config("timedrl-published"), splits).method
    x = torch.from_numpy(method.seen(SPLITS.train).x()).double()
    found = method.normalised(x)
    for channel in (slice(0, 10), slice(10, 20), slice(20, 30)):
        one = x[1, :, channel]
        expected = (one - one.mean()) / (one.var(correction=0) + 1e-5).sqrt()
        torch.testing.assert_close(found[1, :, channel], expected)


def test_the_transformer_is_post_norm_with_gelu() -> None:
    state = start(config("timedrl-published"), SPLITS)
    encoder: Any = state.method.encoder
    layer = encoder.layers.layers[0]
    assert not layer.norm_first and layer.activation is nn.functional.gelu
    assert layer.linear1.out_features == 4 * encoder.dim and isinstance(encoder.layers.norm, nn.LayerNorm)
    full = TrainConfig(method="timedrl-published")
    assert full.setup(Shape(20, 15, 3), 1.0).new_encoder().dim == 128
