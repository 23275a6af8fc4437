"""What each baseline does besides its loss: heads that learn, momentum copies, groups, normalisation."""

import dataclasses
from typing import Any

import pytest
import torch

from emargin_train.config import TrainConfig
from emargin_train.errors import UserError
from emargin_train.losses.cpc import predictive_contrast
from emargin_train.losses.unit import unit
from emargin_train.methods import METHODS, softclt, tf_c
from emargin_train.methods.pretext import Pretext, Standardise, beside
from emargin_train.settings import hyperparameters
from emargin_train.train import State, next_batch, start, train
from emargin_train.train_many import can_stack
from tests.emargin_train.configs import TRAINED, config
from tests.emargin_train.synthetic import make_splits

SPLITS = make_splits()
BASELINES = [
    name for name in TRAINED if METHODS[name].order == 1 and METHODS[name].encoder_variant == "shared"
]
FORMS = [name for name in TRAINED if METHODS[name].variant_of in BASELINES]


def last(name: str, **more: Any) -> State:
    *_, state = train(config(name, **more), SPLITS)
    return state


def test_the_nine_of_the_paper_are_there() -> None:
    nine = "ts2vec softclt cost infots mf-clr tnc cpc simmtm timedrl".split()
    assert set(nine) <= set(BASELINES)
    assert {METHODS[name].variant_of for name in FORMS} == set(nine)


@pytest.mark.parametrize("name", BASELINES + FORMS)
def test_every_trained_weight_moves_and_is_kept(name: str) -> None:
    """Heads, critics and decoders are trained; those that the eMargin release leaves as drawn stay so."""
    before = dict(start(config(name), SPLITS).method.named_parameters())
    after = last(name, iterations=5).method
    kept = after.state_dict()
    for key, weight in after.named_parameters():
        assert key in kept
        assert torch.equal(weight, before[key]) != (
            weight.requires_grad or key.startswith(("copy.", "average."))
        ), key


@pytest.mark.parametrize("name", BASELINES)
def test_a_search_range_is_declared(name: str) -> None:
    """Each method has settings of its own that a study searches."""
    own = hyperparameters(METHODS[name].Settings).values()
    assert any(one.search is not None and one.role == "scientific" for one in own)


def test_softclt_without_soft_targets_is_ts2vec() -> None:
    hard = last("softclt", **{"softclt.tau_instance": 0, "softclt.tau_temporal": 0, "iterations": 3})
    assert hard.losses == last("ts2vec", iterations=3).losses
    for column in ("softclt.tau_instance", "softclt.tau_temporal"):
        assert last("softclt", **{column: 0, "iterations": 3}).losses != hard.losses


def test_softclt_takes_the_targets_of_the_sequences_in_the_batch() -> None:
    """Distances that are all 0 but for one pair: the loss knows whether that pair is in the batch."""
    state = start(config("softclt", batch_size=2), SPLITS)
    method: Any = state.method.eval()
    x = torch.from_numpy(SPLITS.train.x([3, 5]))
    method.distances = torch.zeros(12, 12)
    method.distances[3, 5] = method.distances[5, 3] = 1.0

    def loss(*index: int) -> float:
        batch = dataclasses.replace(next_batch(state, "cpu"), x=x, index=torch.tensor(index))
        return method.loss(batch, torch.Generator().manual_seed(0)).item()

    assert loss(3, 5) == loss(5, 3) != loss(1, 2) == loss(5, 1)


def test_softclt_refuses_too_many_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softclt, "MOST_SEQUENCES", 11)
    with pytest.raises(UserError, match="12 training sequences.*softclt.tau_instance 0"):
        start(config("softclt"), SPLITS)
    start(config("softclt", **{"softclt.tau_instance": 0}), SPLITS)


