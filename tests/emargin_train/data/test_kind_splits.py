"""Small sets are split wherever a valid split exists; what cutting loses is counted and named."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from emargin_train.config import DataConfig
from emargin_train.data import describe, load
from emargin_train.data.split_search import best_assignment, divisible
from emargin_train.errors import UserError
from tests.emargin_train.data import fakes
from tests.emargin_train.data.fakes import recording, register
from tests.emargin_train.data.made import command
from tests.emargin_train.data.test_describe import splits_of


def every_split_has_two(has, assigned, n):
    return all(has[assigned == k].any(0).sum() >= 2 for k in range(n))


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(bool, st.tuples(st.integers(5, 7), st.integers(2, 4)), elements=st.booleans()))
def test_a_valid_split_is_found_exactly_where_one_exists(has):
    """Against all ways of dividing the subjects, of any sizes."""
    every = (np.array(w) for w in itertools.product(range(3), repeat=len(has)) if len(set(w)) == 3)
    exists = any(every_split_has_two(has, way, 3) for way in every)
    assert divisible(has, 3) == exists
    sizes = [len(has) - 2, 1, 1]
    found = best_assignment(has * 30, sizes, seed=0)
    assert every_split_has_two(has, found, 3) == exists


def test_many_subjects_with_one_class_each_are_split_by_search_not_by_luck():
    """Of 60 subjects, 57 have class 0 only: a random draw hardly ever gives each split a second class."""
    has = np.zeros((60, 2), int)
    has[:, 0] = 30
    has[[7, 8, 9], 0], has[[7, 8, 9], 1] = 0, 30
    found = [best_assignment(has, [36, 12, 12], seed) for seed in range(4)]
    assert all(every_split_has_two(has > 0, one, 3) for one in found)
    assert all(np.bincount(one).tolist() == [36, 12, 12] for one in found)
    again = best_assignment(has, [36, 12, 12], 3)
    assert (again == found[3]).all()


def small_set(seconds=(40, 360, 50, 300, 45, 60, 200, 100)):
    """8 records of 5 patients, most with one class only."""
    rng = np.random.default_rng(0)
    made = []
    for k, (who, s) in enumerate(zip("aabbcdde", seconds, strict=True)):
        labels = np.full(10 * s, k % 2) if who in "abd" else np.arange(10 * s) // 80 % 2
        made.append(recording(rng.standard_normal(10 * s), labels, who, f"{who}{k}", 0, 2))
    return made


def test_a_small_set_is_split_though_sequences_have_to_shrink(monkeypatch):
    register(monkeypatch, small_set(), sequence_length=200)
    splits = load(DataConfig(dataset="fake"))
    assert all(len(np.unique(f.y[f.y >= 0])) == 2 for f in splits.by_name().values())
    assert any(
        "instead of 200, the longest that leave every split two classes" in s for s in splits.described
    )


def test_a_split_in_time_is_searched_too(monkeypatch):
    """Two halves of one class each, in records of a few blocks."""
    labels = np.repeat([0, 1], 400)
    made = [
        recording(np.random.default_rng(i).standard_normal(800), labels, f"s{i}", f"s{i}", 0, 2)
        for i in range(2)
    ]
    register(monkeypatch, made, sequence_length=10)
    for seed in range(8):
        splits = load(DataConfig(dataset="fake", split="time", split_seed=seed))
        assert all(len(np.unique(f.y)) == 2 for f in splits.by_name().values())


def test_a_set_with_one_class_is_described_with_what_a_study_would_say(monkeypatch, capsys):
    made = [
        recording(np.random.default_rng(i).standard_normal(600), np.zeros(600), f"s{i}") for i in range(5)
    ]
    register(monkeypatch, made)
    code, out, _ = command(capsys, "describe", "fake")
    assert code == 0 and "a               300.0  100.0%" in " ".join(out.split(" ")) or "300.0" in out
    assert "would refuse this" in out and "no flag that was tried does" in out


@pytest.mark.parametrize("split", ["subject", "leave-one-subject-out"])
def test_one_subject_is_refused_for_every_split_by_subject(monkeypatch, split):
    register(monkeypatch, [fakes.noisy_recording("s", 60, 0)])
    with pytest.raises(UserError, match="--split time"):
        load(DataConfig(dataset="fake", split=split))


def test_a_class_at_the_end_of_every_recording_is_named_with_what_it_loses(monkeypatch):
    def make(i):
        labels = np.repeat([0, 1, 2], [300, 300, 175])
        return recording(np.random.default_rng(i).standard_normal(775), labels, f"s{i}")

    dataset = register(monkeypatch, [make(i) for i in range(5)], sequence_length=30)
    lines = load(DataConfig(dataset="fake")).described
    (line,) = [one for one in lines if one.startswith("class c loses")]
    assert "class c loses 9% of its 88 s" in line or "of its 88 s at the ends of stretches" in line
    found = describe.contents(dataset, DataConfig(dataset="fake"))
    kept = describe.kept(dataset, DataConfig(dataset="fake"), found)
    assert kept is not None and kept.read.tolist() == [150, 150, 87.5]
    # 154 frames every half second, 150 of them in sequences: samples 0 to 755
    assert kept.kept.tolist() == [150, 150, 77.5]


def test_a_class_that_others_outvote_in_every_frame_is_named(monkeypatch):
    labels = np.where(np.arange(2000) % 20 < 4, 2, np.arange(2000) // 200 % 2)
    made = [recording(np.random.default_rng(i).standard_normal(2000), labels, f"s{i}") for i in range(5)]
    register(monkeypatch, made)
    assert any(
        "class c has" in line and "shorter frames keep more" in line
        for line in load(DataConfig(dataset="fake")).described
    )


def outlines(n, rng):
    """Each series the same closed curve, more or less: frames far apart are alike, neighbours are not."""
    phase = np.arange(15) % 3
    shape = np.exp(rng.normal(0, 0.2, (3, 8)))
    return shape[phase][None] * np.exp(rng.normal(0, 0.05, (n, 15, 8)))


def test_the_order_of_outlines_means_something_and_that_of_shuffled_ones_does_not():
    rng = np.random.default_rng(0)
    x, y = outlines(200, rng), np.zeros((200, 15))
    ordered = describe.adjacency(each_a_record(x, y), 0.4)
    assert ordered.closer < 0.5 and "means something" in ordered.verdict()
    shuffled = np.stack([rng.permutation(one) for one in x])
    found = describe.adjacency(each_a_record(shuffled, y), 0.4)
    assert "WARNING" in found.verdict()


def each_a_record(x, y):
    splits = splits_of(x, y)
    frames = replace(splits.train, record=np.array([f"r{i}" for i in range(len(x))]))
    return replace(splits, train=frames, validation=frames)
