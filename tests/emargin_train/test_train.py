"""Training repeats bit by bit, resumes as if never stopped, and leaves the global generator alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from emargin_train.batches import with_labels
from emargin_train.encoder import Encoder, encode, framing

from emargin_train import checkpoint
from emargin_train.config import GATES, OBJECTIVE_NAMES, TrainConfig
from emargin_train.errors import UserError
from emargin_train.train import Diverged, State, train
from tests.emargin_train.synthetic import make_frames, make_splits

SPLITS = make_splits()


def config(name: str = "emargin", **more: object) -> TrainConfig:
    """Flat settings of a short training."""
    knobs = {"dissimilar_share": 0.3, "margin": 1.0, "temperature": 0.5, "label_share": 0.2}
    settings = {"objective": name, "iterations": 10, "report_every": 5, "seed": 3}
    return TrainConfig.from_dict(knobs | settings | more)


def last(states: object) -> State:
    *_, state = states  # type: ignore[misc]
    return state


def weights(state: State) -> list[torch.Tensor]:
    return [v.clone() for v in state.encoder.state_dict().values()]


@pytest.mark.parametrize("name", OBJECTIVE_NAMES)
def test_ten_steps_equal_five_and_five(name: str, tmp_path: Path) -> None:
    whole = last(train(config(name), SPLITS))
    first = next(train(config(name), SPLITS))
    assert first.step == 5
    checkpoint.save(first, tmp_path / "half.pt")
    resumed = last(train(config(name), SPLITS, resume=tmp_path / "half.pt"))
    assert resumed.losses == whole.losses and resumed.loss == whole.loss
    assert all(torch.equal(a, b) for a, b in zip(weights(resumed), weights(whole), strict=True))


def test_seed_decides_and_global_generator_is_left_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = last(train(config(), SPLITS))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = last(train(config(), SPLITS)), last(train(config(seed=4), SPLITS))
    assert one.losses == again.losses
    assert one.losses != other.losses


def test_fewer_sequences_than_a_batch() -> None:
    state = last(train(config(), make_splits(3)))
    assert state.step == 10 and len(state.losses) == 10


def test_learns() -> None:
    state = last(train(config("infonce", iterations=60, temperature=0.1), SPLITS))
    assert state.losses[-1] < 0.8 * state.losses[0]


def test_states_come_every_so_often_and_at_the_end() -> None:
    states = [(s.step, s.loss, list(s.losses)) for s in train(config(iterations=7, report_every=3), SPLITS)]
    assert [step for step, _, _ in states] == [3, 6, 7]
    losses = states[-1][2]
    assert [loss for _, loss, _ in states] == pytest.approx(
        [sum(losses[:3]) / 3, sum(losses[3:6]) / 3, losses[6]]
    )


def test_finished_training_yields_its_state_once(tmp_path: Path) -> None:
    whole = last(train(config(), SPLITS))
    checkpoint.save(whole, tmp_path / "end.pt")
    states = list(train(config(), SPLITS, resume=tmp_path / "end.pt"))
    assert [s.step for s in states] == [10] and states[0].losses == whole.losses


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    checkpoint.save(last(train(config(), SPLITS)), tmp_path / "end.pt")
    with pytest.raises(UserError, match="seed 3, not 4"):
        next(train(config(seed=4), SPLITS, resume=tmp_path / "end.pt"))


def test_divergence_is_raised_with_its_step() -> None:
    with pytest.raises(Diverged) as caught:
        last(train(config(learning_rate=1e30, iterations=50), SPLITS))
    assert caught.value.step == 2 and caught.value.last_finite_loss is not None


def test_semi_without_labels_or_weight_is_emargin() -> None:
    emargin = last(train(config(), SPLITS)).losses
    assert last(train(config("emargin-semi", supervised_weight=0.0), SPLITS)).losses == emargin
    assert last(train(config("emargin-semi", label_share=0.0), SPLITS)).losses == emargin
    assert last(train(config("emargin-semi"), SPLITS)).losses != emargin


@pytest.mark.parametrize("term", ["contrastive", "cross-entropy"])
def test_semi_trains_with_each_term(term: str, tmp_path: Path) -> None:
    state = last(train(config("emargin-semi", supervised_term=term, iterations=40), SPLITS))
    assert state.losses[-1] < state.losses[0]
    assert (state.classifier is not None) == (term == "cross-entropy")


def test_labels_are_needed_and_their_share() -> None:
    with pytest.raises(UserError, match="label_share"):
        next(train(config("emargin-semi", label_share=None), SPLITS))
    hidden = replace(SPLITS, train=replace(SPLITS.train, y=np.full_like(SPLITS.train.y, -1)))
    with pytest.raises(UserError, match="no training sequence has a label"):
        next(train(config("supervised"), hidden))


@pytest.mark.parametrize("share, n", [(0.0, 0), (0.01, 1), (0.05, 2), (0.1, 4), (1.0, 30)])
def test_labelled_sequences_are_few_fixed_and_have_labels(share: float, n: int) -> None:
    frames = make_frames(40)
    frames.y[:10] = -1
    seen = with_labels(frames, share, seed=5)
    assert len(seen) == n and set(seen) <= set(range(10, 40))
    assert (seen == with_labels(frames, share, seed=5)).all()


def test_supervised_learns_the_classes() -> None:
    state = last(train(config("supervised", iterations=60, learning_rate=1e-2), SPLITS))
    everything = np.ones(SPLITS.train.shape[:2], bool)
    h = encode(state.encoder, SPLITS.train, everything, framing("magnitude", 1.0))
    assert state.classifier is not None
    guess = state.classifier(torch.from_numpy(h)).argmax(-1).numpy()
    assert (guess == SPLITS.train.y.ravel()).mean() > 0.95


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_head_is_trained_and_not_evaluated(head: str) -> None:
    state = last(train(config(head=head, kernel_size=3), SPLITS))
    fresh = Encoder(SPLITS.train.shape[2], state.config.encoder, seed=3)
    assert not torch.equal(state.encoder.head.state_dict()["weight" if head == "linear" else "0.weight"],
                           fresh.head.state_dict()["weight" if head == "linear" else "0.weight"])  # fmt: skip
    assert state.encoder(torch.rand(2, 5, SPLITS.train.shape[2])).shape == (2, 5, 320)
    assert state.encoder.project(torch.rand(2, 5, 320)).shape == (2, 5, 128)


def test_gates_give_different_trainings() -> None:
    losses = [tuple(last(train(config(gate=gate), SPLITS)).losses) for gate in GATES]
    assert len(set(losses)) == len(GATES) - 1  # as released every step is dissimilar: as all-dissimilar
    assert losses[GATES.index("released")] == losses[GATES.index("all-dissimilar")]


def test_threshold_is_live_in_training() -> None:
    low, high = (config(dissimilar_share=None, threshold=t) for t in (0.6, 0.9))
    assert last(train(low, SPLITS)).losses != last(train(high, SPLITS)).losses