def test_the_momentum_copy_and_the_queue_of_cost() -> None:
    first = start(config("cost"), SPLITS).method
    state = next(train(config("cost", iterations=1), SPLITS))
    method: Any = state.method
    for i, part in enumerate(method._copied()):
        own = dict(part.named_parameters())
        begin = dict(first._copied()[i].named_parameters())  # type: ignore[operator]
        for key, kept in method.copy[i].named_parameters():
            assert not kept.requires_grad
            torch.testing.assert_close(kept, 0.999 * begin[key] + 0.001 * own[key])
    queue = method.queue
    torch.testing.assert_close(queue.norm(dim=0), torch.ones(256))
    assert int(method.place) == 8 and torch.equal(queue[:, :8].T, method.keys)
    assert torch.equal(queue[:, 8:], first.queue[:, 8:])
    assert int(last("cost", **{"cost.queue_size": 9}).method.place) == 80 % 9  # type: ignore[arg-type]
    with pytest.raises(UserError, match="queue_size is 7, but a step adds 8"):
        start(config("cost", **{"cost.queue_size": 7}), SPLITS)


def test_the_groups_of_mf_clr_are_of_each_channels_bins() -> None:
    two = dataclasses.replace(SPLITS, n_channels=3)  # 15 features: 5 bins a channel
    method: Any = start(config("mf-clr"), two).method
    assert [len(group) for group in method.groups] == [6, 3, 6]
    assert method.groups[0] == [0, 1, 5, 6, 10, 11] and method.groups[1] == [2, 7, 12]
    h = method.eval().encode(torch.rand(2, 4, 15))
    assert h.shape == (2, 4, 320 + 32)


def test_a_block_of_mf_clr_does_not_train_the_one_before() -> None:
    state = start(config("mf-clr", **{"mf_clr.beta": 0, "mf_clr.groups": 3}), SPLITS)
    method: Any = state.method.train()
    batch = next_batch(state, "cpu")
    torch.manual_seed(0)
    method.loss(batch, torch.Generator().manual_seed(1)).backward()
    both = [p.grad.clone() for p in method.encoders[0].parameters()]
    with torch.no_grad():
        for p in method.encoders[1].parameters():
            p.mul_(2)
    method.zero_grad()
    torch.manual_seed(0)
    method.loss(batch, torch.Generator().manual_seed(1)).backward()
    assert all(torch.equal(p.grad, g) for p, g in zip(method.encoders[0].parameters(), both, strict=True))


@pytest.mark.parametrize("score", ["dot", "cosine"])
def test_cpc_predicts_with_one_layer_for_each_step_ahead(score: str) -> None:
    state = start(config("cpc", **{"cpc.score": score, "cpc.steps": 3}), SPLITS)
    method: Any = state.method.eval()
    batch = next_batch(state, "cpu")
    z = method.encoder(batch.x)
    context = method.context(z)[0]
    d = z.shape[-1]
    weight, bias = method.predictors.weight, method.predictors.bias
    queries = torch.stack(
        [context @ weight[k * d : (k + 1) * d].T + bias[k * d : (k + 1) * d] for k in range(3)]
    )
    expected = (
        predictive_contrast(unit(z), unit(queries)) if score == "cosine" else predictive_contrast(z, queries)
    )
    torch.testing.assert_close(method.loss(batch, torch.Generator()), expected)


def test_the_context_of_cpc_does_not_see_what_it_predicts() -> None:
    method: Any = start(config("cpc"), SPLITS).method.eval()
    x = torch.from_numpy(SPLITS.train.x())
    later = x.clone()
    later[:, 10:] += 1
    one, other = (method.context(method.encoder(v))[0][:, :10] for v in (x, later))
    assert torch.equal(one, other)


@pytest.mark.parametrize("instances", ["series", "frames"])
def test_simmtm_may_decode_before_or_after_the_sum(instances: str) -> None:
    """A frame of more features than dimensions is decoded after; the loss is the same."""
    more = {"encoder": "dilated", "dilated.depth": 1, "dilated.width": 4, "simmtm.instances": instances}
    losses = []
    for dim in (15, 14):  # 15 features
        state = start(config("simmtm", **more | {"dilated.dim": dim, "dilated.dropout": 0}), SPLITS)
        method: Any = state.method.eval()
        batch = next_batch(state, "cpu")
        value = method.loss(batch, torch.Generator().manual_seed(0))
        if dim == 15:
            losses.append(value)
            method.decoder.in_features = 14  # the branch is chosen by the widths
            losses.append(method.loss(batch, torch.Generator().manual_seed(0)))
        assert value.isfinite()
    torch.testing.assert_close(losses[0], losses[1])


