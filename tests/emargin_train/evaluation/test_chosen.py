import dataclasses

import numpy as np
import pytest

from emargin_train.data.frames import Frames
from emargin_train.errors import UserError
from emargin_train.evaluation.chosen import EvaluationSet, choose

from .synthetic import frames, splits


def test_choice_follows_from_labels_alone():
    one = splits()
    store = np.random.default_rng(9).random(one.validation.store.shape).astype(np.float32)
    other = dataclasses.replace(one, validation=dataclasses.replace(one.validation, store=store))
    assert choose(one, seed=3, cap=60).digest() == choose(other, seed=3, cap=60).digest()
    assert choose(one, seed=3, cap=60).digest() != choose(one, seed=4, cap=60).digest()


def test_choice_on_validation_does_not_depend_on_the_other_splits():
    with_test, without = choose(splits(), seed=0), choose(splits(test=False), seed=0)
    for name, mask in without.arrays().items():
        assert (mask == with_test.arrays()[name]).all()
    assert without.test_balanced is None and without.test_natural is None and not without.of_test()


def test_only_labelled_frames_are_scored():
    data = splits()
    masks = choose(data)
    for name, mask in masks.arrays().items():
        y = data.train.y if name == "train" else data.test.y if name.startswith("test") else data.validation.y
        assert mask.shape == y.shape and mask.any()
        assert name == "pairs" or (y[mask] >= 0).all()


def big(n: int, seed: int) -> Frames:
    return frames(n, "ab", seed=seed, shares=(0.75, 0.24, 0.01), t=200)


def test_caps_and_balance():
    data = dataclasses.replace(splits(), train=big(100, 0), validation=big(60, 1))
    y = data.validation.y
    masks = choose(data)
    assert masks.train.sum() == 15000 and masks.natural.sum() == 5000 and masks.pairs.sum() == 2500
    available = np.bincount(y[y >= 0])
    assert (np.bincount(y[masks.balanced]) == np.minimum(1000, available)).all() and available[2] < 1000
    natural = np.bincount(y[masks.natural]) / 5000
    np.testing.assert_allclose(natural, available / available.sum(), atol=0.02)
    few = choose(data, cap=300)
    assert (np.bincount(y[few.balanced]) == 100).all()
    assert few.train.sum() == 900 and few.natural.sum() == 300 and few.pairs.sum() == 150


def test_pairs_stay_within_a_sequence():
    masks = choose(splits()).of_validation()
    first, following = np.argwhere(masks["pairs"]), np.argwhere(masks["following"])
    assert (following - first == [0, 1]).all() and len(first) == len(following) > 0


def test_saved_and_loaded(tmp_path):
    for data in (splits(), splits(test=False)):
        masks = choose(data, seed=5)
        masks.save(tmp_path / "frames.npz")
        assert EvaluationSet.load(tmp_path / "frames.npz").digest() == masks.digest()
    assert [path.name for path in tmp_path.iterdir()] == ["frames.npz"]


@pytest.mark.parametrize("name", ["train", "validation"])
@pytest.mark.parametrize("labels, found", [(-1, "no labelled frames"), (1, "only class B")])
def test_fewer_than_two_classes_are_refused(name, labels, found):
    data = splits()
    frames = getattr(data, name)
    data = dataclasses.replace(data, **{name: dataclasses.replace(frames, y=np.full_like(frames.y, labels))})
    with pytest.raises(UserError, match=f"{name} split has {found}.*--split-seed"):
        choose(data)


def test_summary_names_classes_without_training_frames():
    data = splits()
    y = np.where(data.train.y == 2, -1, data.train.y)
    data = dataclasses.replace(data, train=dataclasses.replace(data.train, y=y))
    lines = choose(data).summary(data)
    assert len(lines) == 5
    assert any(line.startswith("natural:") and "not probed: no training frames" in line for line in lines)


def test_without_any_label_frames_are_drawn_from_all(tmp_path):
    data = splits()
    none = {name: dataclasses.replace(f, y=np.full_like(f.y, -1)) for name, f in data.by_name().items()}
    data = dataclasses.replace(data, **none)
    masks = choose(data, cap=50)
    assert not masks.labelled and [int(m.sum()) for m in masks.arrays().values()] == [150, 50, 50, 25, 50, 50]
    masks.save(tmp_path / "frames.npz")
    loaded = EvaluationSet.load(tmp_path / "frames.npz")
    assert loaded.digest() == masks.digest() and not loaded.labelled
