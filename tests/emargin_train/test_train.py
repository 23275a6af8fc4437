"""Training repeats bit by bit, resumes as if never stopped, and does not change the global generator."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from emargin_train import checkpoint
from emargin_train.errors import UserError
from emargin_train.train import Diverged, State, own_draws, start, train
from tests.emargin_train.configs import config
from tests.emargin_train.synthetic import make_splits

SPLITS = make_splits()


def last(states: object) -> State:
    *_, state = states  # type: ignore[misc]
    return state


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


@pytest.mark.parametrize(
    "other, named",
    [
        ({"seed": 4}, "seed 3, not 4"),
        ({"temperature": 0.2}, "temperature 0.5, not 0.2"),
        ({"kernel_size": 3}, "kernel_size 1, not 3"),
        ({"encoder": "dilated"}, "encoder projector, not dilated"),
        ({"weight_decay": 0.1}, "weight_decay 0.0, not 0.1"),
        ({"method": "infonce"}, "method emargin, not infonce"),
    ],
)
def test_resuming_with_other_settings_is_refused(
    other: dict[str, object], named: str, tmp_path: Path
) -> None:
    checkpoint.save(last(train(config(), SPLITS)), tmp_path / "end.pt")
    with pytest.raises(UserError, match=f"trained with {named}: resume with its settings"):
        next(train(config(**other), SPLITS, resume=tmp_path / "end.pt"))


def test_resuming_on_other_data_is_refused(tmp_path: Path) -> None:
    checkpoint.save(last(train(config(), SPLITS)), tmp_path / "end.pt")
    with pytest.raises(UserError, match="trained on data synthetic, not others: resume with the same files"):
        next(train(config(), replace(SPLITS, data_hash="others"), resume=tmp_path / "end.pt"))


def test_a_training_may_be_resumed_with_more_steps(tmp_path: Path) -> None:
    checkpoint.save(last(train(config(), SPLITS)), tmp_path / "end.pt")
    longer = config(iterations=14, report_every=7)
    resumed = last(train(longer, SPLITS, resume=tmp_path / "end.pt"))
    assert resumed.losses == last(train(longer, SPLITS)).losses and resumed.step == 14


def test_without_a_training_sequence_nothing_starts() -> None:
    empty = replace(SPLITS, train=SPLITS.train.select([]))
    with pytest.raises(ValueError, match="no training sequence"):
        start(config(), empty)


def test_divergence_is_raised_with_its_step() -> None:
    with pytest.raises(Diverged) as caught:
        last(train(config(learning_rate=1e30, iterations=50), SPLITS))
    assert caught.value.step == 2 and caught.value.last_finite_loss is not None


DROPOUT = {"encoder": "dilated", "dilated.depth": 1, "dilated.width": 8, "dilated.dim": 16}


def test_layers_that_draw_are_seeded_for_each_step() -> None:
    """Dropout repeats whatever others draw meanwhile and however often a State is reported."""
    losses = last(train(config(**DROPOUT), SPLITS)).losses
    found: list[float] = []
    for state in train(config(report_every=1, **DROPOUT), SPLITS):
        torch.rand(7)
        found = state.losses
    assert found == losses
    without = last(train(config(**DROPOUT, **{"dilated.dropout": 0}), SPLITS)).losses
    more = last(train(config(**DROPOUT, **{"dilated.dropout": 0.5}), SPLITS)).losses
    assert len({tuple(losses), tuple(without), tuple(more)}) == 3


def test_what_a_step_draws_depends_on_its_seed_and_its_number() -> None:
    method = start(config(**DROPOUT), SPLITS).method
    before = torch.get_rng_state()

    def drawn(seed: int, step: int) -> float:
        with own_draws(method, seed, step):
            return torch.rand(()).item()

    assert drawn(3, 5) == drawn(3, 5) and len({drawn(3, 5), drawn(3, 6), drawn(4, 5)}) == 3
    assert 0 <= drawn(2**31 - 1, 10**6) < 1  # the largest seed
    assert torch.equal(torch.get_rng_state(), before)
    plain = start(config(), SPLITS).method  # nothing draws: nothing is seeded
    with own_draws(plain, 3, 5):
        assert torch.equal(torch.get_rng_state(), before)
