"""`python -m study.run` as its user meets it: a finished study, its plan, its manual."""

import json
import shutil
import tomllib

import mlflow
import pyarrow.parquet as pq
import pytest

from emargin_train.evaluation.metrics import METRICS
from study.results import schema
from tests.study.conftest import assert_one_line, command, small
from tests.tiny import tiny

pytestmark = pytest.mark.slow

DESIGN_COLUMNS = """
study trial config_hash seed split_seed data_hash git_revision started_at device mlflow_run_id
dataset split objective gate threshold dissimilar_share margin temperature neighbours similar_sign gamma head
kernel_size framing iterations snr_db noise_kind label_share supervised_term supervised_weight
status error diverged_step final_loss
silhouette davies_bouldin calinski_harabasz largest_cluster_share silhouette_normalised silhouette_null
silhouette_excess nmi ari silhouette_of_labels
paper_probe_accuracy paper_probe_precision paper_probe_recall paper_probe_f1 probe_accuracy
probe_balanced_accuracy probe_precision probe_recall probe_f1 knn_balanced_accuracy mlp_balanced_accuracy
effective_rank participation_ratio intrinsic_dimension mean_cosine alignment uniformity
pseudo_label_auroc pseudo_label_average_precision pseudo_label_precision pseudo_label_recall pseudo_label_f1
test_silhouette test_davies_bouldin test_nmi test_probe_accuracy test_probe_balanced_accuracy
test_knn_balanced_accuracy test_mlp_balanced_accuracy test_effective_rank
data_seconds train_seconds eval_seconds log_seconds peak_memory_mb stack_members
""".split()


@pytest.fixture(scope="module")
def table(finished):
    return pq.read_table(finished.folder / "results.parquet")


def test_a_study_ends_with_a_row_per_trial_and_seed(table):
    rows = table.to_pylist()
    by_objective = {
        name: [r for r in rows if r["objective"] == name] for name in {r["objective"] for r in rows}
    }
    counts = {name: len(of) for name, of in by_objective.items()}
    assert counts == {
        "emargin": 6,
        "infonce": 4,
        "raw": 1,
        "log-raw": 1,
        "pca": 1,
        "random": 2,
        "supervised": 2,
    }
    assert {row["status"] for row in rows} == {"ok"}
    settings = {(r["threshold"], r["margin"], r["temperature"]) for r in by_objective["emargin"]}
    assert len(settings) == 3
    assert sorted(r["seed"] for r in by_objective["emargin"]) == [0, 0, 0, 1, 1, 1]
    assert {r["role"] for r in by_objective["infonce"]} == {"baseline"}


def test_the_table_is_the_designs(table):
    assert set(DESIGN_COLUMNS) <= set(table.column_names)
    assert table.schema.equals(schema())
    assert table.schema.metadata[b"schema_version"] == b"1"
    for name, metric in METRICS.items():
        about = table.schema.field(name).metadata
        assert about[b"best"].decode() == (metric.best or "none") and about[b"source"]


def test_unknown_is_null_and_never_zero(table):
    rows = table.to_pylist()
    raw = next(row for row in rows if row["objective"] == "raw")
    infonce = next(row for row in rows if row["objective"] == "infonce")
    assert raw["temperature"] is None and raw["iterations"] is None and raw["final_loss"] is None
    assert infonce["threshold"] is None and infonce["margin"] is None and infonce["temperature"] is not None
    reasons = json.loads(raw["null_reasons"] or "{}")
    for row in rows:
        for name, metric in METRICS.items():
            value = row[name]
            assert value is None or metric.low - 1e-9 <= value <= metric.high + 1e-9, (name, value)
        if row["objective"] == "raw":
            nulls = {n for n in METRICS if row[n] is None and METRICS[n].group != "pseudo-label"}
            assert nulls == set(reasons)


def test_the_folder_holds_what_the_design_says(finished):
    assert tomllib.loads((finished.folder / "study.toml").read_text())["trials"] == 3
    manifest = json.loads((finished.folder / "manifest.json").read_text())
    assert manifest["versions"]["torch"] and manifest["data_hash"] and manifest["split"]
    assert manifest["asked"] == len(finished.records())
    assert manifest["clusters"] == {"tiny": 3}
    assert manifest["classes"] == ["high", "low", "middle"]
    assert (finished.folder / "report" / "index.html").stat().st_size > 10_000
    assert len(list((finished.folder / "checkpoints").glob("*.pt"))) == 6 + 4 + 2
    kept = {path.stem.rsplit("-", 1)[0] for path in (finished.folder / "embeddings").glob("*.arrow")}
    assert {"raw", "random", "supervised"} <= kept
    assert not (finished.folder / "ray").exists()


