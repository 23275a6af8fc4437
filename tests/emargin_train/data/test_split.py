"""Splits: no subject in two splits, no sample shared in time, and as many classes as can be in all splits."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from emargin_train.data.sequences import Sequences, Stretch
from emargin_train.data.split import assign, choose_splits, describe, time_blocks
from emargin_train.errors import UserError

CLASSES = 4


def sequences_of(subject: list[str], y: np.ndarray, split: str | list[str] = "") -> Sequences:
    n = len(subject)
    number = np.arange(n)
    split = [split] * n if isinstance(split, str) else split
    return Sequences(number, number, y, np.array(subject), np.array(subject), number, np.array(split, str))


def in_all_splits(split: np.ndarray, y: np.ndarray, n_splits: int) -> int:
    splits = np.unique(split)
    return sum(
        len(splits) == n_splits and all((y[split == s] == c).any() for s in splits) for c in range(CLASSES)
    )


labels = hnp.arrays(np.int16, st.tuples(st.integers(5, 7), st.just(6)), elements=st.integers(-1, CLASSES - 1))


def two_classes_each(split: np.ndarray, y: np.ndarray) -> bool:
    return all(np.unique(y[split == s][y[split == s] >= 0]).size >= 2 for s in np.unique(split))


def few(*classes: tuple[int, ...]) -> np.ndarray:
    """Labels of subjects that have these classes and nothing else."""
    return np.array([[*own, *[-1] * (6 - len(own))] for own in classes], np.int16)


@settings(deadline=None)
@given(y=labels, seed=st.integers(0, 3))
@example(y=few((2, 3), (0, 1), (0,), (0,), (1,)), seed=0)  # class 0 could be everywhere, alone in two splits
@example(y=few((2, 3), (0,), (0,), (0,), (0,)), seed=0)  # no sizes give two classes to each split
def test_two_classes_in_each_split_come_first_then_as_many_as_possible_in_all(y, seed):
    subject = np.array([f"s{i}" for i in range(len(y))])
    split = assign(subject, y, CLASSES, (0.6, 0.2, 0.2), seed)
    ways = [
        np.array(way)
        for way in itertools.product(("train", "validation", "test"), repeat=len(y))
        if way.count("validation") == 1 and way.count("test") == 1
    ]
    valid = [way for way in ways if two_classes_each(way, y)]
    found = in_all_splits(split, y, 3)
    best = max(in_all_splits(way, y, 3) for way in valid or ways)
    if valid or found > best:  # without a valid way, the usual sizes give way where others help
        assert two_classes_each(split, y)
    assert found >= best or (not valid and two_classes_each(split, y))


def labelled(*frames: tuple[int, ...]) -> np.ndarray:
    """Four frames of each sequence: these labels, and none where there are fewer."""
    return np.array([[*own, *[-1] * (4 - len(own))] for own in frames], np.int16)


@pytest.mark.parametrize(
    "subject, y",
    [
        ([0, 3, 4, 0, 1, 0, 2], labelled((0, 1), (0,), (0,), (), (1,), (), (1,))),
        ([0, 2, 3, 0, 1], labelled((0,), (0,), (1,), (), (1,))),
    ],
)
def test_the_usual_sizes_give_way_where_others_alone_give_two_classes_to_each_split(subject, y):
    """Five subjects, of whom one has both classes; four, each with one: no usual way is valid."""
    names = [f"s{i}" for i in subject]
    split = choose_splits(sequences_of(names, y), CLASSES, 0, None)
    assert two_classes_each(split, y)
    counts = {s: len({n for n, own in zip(names, split, strict=True) if own == s}) for s in set(split)}
    assert counts != (
        {"train": 3, "validation": 1, "test": 1} if len(counts) == 3 else {"train": 3, "validation": 1}
    )


@settings(deadline=None)
@given(
    subject=st.lists(st.integers(0, 30), min_size=2, max_size=60),
    seed=st.integers(0, 100),
    data=st.data(),
)
def test_subjects_never_cross_a_split(subject, seed, data):
    names = [f"s{i}" for i in subject]
    y = data.draw(hnp.arrays(np.int16, (len(names), 4), elements=st.integers(-1, CLASSES - 1)))
    n = len(set(names))
    if n < 2:
        with pytest.raises(UserError, match="needs 2"):
            choose_splits(sequences_of(names, y), CLASSES, seed, None)
        return
    split = choose_splits(sequences_of(names, y), CLASSES, seed, None)
    splits = {name: {s for own, s in zip(names, split, strict=True) if own == name} for name in names}
    assert all(len(where) == 1 for where in splits.values())
    n_of = {s: sum(where == {s} for where in splits.values()) for s in ("train", "validation", "test")}
    held_out = max(1, round(0.2 * n))
    usual = (1, 0) if n < 5 else (held_out, held_out)
    if (n_of["validation"], n_of["test"]) != usual:  # only other sizes give two classes to each split
        assert two_classes_each(split, y) and (n >= 5 or n_of["test"] == 0)
    np.testing.assert_array_equal(split, choose_splits(sequences_of(names, y), CLASSES, seed, None))


def test_rare_classes_are_placed_among_many_subjects():
    """Three subjects of 30 hold class 3, three others class 2: an arbitrary split would seldom serve both."""
    y = np.zeros((30, 50), np.int16)
    y[:, :25] = 1
    y[[3, 11, 20], :5] = 3
    y[[4, 12, 21], :5] = 2
    subject = np.array([f"s{i:02d}" for i in range(30)])
    found = [assign(subject, y, CLASSES, (0.6, 0.2, 0.2), seed) for seed in range(5)]
    assert [in_all_splits(split, y, 3) for split in found] == [4] * 5
    assert len({tuple(split) for split in found}) == 5  # the seed matters


def test_the_data_s_own_splits_are_kept():
    y = np.tile([0, 1], (12, 3)).astype(np.int16)
    names = [f"s{i}" for i in range(12)]
    own = ["train"] * 8 + ["test"] * 4
    split = choose_splits(sequences_of(names, y, own), CLASSES, 0, None)
    assert split[8:].tolist() == ["test"] * 4
    assert sorted(split[:8].tolist()) == ["train"] * 6 + ["validation"] * 2
    both = ["train"] * 8 + ["validation"] * 4
    assert choose_splits(sequences_of(names, y, both), CLASSES, 0, None).tolist() == both


@pytest.mark.parametrize(
    "n, share, held_out", [(10, 0.8, 2), (11, 0.8, 2), (14, 0.8, 2), (15, 0.8, 3), (7, 0.5, 3)]
)
def test_released_split_keeps_the_order(n, share, held_out):
    """The paper's code: floor(n * 0.2) or floor(n * 0.5) sequences for validation, the last ones."""
    split = choose_splits(sequences_of(["stream"] * n, np.zeros((n, 3), np.int16)), CLASSES, 0, share)
    assert split.tolist() == ["train"] * (n - held_out) + ["validation"] * held_out


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(0, 400), min_size=1, max_size=4),
    length=st.integers(3, 30),
    gap=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_time_blocks_lie_apart_and_lose_little(lengths, length, gap, seed):
    stretches = [Stretch(np.zeros(n, np.int16), "s", f"r{i}", 0, "") for i, n in enumerate(lengths)]
    blocks = time_blocks(stretches, length, gap, np.random.default_rng(seed))
    for number, n in enumerate(lengths):
        own = sorted((b for b in blocks if b.stretch == number and len(b)), key=lambda b: b.first)
        assert all(0 <= b.first and b.end <= n for b in own)
        assert all(b.first - a.end >= gap for a, b in itertools.pairwise(own))
        held_out = {s: sum(len(b) for b in own if b.split == s) for s in ("train", "validation", "test")}
        assert held_out["validation"] == held_out["test"] <= held_out["train"] / 2
        if n >= 5 * length + 2 * gap:
            kept = sum(len(b) // length * length for b in own)
            assert n - kept < length + 3 * gap * (n // (5 * length) + 1)


def test_one_training_subject_cannot_give_a_validation_split():
    y = np.tile([0, 1], (4, 3)).astype(np.int16)
    with pytest.raises(UserError, match="1 subject s cannot be in 2 splits"):
        choose_splits(sequences_of(["s"] * 2 + ["t"] * 2, y, ["train"] * 2 + ["test"] * 2), CLASSES, 0, None)


def test_a_split_with_one_class_is_refused_with_its_name():
    y = np.zeros((5, 4), np.int16)
    y[:4, 0] = 1
    with pytest.raises(UserError, match=r"the test split has 1 class \(a; 1 sequences\).*--split-seed"):
        describe(
            np.array(["train"] * 2 + ["validation"] * 2 + ["test"]),
            sequences_of(list("abcde"), y),
            tuple("abcd"),
        )


def test_description_names_every_subject_and_class():
    y = np.tile([0, 1, -1, 1], (5, 1)).astype(np.int16)
    lines = describe(np.array(["train"] * 3 + ["validation"] * 2), sequences_of(list("vwxyz"), y), ("p", "q"))
    assert lines == [
        "train: 3 sequences of 4 frames of 3 subjects v, w, x (p 3, q 6; unlabelled 3)",
        "validation: 2 sequences of 4 frames of 2 subjects y, z (p 2, q 4; unlabelled 2)",
        "test: none",
    ]
