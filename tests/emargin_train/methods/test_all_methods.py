"""Checks that every method must pass with every encoder. A new file in their folders is tested at once."""

import copy
import dataclasses
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emargin_train import checkpoint
from emargin_train.config import TrainConfig
from emargin_train.encode import encode
from emargin_train.encoders import ENCODERS
from emargin_train.encoders.base import Encoder
from emargin_train.errors import UserError
from emargin_train.hyperparameters import all_hyperparameters, table
from emargin_train.methods import METHODS
from emargin_train.methods.base import Method, Shape
from emargin_train.methods.one_view import OneView
from emargin_train.settings import ROLES, Setting
from emargin_train.train import Diverged, State, in_float64, next_batch, own_draws, start, train
from emargin_train.train_many import can_stack, train_many
from tests.emargin_train.configs import TRAINED, config
from tests.emargin_train.synthetic import make_splits

SPLITS = make_splits()
SMALL = {
    "dilated.depth": 2,
    "dilated.width": 8,
    "dilated.dim": 16,
}  # fast; the size changes nothing that is tested
# Every method with every encoder that it reads; and with layers that change how it is trained.
CASES: list[tuple[str, dict[str, Any]]] = [
    (name, {"encoder": encoder} | (SMALL if encoder == "dilated" else {}))
    for name, method in METHODS.items()
    for encoder in (ENCODERS if method.uses_encoder else ("projector",))
]
every = pytest.mark.parametrize(
    "name, more", CASES, ids=[f"{name}-{more['encoder']}" for name, more in CASES]
)
TRAINED_CASES = [case for case in CASES if case[0] in TRAINED]
trained = pytest.mark.parametrize(
    "name, more", TRAINED_CASES, ids=[f"{name}-{more['encoder']}" for name, more in TRAINED_CASES]
)


def last(states: Iterator[State]) -> State:
    *_, state = states
    return state


@cache
def whole(case: int) -> State:
    """The last State of a training; nobody changes it."""
    name, more = CASES[case]
    return last(train(config(name, **more), SPLITS))


def same_weights(one: Method, other: Method) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(
        torch.equal(value, theirs[key]) for key, value in mine.items()
    )


def embeddings(method: Method) -> np.ndarray:
    frames = SPLITS.validation
    h = encode(method, frames, np.ones(frames.shape[:2], bool))
    assert isinstance(h, np.ndarray) and h.dtype == np.float32 and np.isfinite(h).all() and h.any()
    return h


@pytest.mark.parametrize(
    "name, encoder", [(name, more["encoder"]) for name, more in CASES if name in TRAINED]
)
def test_loss_and_gradient_are_finite_at_the_papers_size(name: str, encoder: str) -> None:
    """Eight sequences of 200 frames of 90 features, all with labels, with the default settings."""
    splits = make_splits(8, 2, t=200, f=90)
    share = {"label_share": 1.0} if "label_share" in table(name, encoder) else {}
    state = start(TrainConfig.from_dict({"method": name, "encoder": encoder} | share), splits)
    method = state.method.train()
    batch = next_batch(state, "cpu")
    assert batch.x.shape[0] >= 8 and batch.x.shape[1:] == (200, method.seen(splits.train).shape[2])
    loss = method.loss(batch, state.generator)
    loss.backward()
    assert loss.shape == () and loss.isfinite()
    gradients = {key: p.grad for key, p in method.named_parameters() if p.requires_grad}
    assert gradients and all(g is not None and g.isfinite().all() for g in gradients.values())
    assert any(g.any() for g in gradients.values() if g is not None)


@every
def test_equal_seeds_give_equal_runs_and_leave_the_global_generator_alone(
    name: str, more: dict[str, Any]
) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    one = whole(CASES.index((name, more)))
    again = last(train(config(name, **more), SPLITS))
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()
    torch.manual_seed(2)
    third = last(train(config(name, **more), SPLITS))
    for state in (again, third):
        assert state.losses == one.losses and same_weights(state.method, one.method)
    other = last(train(config(name, **more | {"seed": 4}), SPLITS))
    is_random = name in TRAINED or METHODS[name].is_random
    assert same_weights(other.method, one.method) != is_random or not one.method.state_dict()
    assert (embeddings(other.method) == embeddings(one.method)).all() != is_random


@trained
def test_ten_steps_equal_five_and_five(name: str, more: dict[str, Any], tmp_path: Path) -> None:
    expected = whole(CASES.index((name, more)))
    first = next(train(config(name, **more), SPLITS))
    assert first.step == 5
    checkpoint.save(first, tmp_path / "half.pt")
    torch.manual_seed(5)
    resumed = last(train(config(name, **more), SPLITS, resume=tmp_path / "half.pt"))
    assert (resumed.losses, resumed.loss, resumed.step) == (expected.losses, expected.loss, 10)
    assert same_weights(resumed.method, expected.method)
    assert torch.equal(resumed.generator.get_state(), expected.generator.get_state())


