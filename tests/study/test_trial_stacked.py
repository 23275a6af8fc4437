"""The seeds of a trial in one stack: the same records, carried on from wherever it stopped."""

import json

import pytest

from emargin_train.pretrain import Outcome, pretrain
from study import trial
from study.trial import run_trial, trial_records
from tests.study.test_trial import spec_of

FLOATS = {"final_loss", "silhouette", "probe_balanced_accuracy", "effective_rank"}
SAME = {
    "pseudo_label_auroc",
    "status",
    "seed",
    "config_hash",
    "data_hash",
    "threshold",
    "dissimilar_share",
    "objective",
}


def rows(spec, folder):
    return [record["row"] for record in trial_records(spec, folder)]


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial")
    list(run_trial(spec_of(), folder, stacked=False))
    return rows(spec_of(), folder)


@pytest.mark.parametrize("stop_after", [None, 1, 2])
def test_records_are_those_of_seeds_one_by_one(one_by_one, tmp_path, stop_after):
    spec = spec_of()
    if stop_after:
        running = run_trial(spec, tmp_path, stacked=True)
        for _ in range(stop_after):
            next(running)
        running.close()  # the worker dies here, between the checkpoints of two members or after both
    progress = list(run_trial(spec, tmp_path, stacked=True))
    assert [p.n_done for p in progress][-2:] == [1, 2]
    assert sum(p.n_done == 2 for p in progress) == 1  # the end is told once
    for mine, other in zip(rows(spec, tmp_path), one_by_one, strict=True):
        assert mine.keys() == other.keys()
        assert all(mine[name] == other[name] for name in SAME)
        for name in FLOATS:
            assert mine[name] == pytest.approx(other[name], rel=0.02, abs=0.02), name


def test_a_stack_that_raises_is_taken_apart(tmp_path, monkeypatch):
    spec = spec_of()

    def broken(*_, **__):
        raise ValueError("of the stack")
        yield

    monkeypatch.setattr(trial, "pretrain_many", broken)
    assert [p.n_done for p in run_trial(spec, tmp_path, stacked=True)][-1] == 2
    assert {row["status"] for row in rows(spec, tmp_path)} == {"ok"}


def test_finished_seeds_are_left_alone(tmp_path, monkeypatch):
    spec = spec_of()
    (tmp_path / "0.json").write_text(json.dumps({"seed": 0, "row": {}}))
    seen = []
    many = trial.pretrain_many
    monkeypatch.setattr(trial, "pretrain_many", lambda c, **more: (seen.extend(c), many(c, **more))[1])
    list(run_trial(spec, tmp_path, stacked=True))
    assert [config.seed for config in seen] == [1]
    assert (tmp_path / "1.json").exists() and rows(spec, tmp_path)[0] == {}


def test_records_are_those_of_pretrain_alone(one_by_one):
    """Each number to the last digit: a trial adds nothing to a training."""
    spec = spec_of()
    own = {"trial", "role", "started_at"} | {n for n in one_by_one[0] if n.endswith(("_seconds", "_mb"))}
    for seed, row in zip(spec.seeds, one_by_one, strict=True):
        (alone,) = (item.row for item in pretrain(spec.config(seed)) if isinstance(item, Outcome))
        assert row.keys() - own == alone.keys() - own
        assert {n: row[n] for n in row.keys() - own} == {n: alone[n] for n in row.keys() - own}
        assert row["silhouette"] is not None