def test_mlflow_holds_one_study_run_and_a_finished_child_for_each_row(finished, table):
    client = mlflow.MlflowClient(f"sqlite:///{finished.out}/mlflow.db")
    (experiment,) = (e for e in client.search_experiments() if e.name != "Default")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    (study,) = (run for run in runs if run.data.tags["kind"] == "study")
    children = {run.info.run_id: run for run in runs if run.data.tags["kind"] == "trial"}
    assert study.info.status == "FINISHED" and {c.info.status for c in children.values()} == {"FINISHED"}
    assert {c.data.tags["mlflow.parentRunId"] for c in children.values()} == {study.info.run_id}
    assert set(children) == set(table["mlflow_run_id"].to_pylist()) and len(children) == table.num_rows
    for row in table.to_pylist():
        run = children[row["mlflow_run_id"]]
        assert run.data.metrics["silhouette"] == pytest.approx(row["silhouette"])
        if row["objective"] == "emargin":
            assert len(client.get_metric_history(row["mlflow_run_id"], "loss")) == 4
            assert client.list_artifacts(row["mlflow_run_id"])


def test_standard_error_is_calm(finished):
    for line in finished.ran.stderr.splitlines():
        assert line.startswith(("data: ", "  ", "ray: ")) or "/" in line.split()[0], line
    assert "report:" in finished.ran.stdout and "mlflow ui" in finished.ran.stdout


def test_the_same_command_again_runs_nothing_and_changes_no_result(finished, table):
    ran = command(*finished.words)
    assert ran.returncode == 0, ran.stderr
    again = pq.read_table(finished.folder / "results.parquet")
    assert again.equals(table)


def test_a_taken_name_with_other_settings_is_refused(finished):
    before = (finished.folder / "study.toml").read_bytes()
    ran = command(*finished.words, "--trials", "5")
    assert_one_line(ran, "'small'", "another trials", "choose another name")
    assert (finished.folder / "study.toml").read_bytes() == before


def test_a_row_is_what_pretrain_alone_gives(finished, table):
    row = next(r for r in table.to_pylist() if r["objective"] == "emargin" and r["seed"] == 1)
    knobs = [f"--{name}={row[name]!r}" for name in ("threshold", "margin", "temperature")]
    ran = command(
        *small(), *knobs, "--seed", "1", "--json", module="emargin_train.pretrain", OMP_NUM_THREADS="1"
    )
    assert ran.returncode == 0, ran.stderr
    alone = json.loads(ran.stdout)
    assert alone["config_hash"] == row["config_hash"] and alone["data_hash"] == row["data_hash"]
    for name in METRICS:
        assert alone[name] == (pytest.approx(row[name], rel=1e-6) if row[name] is not None else None), name


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path):
    ran = command(*small(), "--trials", "3", "--seeds", "0,1", "--out", str(tmp_path / "runs"), "--dry-run")
    assert ran.returncode == 0, ran.stderr
    for told in (
        "searched emargin: 3 trials × seeds 0,1",
        "threshold 0.2:0.99",
        "ms a step",
        "expected time",
        "rows: 17",
    ):
        assert told in ran.stdout
    assert not (tmp_path / "runs").exists()


def test_help_reads_like_a_manual_page():
    ran = command("--help")
    assert ran.returncode == 0
    for told in (
        "examples:",
        "exit codes:",
        "--dissimilar-share",
        "results.parquet",
        "python -m study.run --preset smoke",
    ):
        assert told in ran.stdout


def test_the_dataset_may_be_moved(tmp_path):
    """The description's folder is the default data folder, wherever it is."""
    shutil.copytree(tiny().parent, tmp_path / "moved")
    words = ("--dataset", str(tmp_path / "moved" / "tiny.toml"), "--iterations", "2", "--json")
    ran = command(*words, module="emargin_train.pretrain")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["status"] == "ok"