@every
def test_what_is_saved_encodes_bit_by_bit(name: str, more: dict[str, Any], tmp_path: Path) -> None:
    """From the file alone: neither the training frames nor the settings are needed beside it."""
    state = whole(CASES.index((name, more)))
    checkpoint.save(state, tmp_path / "end.pt")
    saved = checkpoint.load(tmp_path / "end.pt")
    loaded = TrainConfig.from_dict(saved["config"])
    method = loaded.method_class(loaded.setup(Shape(*saved["shape"]), saved["magnitude_scale"]))
    method.load_state_dict(saved["method"])
    assert (embeddings(method) == embeddings(state.method)).all()


@every
def test_evaluation_depends_on_neither_the_order_nor_the_size_of_batches(
    name: str, more: dict[str, Any]
) -> None:
    method = whole(CASES.index((name, more))).method.eval()
    x = method.to_input(torch.from_numpy(method.seen(SPLITS.train).x()))
    with torch.no_grad():
        h = method.encode(x)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        close = {"rtol": 1e-4, "atol": 1e-5 * float(h.abs().max())}
        torch.testing.assert_close(method.encode(x[order]), h[order], **close)
        torch.testing.assert_close(torch.cat([method.encode(part) for part in x.split(5)]), h, **close)
        assert torch.equal(method.encode(x), h)  # encoding changes nothing


@every
def test_an_encoder_says_whether_it_sees_the_sequence(name: str, more: dict[str, Any]) -> None:
    """A frame-wise one gives a frame the same embedding in any company; another one does not."""
    method = whole(CASES.index((name, more))).method.eval()
    x = method.to_input(torch.from_numpy(method.seen(SPLITS.train).x()))
    with torch.no_grad():
        h = method.encode(x)
        shuffled = method.encode(x.flip(1)).flip(1)
        try:
            alone = method.encode(x.flatten(0, 1)[:, None]).view_as(h)
        except UserError as error:  # it is built for sequences of one length
            assert method.sees_sequence and "give sequences as long as" in str(error)
            alone = torch.full_like(h, torch.inf)
    tolerance = 1e-5 * float(h.abs().max())
    assert torch.allclose(alone, h, rtol=1e-4, atol=tolerance) != method.sees_sequence
    # A method may normalise a sequence by statistics that its order does not change.
    encoder_sees = any(isinstance(layer, Encoder) and layer.sees_sequence for layer in method.modules())
    assert torch.allclose(shuffled, h, rtol=1e-4, atol=tolerance) != encoder_sees


@trained
def test_alone_equals_in_a_stack_where_it_stacks(name: str, more: dict[str, Any]) -> None:
    """In float32 and after ten steps, so closely; `test_train_many` compares in float64."""
    own = more | ({"dilated.dropout": 0} if more["encoder"] == "dilated" else {})
    configs = [config(name, seed=seed, **own) for seed in (0, 1)]
    assert len({can_stack(c) for c in configs}) == 1
    if not can_stack(configs[0]):
        with pytest.raises(ValueError, match="cannot be in one stack"):
            next(train_many(configs, [SPLITS] * 2))
        return
    for i, state in train_many(configs, [SPLITS] * 2):
        if isinstance(state, State) and state.step == 10:
            assert state.losses == pytest.approx(last(train(configs[i], SPLITS)).losses, rel=1e-3)
            assert state.together == 2


@pytest.mark.parametrize("name", METHODS)
def test_what_cannot_be_stacked_is_refused(name: str) -> None:
    """Layers that draw, and methods of zero steps; `can_stack` says so before anything is loaded."""
    method = METHODS[name]
    unfit = config(name, **({"encoder": "dilated"} | SMALL if method.uses_encoder else {}))
    if method.uses_encoder and method.Training is not None:
        assert can_stack(config(name)) == issubclass(method, OneView)
    assert not can_stack(unfit)
    with pytest.raises(ValueError, match="cannot be in one stack"):
        next(train_many([unfit], [SPLITS]))


@pytest.mark.parametrize("name", TRAINED)
def test_labels_are_seen_by_those_alone_that_need_them(name: str) -> None:
    y = np.full_like(SPLITS.train.y, -1)
    hidden = dataclasses.replace(SPLITS, train=dataclasses.replace(SPLITS.train, y=y))
    if METHODS[name].needs_labels:
        with pytest.raises(ValueError, match="no training sequence has a label"):
            next(train(config(name), hidden))
    else:
        blind, seeing = (last(train(config(name, iterations=3), splits)) for splits in (hidden, SPLITS))
        assert blind.losses == seeing.losses


# Hyper-parameters.

READ = [(name, column) for name in METHODS for encoder in ENCODERS for column in table(name, encoder)]
# They change what a training sees or how long it takes, but `load` reads them, or a report.
OF_THE_DATA = {"snr_db"}


