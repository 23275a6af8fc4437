"""The engine of a GPU, without Ray: which trials it trains together, and what each trial gets."""

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emargin_train import checkpoint
from emargin_train.config import TrainConfig
from emargin_train.train import train
from study.cluster import engine
from study.cluster.engine import Broken, Engine, Sharing, Waiting, next_stack
from tests.emargin_train.synthetic import make_splits

SPLITS = make_splits()


@given(
    arrivals=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30)), max_size=8),
    n_trials=st.integers(1, 6),
    wait_s=st.integers(0, 20),
)
def test_all_are_trained_once_with_their_like_and_nobody_waits_long(arrivals, n_trials, wait_s):
    """Time in whole units; training takes none."""
    todo = sorted((Waiting(key, [], [], since) for key, since in arrivals), key=lambda trial: trial.since)
    waiting, trained = [], []
    for now in range(60):
        waiting += [trial for trial in todo if trial.since == now]
        while stack := next_stack(waiting, now, n_trials=n_trials, wait_s=wait_s):
            assert len({trial.key for trial in stack}) == 1
            assert stack[0] is waiting[0]  # whoever came first
            assert [
                trial for trial in waiting if trial.key == stack[0].key
            ] == stack  # and nobody is left out
            assert len(waiting) >= n_trials or now - stack[0].since >= wait_s
            trained += stack
            waiting = [trial for trial in waiting if trial not in stack]
        assert len(waiting) < n_trials
        assert all(now - trial.since < wait_s for trial in waiting)
    assert not waiting and len(trained) == len(todo) and set(map(id, trained)) == set(map(id, todo))


def config(seed, **more):
    usual = {"dissimilar_share": 0.3, "margin": 1.0, "iterations": 10, "report_every": 5, "seed": seed}
    return TrainConfig.from_dict({k: v for k, v in (usual | more).items() if v is not None})


@pytest.fixture
def begin(monkeypatch):
    monkeypatch.setattr(engine, "_load", lambda _: SPLITS)
    ended = []

    def begun(n_trials=2, **more):
        given = {"n_trials": n_trials, "hand_out_s": 0.0, "threads": 1, "wait_s": 5.0} | more
        return Engine(Sharing(**given), "cpu", lambda: ended.append(time.monotonic())), ended

    return begun


def asked(one, trials, key=lambda _: "same"):
    """What each trial gets that hands in these trainings, all at once."""
    with ThreadPoolExecutor(len(trials)) as pool:
        ask = [pool.submit(lambda c: list(one.train(key(c), c, [None] * len(c))), c) for c in trials]
        return [found.result(60) for found in ask]


def test_trials_share_a_stack_and_get_their_own_states(begin):
    one, _ = begin()
    trials = [[config(0), config(1)], [config(2, margin=3.0)]]
    for configs, items in zip(trials, asked(one, trials), strict=True):
        assert {together for *_, together in items} == {3}
        assert sorted((i, checkpoint.load(saved)["step"]) for i, saved, _ in items) == [
            (i, step) for i in range(len(configs)) for step in (5, 10)
        ]
        for i, saved, _ in items[-len(configs) :]:
            *_, alone = train(configs[i], SPLITS)
            assert checkpoint.load(saved)["losses"] == pytest.approx(alone.losses, rel=1e-4)


def test_of_the_states_on_the_way_only_some_are_handed_out(begin):
    one, _ = begin(n_trials=1, hand_out_s=60.0)
    ((item,),) = asked(one, [[config(0)]])
    assert checkpoint.load(item[1])["step"] == 10


def test_trials_of_other_shapes_are_trained_apart(begin):
    one, _ = begin()
    found = asked(one, [[config(0)], [config(1, batch_size=4)]], key=lambda c: c[0].training.batch_size)
    assert [{together for *_, together in items} for items in found] == [{1}, {1}]


def test_one_that_diverges_leaves_the_others_alone(begin):
    one, _ = begin()
    steep = config(
        0, method="emargin-released", dissimilar_share=None, threshold=0.4, margin=1000.0, weight_decay=0.0
    )
    bad, good = asked(one, [[steep], [config(1)]])
    assert bad == [(0, [], 2)] and [together for *_, together in good] == [2, 2]


@pytest.mark.parametrize(
    "raised, is_machine",
    [(ValueError("a stack"), False), (torch.OutOfMemoryError("so many"), False), (OSError("a disk"), True)],
)
def test_what_a_stack_raises_is_told_to_all_who_have_not_ended(begin, monkeypatch, raised, is_machine):
    def broken(configs, splits, **_):
        yield 0, SimpleNamespace(step=10)
        raise raised

    monkeypatch.setattr(engine, "train_many", broken)
    monkeypatch.setattr(checkpoint, "to_bytes", lambda _: b"whole")
    one, _ = begin()
    found = sorted(asked(one, [[config(0)], [config(1)]]), key=lambda items: isinstance(items[0][1], Broken))
    assert found[0] == [(0, b"whole", 2)]
    ((_, item, _),) = found[1]
    assert item.is_machine == is_machine and str(raised) in item.text
    monkeypatch.undo()
    monkeypatch.setattr(engine, "_load", lambda _: SPLITS)
    assert len(asked(one, [[config(0)], [config(1)]])[0]) == 2  # it goes on


def test_it_ends_once_nobody_has_asked_for_a_while(begin):
    one, ended = begin(n_trials=1, idle_s=0.5)
    asked(one, [[config(0)]])
    after = time.monotonic()
    while not ended and time.monotonic() - after < 10:
        time.sleep(0.05)
    assert 0.3 < ended[0] - after < 10
