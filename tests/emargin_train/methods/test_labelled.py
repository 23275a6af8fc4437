"""Methods that see labels: which sequences they see, and what they learn from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emargin_train.encode import encode
from emargin_train.errors import UserError
from emargin_train.methods.labelled import with_labels
from emargin_train.methods.one_view import OneView
from emargin_train.train import State, train
from tests.emargin_train.configs import config
from tests.emargin_train.synthetic import make_frames, make_splits

SPLITS = make_splits()


def last(method: str, **more: object) -> State:
    *_, state = train(config(method, **more), SPLITS)
    return state


def test_semi_without_labels_or_weight_is_emargin() -> None:
    emargin = last("emargin").losses
    assert last("emargin-semi", supervised_weight=0.0).losses == emargin
    assert last("emargin-semi", label_share=0.0).losses == emargin
    assert last("emargin-semi").losses != emargin


@pytest.mark.parametrize("term", ["contrastive", "cross-entropy"])
def test_semi_trains_with_each_term(term: str, tmp_path: Path) -> None:
    state = last("emargin-semi", supervised_term=term, iterations=40)
    assert state.losses[-1] < state.losses[0]
    assert isinstance(state.method, OneView)
    assert (state.method.classifier is not None) == (term == "cross-entropy")


def test_a_step_of_semi_ends_with_half_as_many_labelled_sequences() -> None:
    method = last("emargin-semi", label_share=1.0).method
    assert isinstance(method, OneView) and (method.n_plain, method.n_labelled) == (8, 4)
    few = last("emargin-semi", label_share=0.2).method
    drawn = few.draw(torch.Generator().manual_seed(0))
    assert len(drawn) == 10 and set(drawn[8:].tolist()) == set(few.labelled.tolist())


@pytest.mark.parametrize("name", ["emargin-semi", "supervised"])
def test_labels_are_needed(name: str) -> None:
    hidden = replace(SPLITS, train=replace(SPLITS.train, y=np.full_like(SPLITS.train.y, -1)))
    with pytest.raises(UserError, match="no training sequence has a label"):
        next(train(config(name), hidden))


def test_a_share_of_labels_is_needed() -> None:
    with pytest.raises(UserError, match="label_share is missing, but it is a share of sequences"):
        config("emargin-semi", label_share=None)


@pytest.mark.parametrize("share, n", [(0.0, 0), (0.01, 1), (0.05, 2), (0.1, 4), (1.0, 30)])
def test_labelled_sequences_are_few_fixed_and_have_labels(share: float, n: int) -> None:
    frames = make_frames(40)
    frames.y[:10] = -1
    seen = with_labels(frames, share, seed=5)
    assert len(seen) == n and set(seen) <= set(range(10, 40))
    assert (seen == with_labels(frames, share, seed=5)).all()


def test_labels_of_other_sequences_change_nothing() -> None:
    """Only the labels of the sequences that are called labelled reach a semi-supervised training."""
    state = last("emargin-semi")
    seen = state.method.labelled
    unseen = np.setdiff1d(np.arange(len(SPLITS.train)), seen)
    y = SPLITS.train.y.copy()
    y[unseen] = (y[unseen] + 1) % 3
    *_, other = train(config("emargin-semi"), replace(SPLITS, train=replace(SPLITS.train, y=y)))
    assert other.losses == state.losses
    y[seen] = 0
    *_, other = train(config("emargin-semi"), replace(SPLITS, train=replace(SPLITS.train, y=y)))
    assert other.losses != state.losses


def test_supervised_learns_the_classes() -> None:
    state = last("supervised", iterations=60, learning_rate=1e-2)
    everything = np.ones(SPLITS.train.shape[:2], bool)
    h = encode(state.method, SPLITS.train, everything)
    assert isinstance(state.method, OneView) and state.method.classifier is not None
    guess = state.method.classifier(torch.as_tensor(h)).argmax(-1).numpy()
    assert (guess == SPLITS.train.y.ravel()).mean() > 0.95
