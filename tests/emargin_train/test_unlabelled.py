"""Recordings without labels are split, trained on and measured; what needs labels is null and says why."""

import numpy as np
import pytest

from emargin_train.config import TrainConfig
from emargin_train.data import load
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError
from emargin_train.evaluation.metrics import METRICS
from emargin_train.methods import METHODS
from emargin_train.pretrain import Outcome, pretrain
from tests.emargin_train.data.made import command, refused
from tests.tiny import tiny, unlabelled


def outcome(**more: object) -> Outcome:
    flat = {"dataset": str(unlabelled()), "evaluation_frames": 200} | more
    if METHODS[str(flat.get("method", "emargin"))].Training is not None:
        flat["iterations"] = 2
    *_, found = pretrain(TrainConfig.from_dict(flat))
    assert isinstance(found, Outcome)
    return found


def test_every_metric_is_there_or_null_for_want_of_labels() -> None:
    found = outcome(clusters=3)
    for name, metric in METRICS.items():
        value = found.row.get(name)
        assert (value is None) == metric.needs_labels, (name, value)
        if metric.needs_labels and metric.group != "pseudo-label":
            assert found.evaluation is not None and "label" in found.evaluation.reasons[name]


def test_without_a_number_of_clusters_their_scores_are_null() -> None:
    found = outcome()
    assert found.evaluation is not None
    for name, metric in METRICS.items():
        if metric.group == "clustering":
            assert found.row[name] is None and "label" in found.evaluation.reasons[name]
    assert found.row["effective_rank"] is not None and found.row["alignment"] is not None


def test_the_number_of_clusters_counts_with_labels_too() -> None:
    three, seven = (outcome(dataset=str(tiny()), method="raw", clusters=k) for k in (None, 7))
    again = outcome(dataset=str(tiny()), method="raw", clusters=3)
    assert again.row["silhouette"] == three.row["silhouette"] != seven.row["silhouette"]


@pytest.mark.parametrize("split", ["subject", "leave-one-subject-out", "time", "released"])
def test_every_kind_of_split(split: str) -> None:
    splits = load(DataConfig(dataset=str(unlabelled()), split=split))
    assert splits.class_names == () and (splits.train.y == -1).all()
    own = {name: set(frames.subject) for name, frames in splits.by_name().items()}
    if split in ("subject", "leave-one-subject-out"):
        assert [len(own[name]) for name in own] == [3, 1, 1] and len(set.union(*own.values())) == 5
    assert "no labels" in " ".join(splits.described)


def test_the_seed_decides_the_split() -> None:
    def test_subjects(seed: int) -> str:
        test = load(DataConfig(dataset=str(unlabelled()), split_seed=seed)).test
        assert test is not None
        return str(test.subject[0])

    assert len({test_subjects(seed) for seed in range(8)}) > 2
    assert test_subjects(3) == test_subjects(3)


@pytest.mark.parametrize(
    "more, said",
    [
        ({"method": "supervised"}, "no training sequence has a label"),
        ({"method": "emargin-semi"}, "no training sequence has a label"),
        ({"gate": "oracle"}, "gate is 'oracle'"),
    ],
)
def test_what_learns_from_labels_is_refused(more: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        outcome(**more)


@pytest.mark.parametrize("method", [name for name, of in METHODS.items() if not of.needs_labels])
def test_every_other_method_learns(method: str) -> None:
    small = METHODS[method].small
    row = outcome(method=method, **small).row
    assert row["status"] == "ok" and np.isfinite(row["effective_rank"])


def test_describe_says_that_there_are_no_labels(capsys: pytest.CaptureFixture, tmp_path) -> None:
    code, out, _ = command(capsys, "describe", unlabelled(), "--plot", tmp_path / "x.png")
    assert code == 0 and "(no labels)" in out and "order          means something" in out


def test_classes_without_labels_are_refused(capsys: pytest.CaptureFixture, tmp_path) -> None:
    (tmp_path / "x.toml").write_text('classes = ["a", "b"]\n' + unlabelled().read_text())
    assert "[labels] is missing" in refused(capsys, "describe", tmp_path / "x.toml", "--data-dir", tmp_path)
