"""A trial keeps its replicates in a folder, continues where it stopped, and records failures as results."""

import json

import pyarrow as pa
import pytest

from emargin_train import checkpoint
from emargin_train.hyperparameters import table
from emargin_train.methods import METHODS
from study import plan
from study.goals import goal_values
from study.trial import loss_curve, run_trial, trial_records
from tests.study.conftest import small_settings

VOLATILE = ("started_at", "data_seconds", "train_seconds", "eval_seconds", "peak_memory_mb")


def spec_of(method="emargin", *, settings=None, **values):
    """A trial of four steps and two seeds; values: of its hyper-parameters"""
    settings = settings or small_settings(
        methods=(method,) if METHODS[method].role == "method" else ("emargin",)
    )
    arm = next(arm for arm in plan.arms(settings) if arm.method == method)
    usual = {"threshold": 0.5, "margin": 1.0, "temperature": 0.1, "iterations": 4}
    read = table(method, settings.encoder)
    chosen = {name: value for name, value in usual.items() if name in read}
    return plan.spec(settings, plan.Job(arm, 0, arm.replicates), chosen | values)


def stable(records):
    rows = [record["row"] for record in records]
    return [{name: value for name, value in row.items() if name not in VOLATILE} for row in rows]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial")
    spec = spec_of()
    steps = [(progress.n_done, progress.step) for progress in run_trial(spec, folder)]
    return spec, folder, steps


def test_a_trial_leaves_a_record_an_encoder_and_embeddings_for_each_replicate(undisturbed):
    spec, folder, steps = undisturbed
    records = trial_records(spec, folder)
    assert [record["replicate"] for record in records] == ["0-0", "0-1"]
    assert [(record["row"]["split_seed"], record["row"]["seed"]) for record in records] == [(0, 0), (0, 1)]
    assert len({record["row"]["config_hash"] for record in records}) == 1
    assert {record["row"]["status"] for record in records} == {"ok"}
    assert records[0]["row"]["silhouette"] != records[1]["row"]["silhouette"]
    assert steps == [(0, 4), (1, 0), (1, 4), (2, 0)]
    assert records[0]["curve"][-1][0] == 4
    with pa.memory_map(str(folder / "0-0.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
    assert table.column_names == ["h", "label", "cluster", "subject", "record", "frame"]
    assert table.schema.field("h").type.list_size == 320


@pytest.mark.slow
@pytest.mark.parametrize("n_reports", [1, 2, 3])
def test_a_trial_stopped_anywhere_ends_with_the_same_records(undisturbed, tmp_path, n_reports):
    spec, folder, _ = undisturbed
    running = run_trial(spec, tmp_path)
    for _ in range(n_reports):
        next(running)
    running.close()  # the worker dies here
    list(run_trial(spec, tmp_path))
    assert stable(trial_records(spec, tmp_path)) == stable(trial_records(spec, folder))


def test_an_exception_is_a_failed_row_and_the_other_seed_goes_on(tmp_path, monkeypatch):
    from study import trial

    real = trial.pretrain

    def breaks_once(config, **more):
        if config.seed == 0:
            raise RuntimeError("the disk is on fire")
        return real(config, **more)

    monkeypatch.setattr(trial, "pretrain", breaks_once)
    spec = spec_of()
    list(run_trial(spec, tmp_path))
    first, second = (record["row"] for record in trial_records(spec, tmp_path))
    assert first["status"] == "failed" and first["error"] == "RuntimeError: the disk is on fire"
    assert first["threshold"] == 0.5 and first.get("silhouette") is None
    assert second["status"] == "ok"
    assert "breaks_once" in (tmp_path / "0-0.traceback.txt").read_text()
    assert goal_values([first, second], ("silhouette",)) is None


def test_replicates_on_several_splits_are_several_trainings(tmp_path):
    spec = spec_of(settings=small_settings(split_seeds=(0, 1), seeds=(0,)))
    list(run_trial(spec, tmp_path))
    records = trial_records(spec, tmp_path)
    assert [record["replicate"] for record in records] == ["0-0", "1-0"]
    first, second = (record["row"] for record in records)
    assert first["config_hash"] == second["config_hash"] and first["data_hash"] == second["data_hash"]
    assert first["silhouette"] != second["silhouette"]
    goals = goal_values([first, second], ("silhouette",))
    assert goals == [pytest.approx((first["silhouette"] + second["silhouette"]) / 2)]


def test_a_diverged_training_says_at_which_step(tmp_path):
    spec = spec_of("emargin-released", margin=100.0)
    list(run_trial(spec, tmp_path))
    for record in trial_records(spec, tmp_path):
        row = record["row"]
        assert row["status"] == "diverged" and row["diverged_step"] >= 1
        assert row.get("silhouette") is None and "not finite" in row["error"]
        json.dumps(record, allow_nan=False)


def test_a_reference_is_measured_and_not_trained(tmp_path):
    spec = spec_of("raw")
    list(run_trial(spec, tmp_path))
    (record,) = trial_records(spec, tmp_path)
    assert record["row"]["method"] == "raw" and record["row"]["status"] == "ok"
    assert record["row"].get("threshold") is None and record["row"].get("iterations") is None
    assert checkpoint.load(tmp_path / "0-0.pt")["step"] == 0 and (tmp_path / "0-0.arrow").exists()


@pytest.mark.parametrize("n", [0, 1, 99, 100, 101, 1234])
def test_a_loss_curve_has_at_most_100_points_and_keeps_the_mean(n):
    losses = [float(i) for i in range(n)]
    curve = loss_curve(losses)
    assert len(curve) <= 100
    if n:
        assert curve[-1][0] == n
        widths = [b - a for a, b in zip([0, *(s for s, _ in curve)], [s for s, _ in curve], strict=False)]
        assert sum(w * loss for w, (_, loss) in zip(widths, curve, strict=True)) == pytest.approx(sum(losses))
