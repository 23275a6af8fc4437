"""Training repeats bit by bit, resumes as if never stopped, and leaves the global generator alone."""

from pathlib import Path

import pytest
import torch

from emargin_train import checkpoint
from emargin_train.config import ObjectiveConfig, TrainConfig
from emargin_train.errors import UserError
from emargin_train.train import Diverged, State, train
from tests.emargin_train.synthetic import make_splits

SPLITS = make_splits()


def config(name: str = "emargin", **more: object) -> TrainConfig:
    settings = {"iterations": 10, "report_every": 5, "seed": 3} | more
    objective = ObjectiveConfig(name=name, threshold=None, dissimilar_share=0.3)
    return TrainConfig(objective=objective, **settings)  # type: ignore[arg-type]


def last(states: object) -> State:
    *_, state = states  # type: ignore[misc]
    return state


def weights(state: State) -> list[torch.Tensor]:
    return [v.clone() for v in state.encoder.state_dict().values()]


@pytest.mark.parametrize("name", ["infonce", "emargin"])
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
    state = last(train(config("infonce", iterations=60), SPLITS))
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
