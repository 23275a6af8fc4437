"""The replicates of a trial in one stack: the same records, continued from wherever it stopped."""

import json
from dataclasses import replace

import pytest

from emargin_train.methods import METHODS
from emargin_train.methods.infonce import InfoNCE
from emargin_train.pretrain import Outcome, pretrain
from emargin_train.train_many import can_stack
from study import plan, trial
from study.trial import run_trial, trial_records
from tests.study.conftest import small_settings
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
    "split_seed",
    "gate_given_as",
    "method",
}


def rows(spec, folder):
    return [record["row"] for record in trial_records(spec, folder)]


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial")
    list(run_trial(spec_of(), folder, stacked=False))
    return rows(spec_of(), folder)


@pytest.mark.parametrize("stop_after", [None, 1, 2])
def test_records_are_those_of_replicates_one_by_one(one_by_one, tmp_path, stop_after):
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


def test_finished_replicates_are_left_alone(tmp_path, monkeypatch):
    spec = spec_of()
    (tmp_path / "0-0.json").write_text(json.dumps({"replicate": "0-0", "row": {}}))
    seen = []
    many = trial.pretrain_many
    monkeypatch.setattr(trial, "pretrain_many", lambda c, **more: (seen.extend(c), many(c, **more))[1])
    list(run_trial(spec, tmp_path, stacked=True))
    assert [config.seed for config in seen] == [1]
    assert (tmp_path / "0-1.json").exists() and rows(spec, tmp_path)[0] == {}


def test_records_are_those_of_pretrain_alone(one_by_one):
    """Each number to the last digit: a trial adds nothing to a training."""
    spec = spec_of()
    own = {"trial", "role", "started_at"} | {n for n in one_by_one[0] if n.endswith(("_seconds", "_mb"))}
    for one, row in zip(spec.replicates, one_by_one, strict=True):
        (alone,) = (item.row for item in pretrain(spec.config(one)) if isinstance(item, Outcome))
        assert row.keys() - own == alone.keys() - own
        assert {n: row[n] for n in row.keys() - own} == {n: alone[n] for n in row.keys() - own}
        assert row["silhouette"] is not None


class Averaged(InfoNCE):
    """It does something after a step, which a stack cannot."""

    name = "averaged"
    after = 0

    def after_step(self, step: int) -> None:
        type(self).after += 1


def test_a_method_that_cannot_be_stacked_is_trained_one_replicate_after_another(tmp_path, monkeypatch):
    """As on a GPU, without a word of failure."""
    monkeypatch.setitem(METHODS, "averaged", Averaged)
    monkeypatch.setattr(Averaged, "after", 0)
    settings = small_settings(baseline="none")
    arm = replace(plan.arms(settings)[-1], method="averaged")
    spec = plan.spec(settings, plan.Job(arm, 0, arm.replicates), {"iterations": 4})
    assert not can_stack(spec.config(spec.replicates[0])) and can_stack(spec_of().config(spec.replicates[0]))
    steps = [(p.n_done, p.step) for p in run_trial(spec, tmp_path, stacked=True)]
    assert steps == [(0, 4), (1, 0), (1, 4), (2, 0)]
    assert Averaged.after == 2 * 4
    made = rows(spec, tmp_path)
    assert [row["status"] for row in made] == ["ok", "ok"] and {row["stack_members"] for row in made} == {1}
    assert not list(tmp_path.glob("*.traceback.txt"))
