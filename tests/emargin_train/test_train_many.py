"""A stack trains each member exactly as `train` would, whatever happens to the other members."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from emargin_train import checkpoint
from emargin_train.config import TrainConfig
from emargin_train.train import Diverged, State, train
from emargin_train.train_many import train_many
from tests.emargin_train.configs import STACKED_VARIANTS, config
from tests.emargin_train.synthetic import make_splits

SPLITS, NOISIER = make_splits(), make_splits(seed=1)


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def alone(c: TrainConfig, splits: object = SPLITS, **more: object) -> State:
    *_, state = train(c, splits, **more)
    return state


@cache
def alone_in_double(c: TrainConfig, noisier: bool = False) -> State:
    """`alone` in float64, once for all tests that only compare with it."""
    assert torch.get_default_dtype() == torch.float64
    return alone(c, NOISIER if noisier else SPLITS)


def together(
    configs: list[TrainConfig], splits: object = None, **more: object
) -> dict[int, State | Diverged]:
    return dict(train_many(configs, splits or [SPLITS] * len(configs), **more))


def same(a: State, b: State, tolerance: float) -> None:
    assert a.step == b.step
    for name in ("threshold", "dissimilar_share"):
        assert getattr(a.method, name, None) == getattr(b.method, name, None)
    assert a.losses == pytest.approx(b.losses, rel=tolerance)
    assert a.loss == pytest.approx(b.loss, rel=tolerance)
    one, other = a.to_dict(), b.to_dict()
    assert one["method"].keys() == other["method"].keys()
    for name, value in one["method"].items():
        torch.testing.assert_close(value, other["method"][name], rtol=0, atol=tolerance)
    for i, moments in one["optimizer"]["state"].items():
        for name, value in moments.items():
            torch.testing.assert_close(value, other["optimizer"]["state"][i][name], rtol=0, atol=tolerance)
    assert torch.equal(one["generator"], other["generator"])


AT_ONCE = pytest.mark.parametrize("at_once", [False, True], ids=["one-by-one", "at-once"])


@AT_ONCE
def test_members_of_all_settings_equal_trainings_alone(double: None, at_once: bool) -> None:
    """Fifty steps in float64: thresholds, margins, temperatures, signs, gates, seeds, noise, scale."""
    changes = [
        {"dissimilar_share": 0.9, "margin": 3.0, "seed": 1},
        {"temperature": 0.1, "similar_sign": 1, "gate": "random", "neighbours": 1},
        {"dissimilar_share": None, "threshold": 0.7, "seed": 2, "spectrum_scale": "log"},
        {"method": "infonce", "seed": 5},
        {"seed": 9},
        {"method": "infonce", "temperature": 0.2, "seed": 6},
        {"method": "emargin-adjacent", "margin": 0.5},
    ]
    configs = [config(iterations=50, report_every=20, batch_size=3, **change) for change in changes]
    data = [SPLITS] * 4 + [NOISIER] + [SPLITS] * 2
    for i, state in together(configs, data, at_once=at_once).items():
        same(state, alone_in_double(configs[i], data[i] is NOISIER), 1e-9)


@AT_ONCE
@pytest.mark.parametrize("name, more", STACKED_VARIANTS)
def test_every_method_stacks(name: str, more: dict[str, object], double: None, at_once: bool) -> None:
    configs = [config(name, seed=seed, **more) for seed in (0, 1, 2)]
    for i, state in together(configs, at_once=at_once).items():
        same(state, alone_in_double(configs[i]), 1e-9)


@pytest.mark.parametrize(
    "shape",
    [
        {"kernel_size": 3},
        {"head": "linear"},
        {"head": "mlp", "kernel_size": 5},
        {"encoder": "dilated", "dilated.depth": 2, "dilated.dim": 16, "dilated.dropout": 0},
    ],
)
def test_every_encoder_stacks(shape: dict[str, object], double: None) -> None:
    configs = [config(seed=seed, **shape) for seed in (0, 1)]
    for i, state in together(configs).items():
        same(state, alone(configs[i]), 1e-9)


def test_in_float32_the_first_steps_agree_closely() -> None:
    configs = [config(seed=seed) for seed in (0, 1, 2)]
    for i, state in together(configs).items():
        assert state.losses == pytest.approx(alone(configs[i]).losses, rel=1e-4)


@AT_ONCE
def test_a_member_that_diverges_leaves_the_others_untouched(double: None, at_once: bool) -> None:
    store = SPLITS.train.store.copy()
    store[SPLITS.train.rows[3], 2] = torch.nan
    broken = replace(SPLITS, train=replace(SPLITS.train, store=store))
    configs = [config(seed=seed, iterations=15, batch_size=3) for seed in (0, 1, 2)]
    found = together(configs, [SPLITS, broken, SPLITS], at_once=at_once)
    with pytest.raises(Diverged) as caught:
        alone(configs[1], broken)
    assert isinstance(found[1], Diverged) and found[1].step == caught.value.step > 2
    assert found[1].losses == pytest.approx(caught.value.losses, rel=1e-9)
    for i in (0, 2):
        same(found[i], alone(configs[i]), 1e-9)


def test_all_may_diverge() -> None:
    configs = [config(learning_rate=1e30, iterations=50, seed=seed) for seed in (0, 1)]
    found = together(configs)
    assert all(isinstance(end, Diverged) and end.step == 2 for end in found.values())


def test_members_report_at_their_own_steps() -> None:
    configs = [config(iterations=7, report_every=3), config(iterations=10, report_every=5)]
    reports = [(i, state.step) for i, state in train_many(configs, [SPLITS] * 2)]
    assert reports == [(0, 3), (1, 5), (0, 6), (0, 7), (1, 10)]
    assert together(configs)[0].loss == pytest.approx(alone(configs[0]).loss, rel=1e-4)


def test_checkpoints_are_those_of_single_trainings(tmp_path: Path, double: None) -> None:
    """Saved in a stack and resumed alone, saved alone and resumed in a stack, at different steps."""
    configs = [config(seed=0, iterations=20), config(seed=1, iterations=20), config(seed=2, iterations=20)]
    for i, state in train_many(configs[:2], [SPLITS] * 2):
        if state.step == 5:
            checkpoint.save(state, tmp_path / f"{i}.pt")
    for state in train(configs[2], SPLITS):
        if state.step == 15:
            checkpoint.save(state, tmp_path / "2.pt")
    whole = [alone(c) for c in configs]
    same(alone(configs[0], resume=tmp_path / "0.pt"), whole[0], 1e-9)
    for i, state in together(configs, resume=[None, tmp_path / "1.pt", tmp_path / "2.pt"]).items():
        same(state, whole[i], 1e-9)


def test_a_loss_is_the_mean_since_the_last_report_whatever_the_step_of_resuming(tmp_path: Path) -> None:
    """Saved at step 5, resumed with a report every 4 steps: the first loss is that of steps 6 to 8."""
    for state in train(config(iterations=20), SPLITS):
        if state.step == 5:
            checkpoint.save(state, tmp_path / "5.pt")
    other = config(iterations=20, report_every=4)
    single = [(s.step, s.loss) for s in train(other, SPLITS, resume=tmp_path / "5.pt")]
    stacked = [
        (s.step, s.loss, np.mean(s.losses[5:8]))
        for _, s in train_many([other], [SPLITS], resume=[tmp_path / "5.pt"])
    ]
    assert [step for step, *_ in stacked] == [step for step, _ in single] == [8, 12, 16, 20]
    assert [loss for _, loss, _ in stacked] == pytest.approx([loss for _, loss in single], rel=1e-4)
    assert stacked[0][1] == pytest.approx(stacked[0][2])


def test_a_finished_member_reports_once(tmp_path: Path) -> None:
    checkpoint.save(alone(config()), tmp_path / "end.pt")
    many = train_many([config(), config(seed=4)], [SPLITS] * 2, resume=[tmp_path / "end.pt", None])
    assert [(i, state.step) for i, state in many] == [(0, 10), (1, 5), (1, 10)]


@pytest.mark.parametrize(
    "other",
    [
        {"batch_size": 4},
        {"head": "linear"},
        {"learning_rate": 0.01},
        {"weight_decay": 0.01},
        {"kernel_size": 3},
        {"encoder": "dilated", "dilated.dropout": 0},
    ],
)
def test_trainings_that_do_not_fit_together_are_refused(other: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="cannot be in one stack"):
        together([config(), config(**other)])


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    together([config(seed=seed) for seed in (0, 1)])
    assert torch.equal(torch.get_rng_state(), before)
