"""Controls for what labels add: shuffled and hidden labels, and the same labels without eMargin."""

import numpy as np
import pytest
import torch

from emargin_train.errors import UserError
from emargin_train.methods.labelled import shuffled
from emargin_train.train import next_batch, start, train
from emargin_train.train_many import can_stack
from tests.emargin_train.configs import config
from tests.emargin_train.synthetic import make_splits

SEMI = ["emargin-semi", "infonce-semi"]


@pytest.fixture(scope="module")
def small():
    return make_splits(12, t=8)


def of(method: str, **own: object):
    return config(method, iterations=3, batch_size=4, label_share=0.5, **own)


@pytest.mark.parametrize("method", SEMI)
def test_hidden_labels_leave_the_same_sequences_in_the_contrast(method, small):
    """The batches are the same; the loss is that of the method without labels."""
    seen, hidden = (start(of(method, label_control=c), small) for c in ("none", "hidden"))
    for _ in range(3):
        a, b = next_batch(seen, "cpu"), next_batch(hidden, "cpu")
        assert torch.equal(a.index, b.index)
    assert hidden.method.n_labelled == 0
    assert hidden.method.n_plain == seen.method.n_plain + seen.method.n_labelled
    plain = start(config(method.removesuffix("-semi"), batch_size=4), small)
    plain.method.n_plain = hidden.method.n_plain
    plain.method.load_state_dict(hidden.method.state_dict())
    batch = next_batch(hidden, "cpu")
    generator = torch.Generator().manual_seed(0)
    assert hidden.method.loss(batch, generator) == plain.method.loss(batch, generator)


@pytest.mark.parametrize("method", [*SEMI, "labels-only"])
def test_shuffled_labels_are_the_same_labels_elsewhere(method, small):
    right, wrong = (start(of(method, label_control=c), small) for c in ("none", "shuffled"))
    assert np.array_equal(right.method.labelled, wrong.method.labelled)
    chosen = right.method.labelled
    y, mixed = small.train.y, wrong.method.shuffled.numpy()
    assert not np.array_equal(y[chosen], mixed[chosen])
    assert np.array_equal(np.sort(y[chosen], axis=None), np.sort(mixed[chosen], axis=None))
    assert np.array_equal(y[chosen] < 0, mixed[chosen] < 0)
    others = np.setdiff1d(np.arange(len(y)), chosen)
    assert np.array_equal(y[others], mixed[others])
    batch = next_batch(wrong, "cpu")
    seen = wrong.method.seen_labels(batch)
    assert np.array_equal(seen.numpy(), mixed[batch.index[wrong.method.n_plain :].numpy()])
    assert not can_stack(of(method, label_control="shuffled")) and can_stack(of(method))


def test_shuffled_labels_say_nothing_about_their_frames():
    """Over many frames, a frame's label agrees with its own as often as chance has it."""
    y = np.repeat(np.arange(4, dtype=np.int16), 2500).reshape(100, 100)
    mixed = shuffled(y, np.arange(100), seed=0)
    assert abs((mixed == y).mean() - 0.25) < 0.02
    assert np.array_equal(mixed, shuffled(y, np.arange(100), seed=0))
    assert not np.array_equal(mixed, shuffled(y, np.arange(100), seed=1))


@pytest.mark.parametrize("method", SEMI)
def test_controls_train_differently_from_the_method(method, small):
    losses = {
        c: list(train(of(method, label_control=c), small))[-1].losses for c in ("none", "shuffled", "hidden")
    }
    assert losses["none"][0] != losses["shuffled"][0] != losses["hidden"][0]
    assert all(np.isfinite(values).all() for values in losses.values())


def test_labels_alone_are_those_of_the_semi_supervised_methods(small):
    semi, alone = (start(of(m), small).method.labelled for m in ("emargin-semi", "labels-only"))
    assert np.array_equal(semi, alone) and len(alone) < len(small.train)
    with pytest.raises(UserError, match="hidden"):
        of("labels-only", label_control="hidden")
    with pytest.raises(UserError, match="label_share"):
        config("labels-only", label_share=0)