@pytest.mark.parametrize("name, column", list(dict.fromkeys(READ)))
def test_every_hyper_parameter_is_live(name: str, column: str) -> None:
    """Another value gives another encoder."""
    if column in OF_THE_DATA:
        assert config(name, **{column: 3.0}).data.flat()[column] == 3.0
        return
    encoder = {"encoder": "dilated"} | SMALL if column.startswith("dilated.") else {}
    base = {"iterations": 3} if name in TRAINED else {}
    if column == "learning_rate" or column == "weight_decay":
        base |= {"learning_rate": 0.01}
    if column == "gate":
        base |= {"margin": 1.0}
    if column == "batch_size" and name == "labels-only":
        base |= {"label_share": 1.0}  # where two sequences are labelled, every batch is both of them
    usual = config(name, **base | encoder)
    value = another(table(name, usual.encoder)[column], usual.to_dict()[column])
    apart = (
        {"dissimilar_share": None} if column == "threshold" and "dissimilar_share" in usual.to_dict() else {}
    )
    changed = usual.changed(**{column: value} | apart)
    one, other = usual_embeddings(usual), embeddings(last(train(changed, SPLITS)).method)
    if column in METHODS[name].without_effect:  # a fault of the released code
        assert (one == other).all()
        return
    if column == "dilated.dropout" and name not in TRAINED:
        assert (one == other).all()  # only training drops anything, and this is not trained
        return
    assert one.shape != other.shape or (one != other).any()


@cache
def usual_embeddings(usual: TrainConfig) -> np.ndarray:
    """Trained once for all hyper-parameters that are compared with it."""
    return embeddings(last(train(usual, SPLITS)).method)


def another(one: Setting, usual: Any) -> Any:
    """A value far from the usual one, inside the domain."""
    if one.column == "batch_size":
        return 3  # less than the 12 training sequences
    if one.choices:
        return next(value for value in reversed(one.choices) if value != usual)
    if one.column == "threshold":
        return 0.95
    if one.column in ("kernel_size", "iterations"):
        return usual + 2
    if one.kind is int:
        return max(one.low, usual - 2) if usual > one.low else usual + 2
    return usual / 2 if usual else 0.5


DECLARED = [
    (f"{name}-{column}", one)
    for name in METHODS
    for encoder in ENCODERS
    for column, one in table(name, encoder).items()
]


@pytest.mark.parametrize("one", dict(DECLARED).values(), ids=dict(DECLARED))
def test_every_hyper_parameter_is_declared_in_full(one: Setting) -> None:
    """Its help is a sentence, it has a title, and it reads what its flag prints."""
    assert one.help[0].isupper() and one.help.endswith(".") and "\n" not in one.help
    assert one.title and one.title[0].isupper() and one.role in ROLES and one.metavar
    assert one.kind is str or one.kind is bool or one.choices or one.why
    values = {one.default, *one.choices} - {None}
    if one.search is not None:
        values |= set(one.search)
        assert one.low <= one.search[0] < one.search[1] <= one.high
        assert not one.log or one.search[0] > 0
    if abs(one.low) < float("inf") and not one.above:
        values.add(one.low)
    for value in values - ({0} if one.column == "kernel_size" else set()):
        kept = one.read(str(value))
        assert kept == value and type(kept) is one.kind and one.checked(value) == kept
    assert one.default is None or type(one.default) is one.kind
    assert one.scale in ("linear", "log", "category")


def test_methods_that_share_a_column_mean_the_same() -> None:
    """A column has one title, kind and flag; its default and its domain may be a method's own."""
    for name in METHODS:
        for encoder in ENCODERS:
            for column, one in table(name, encoder).items():
                first = all_hyperparameters()[column]
                assert (one.title, one.kind, one.flag, one.role) == (
                    first.title, first.kind, first.flag, first.role
                ), (name, column)  # fmt: skip


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_in_float64_gives_the_same_loss(name):
    """So that a loss that is not finite in float32 alone has overflowed; the error message says so.

    Noise that a method draws for its views is another one in float64: such losses are only alike.
    """
    case = next(i for i, (one, _) in enumerate(CASES) if one == name)
    state = copy.deepcopy(whole(case))
    state.method.train()
    batch, drawn = next_batch(state, "cpu"), state.generator.get_state()
    with own_draws(state.method, 3, state.step):
        expected = state.method.loss(batch, state.generator).item()
    remark = in_float64(state, batch, drawn)
    found = float(remark.removeprefix("; in float64 this loss is ").partition(",")[0])
    redrawn = ("cost", "cost-released", "infots", "tf-c")
    assert found == pytest.approx(expected, rel=0.5 if name in redrawn else 1e-3)


def test_a_loss_that_only_overflows_is_told_from_one_that_has_no_value():
    """The released loss with the paper's margin for ECG."""
    small = config("emargin-released", margin=100.0, temperature=0.5)
    with pytest.raises(Diverged, match="in float64 this loss is [0-9.]+, so float32 overflows"):
        last(train(small, SPLITS))
    state = last(train(small.changed(precision="float64"), SPLITS))
    assert state.method.like.dtype == torch.float64 and np.isfinite(state.losses).all()