def test_timedrl_normalises_each_sequence_in_evaluation() -> None:
    method: Any = last("timedrl", iterations=2).method.eval()
    x = torch.from_numpy(SPLITS.train.x())
    with torch.no_grad():
        h = method.encode(x)
        scaled = method.encode(x * 3 + torch.arange(15))
        single = method.encode(x[:, :1])
    torch.testing.assert_close(scaled, h, rtol=1e-3, atol=1e-3)
    assert method.sees_sequence and (single == single[:1]).all()  # one frame alone is 0 whatever it was


def test_features_are_standardised_over_the_training_frames() -> None:
    method = start(config("simmtm"), SPLITS).method
    standardise: Any = method.standardise
    x = torch.from_numpy(SPLITS.train.x())
    y = standardise(x).flatten(0, 1)
    torch.testing.assert_close(y.mean(0), torch.zeros(15), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.std(0, correction=0), torch.ones(15))
    torch.testing.assert_close(standardise.inverse(standardise(x)), x)
    constant = dataclasses.replace(SPLITS.train, store=SPLITS.train.store * 0 + 5)
    again = Standardise(15)
    again.fit(method, constant)
    assert (again.deviation == 1).all() and (again.mean == 5).all()


def test_draws_on_another_device_follow_the_generator() -> None:
    """Here both are on the CPU: the generator is used as it is."""
    generator = torch.Generator().manual_seed(3)
    assert beside(torch.zeros(1), generator) is generator


def test_baselines_declare_that_they_do_not_stack() -> None:
    assert not any(can_stack(TrainConfig(method=name)) for name in BASELINES + FORMS)
    assert all(issubclass(METHODS[name], Pretext) for name in BASELINES if name != "mf-clr")


def test_tf_c_is_its_equations() -> None:
    """Each contrast as a mean over the vectors of both views, the agreement as three differences."""
    method: Any = start(config("tf-c", temperature=0.3, **{"tf_c.weight": 0.2}), SPLITS).method
    a, b = torch.randn(2, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u = unit(torch.cat([a, b]))
    cosine = u @ u.T / 0.3
    each = [
        cosine[i, [j for j in range(10) if j != i]].logsumexp(0) - cosine[i, (i + 5) % 10] for i in range(10)
    ]
    torch.testing.assert_close(method.apart(a, b), torch.stack(each).mean())
    said = iter([0.5, 0.25, 2.0, 1.0, 2.0, 3.0, 2.0, 5.0])  # within time and frequency, then S and each pair
    method.apart = lambda *_: torch.tensor(next(said))
    state = start(config("tf-c"), SPLITS)
    loss = method.loss(next_batch(state, "cpu"), torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx(0.2 * 0.75 + 0.8 * (2 - 1 + 2 - 3 + 2 - 5))


def test_tf_c_takes_amplitudes_over_time_and_alters_a_share_of_them() -> None:
    amplitude = torch.rand(4, 500, 3) + 0.1
    changed = tf_c.altered(amplitude, torch.Generator().manual_seed(0), share=0.2)
    lost, gained = changed < 0.1, changed > amplitude
    assert lost.float().mean() == pytest.approx(0.2 * 0.98, abs=0.03)  # a few of those gain at once
    assert gained.float().mean() == pytest.approx(0.2 * 0.8, abs=0.03)
    assert (changed - amplitude).max() <= 0.1 * amplitude.max() + 1e-6
    method: Any = start(config("tf-c"), SPLITS).method
    seen: list[torch.Tensor] = []
    method.of_frequencies.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = next_batch(start(config("tf-c"), SPLITS), "cpu")
    method.loss(batch, torch.Generator().manual_seed(0))
    x = method.standardise(batch.x)
    assert seen[0].shape == (8, 11, 15)
    torch.testing.assert_close(seen[0][:, 0], x.sum(1).abs() / 20**0.5, rtol=1e-4, atol=1e-5)
