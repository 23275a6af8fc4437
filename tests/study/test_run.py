"""`python -m study.run` as a user sees it: a finished study, its plan, its help text."""

import argparse
import json
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pyarrow.parquet as pq
import pytest
import torch

from analysis import tables
from emargin_train.evaluation.metrics import METRICS
from emargin_train.hyperparameters import all_hyperparameters
from emargin_train.methods import METHODS
from study import plan, results
from study import run as program
from study.command_line import build_parser, flags_of, resumed_settings, settings_of
from study.run_study import StudyOutcome
from study.schema import schema
from study.settings import StudySettings
from tests.study.conftest import assert_one_line, change_range, command, here, small
from tests.tiny import SUBJECTS, tiny

pytestmark = pytest.mark.slow

DESIGN_COLUMNS = """
study trial config_hash seed split_seed data_hash git_revision started_at device
mlflow_experiment_id mlflow_run_id
dataset split method encoder encoder_variant encoder_context
gate_given_as sequence_length evaluation_frames noise_kind
gate threshold dissimilar_share margin temperature neighbours similar_sign gamma head
kernel_size spectrum_scale iterations batch_size learning_rate weight_decay snr_db
label_share supervised_term supervised_weight
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


@dataclass(frozen=True)
class Finished:
    out: Path
    folder: Path
    ran: subprocess.CompletedProcess[str]
    words: tuple[str, ...]

    def records(self) -> list[dict]:
        return [json.loads(path.read_text()) for path in sorted((self.folder / "records").glob("*.json"))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Three eMargin trials x two seeds, two InfoNCE trials, all references; a program of its own ran it."""
    out = tmp_path_factory.mktemp("runs")
    where = ("--out", str(out), "--name", "small", "--address", "local")
    words = (*small(), "--trials", "3", "--seeds", "0,1", *where)
    ran = command(*words)
    assert ran.returncode == 0, ran.stderr
    return Finished(out, out / "small", ran, words)


def settings_from(*words: str) -> StudySettings:
    """What the command line makes of these words."""
    args = build_parser().parse_args(words)
    return resumed_settings(Path(args.resume), flags_of(args)) if args.resume else settings_of(args)


@pytest.fixture(scope="module")
def table(finished):
    return pq.read_table(finished.folder / "results.parquet")


def test_a_study_ends_with_a_row_per_trial_and_seed(table):
    rows = table.to_pylist()
    by_method = {name: [r for r in rows if r["method"] == name] for name in {r["method"] for r in rows}}
    counts = {name: len(of) for name, of in by_method.items()}
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
    settings = {(r["threshold"], r["margin"], r["temperature"]) for r in by_method["emargin"]}
    assert len(settings) == 3
    assert sorted(r["seed"] for r in by_method["emargin"]) == [0, 0, 0, 1, 1, 1]
    assert {r["role"] for r in by_method["infonce"]} == {"baseline"}
    assert {row["split_seed"] for row in rows} == {0}
    for trial in {row["trial"] for row in rows}:
        assert len({row["config_hash"] for row in rows if row["trial"] == trial}) == 1


def test_the_table_is_the_designs(table):
    assert set(DESIGN_COLUMNS) <= set(table.column_names)
    assert table.schema.equals(schema(("silhouette", "probe_balanced_accuracy")), check_metadata=True)
    assert table.schema.metadata[b"schema_version"] == b"2"
    for name, metric in METRICS.items():
        about = table.schema.field(name).metadata
        assert about[b"best"].decode() == (metric.best or "none") and about[b"source"]


def test_unknown_is_null_and_never_zero(table):
    rows = table.to_pylist()
    raw = next(row for row in rows if row["method"] == "raw")
    infonce = next(row for row in rows if row["method"] == "infonce")
    assert raw["encoder"] is None and raw["encoder_variant"] is None and infonce["encoder"] == "projector"
    assert raw["temperature"] is None and raw["iterations"] is None and raw["final_loss"] is None
    assert infonce["threshold"] is None and infonce["margin"] is None and infonce["temperature"] is not None
    reasons = json.loads(raw["null_reasons"] or "{}")
    for row in rows:
        for name, metric in METRICS.items():
            value = row[name]
            assert value is None or metric.low - 1e-9 <= value <= metric.high + 1e-9, (name, value)
        if row["method"] == "raw":
            nulls = {n for n in METRICS if row[n] is None and METRICS[n].group != "pseudo-label"}
            assert nulls == set(reasons)


def test_analysis_reads_what_the_study_exported(finished, table):
    study = tables.load(finished.folder)
    assert study.schema.unknown == () and study.schema.goals == ("silhouette", "probe_balanced_accuracy")
    assert len(study.rows) == table.num_rows and set(METHODS) == set(study.methods)
    assert {name: one.title for name, one in study.hyperparameters.items()} == {
        name: one.title for name, one in all_hyperparameters().items()
    }
    assert {name: metric.title for name, metric in study.metrics.items()} == {
        name: metric.title for name, metric in METRICS.items()
    }
    trials = tables.per_trial(study, ["silhouette"])
    emargin = trials[trials["method"] == "emargin"]
    # thresholds of 0.2:0.99 were given, whatever their digits look like
    assert set(emargin["gate_given_as"]) == {"threshold"}
    assert set(tables.varying(study, emargin)) == {"threshold", "margin", "temperature"}
    assert emargin["dissimilar_share"].notna().all()  # what follows from it is there too


def test_study_toml_holds_the_resolved_space_of_every_method(finished):
    stored = tomllib.loads((finished.folder / "study.toml").read_text())
    assert stored["hyperparameters"] == {"iterations": "4"} and stored["split_seeds"] == [0]
    assert set(stored["space"]) == {"supervised", "raw", "log-raw", "pca", "random", "emargin", "infonce"}
    emargin, infonce = stored["space"]["emargin"], stored["space"]["infonce"]
    searched = {"threshold": "0.2:0.99", "margin": "0.5:10", "temperature": "0.05:1"}
    assert {name: text for name, text in emargin.items() if ":" in text} == searched
    assert {name: text for name, text in infonce.items() if ":" in text} == {"temperature": "0.05:1"}
    assert (
        emargin["iterations"] == infonce["iterations"] == stored["space"]["supervised"]["iterations"] == "4"
    )


def test_the_folder_holds_what_the_design_says(finished, table):
    assert tomllib.loads((finished.folder / "study.toml").read_text())["trials"] == 3
    manifest = json.loads((finished.folder / "manifest.json").read_text())
    assert manifest["versions"]["torch"] and manifest["data_hash"] and manifest["split"].keys() == {"0"}
    assert (finished.folder / "evaluation_frames" / "0.npz").is_file()
    assert manifest["asked"] == len(finished.records())
    assert manifest["clusters"] == {"tiny": 3}
    sides = manifest["subjects"]["tiny"]["0"]
    assert sorted(name for names in sides.values() for name in names) == sorted(SUBJECTS)
    assert set(sides) == {"train", "validation", "test"}
    assert manifest["dataset_titles"] == {"tiny": "Tiny: coloured noise in three classes"}
    assert manifest["classes"] == ["high", "low", "middle"]
    assert (finished.folder / "report" / "index.html").stat().st_size > 10_000
    keys = {f"{row['trial']}-{row['split_seed']}-{row['seed']}" for row in table.to_pylist()}
    for name, ending in (("records", "json"), ("checkpoints", "pt")):
        assert {path.stem for path in (finished.folder / name).glob(f"*.{ending}")} == keys
    kept = {path.stem.rsplit("-", 2)[0] for path in (finished.folder / "embeddings").glob("*.arrow")}
    assert {"raw", "random", "supervised"} <= kept
    assert not (finished.folder / "ray").exists()


def test_mlflow_holds_a_run_for_the_study_for_each_trial_and_for_each_row(finished, table):
    client = mlflow.MlflowClient(f"sqlite:///{finished.out}/mlflow.db")
    (experiment,) = (e for e in client.search_experiments() if e.name != "Default")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    (study,) = (run for run in runs if run.data.tags["kind"] == "study")
    children = {run.info.run_id: run for run in runs if run.data.tags["kind"] == "replicate"}
    trials = {run.data.tags["trial"]: run for run in runs if run.data.tags["kind"] == "trial"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in trials.values()} == {study.info.run_id}
    assert len(runs) == 1 + len(trials) + len(children)
    for child in children.values():
        assert child.data.tags["mlflow.parentRunId"] == trials[child.data.tags["trial"]].info.run_id
    means = table.to_pandas().groupby("trial")["silhouette"].mean()
    for trial, run in trials.items():
        assert run.data.metrics["silhouette"] == pytest.approx(means[trial])
    assert set(children) == set(table["mlflow_run_id"].to_pylist()) and len(children) == table.num_rows
    for row in table.to_pylist():
        run = children[row["mlflow_run_id"]]
        assert run.data.metrics["silhouette"] == pytest.approx(row["silhouette"])
        if row["method"] == "emargin":
            assert len(client.get_metric_history(row["mlflow_run_id"], "loss")) == 4
            assert client.list_artifacts(row["mlflow_run_id"])
    assert {file.path for file in client.list_artifacts(study.info.run_id)} == {
        "study.toml", "manifest.json", "results.parquet", "report",
    }  # fmt: skip
    page = client.download_artifacts(study.info.run_id, "report/index.html")
    assert Path(page).read_bytes() == (finished.folder / "report" / "index.html").read_bytes()


def test_standard_error_is_calm(finished):
    for line in finished.ran.stderr.splitlines():
        assert (
            line.startswith(("study: ", "data: ", "  ", "trials: ", "browse: ", "ray: "))
            or line.startswith("mlflow: ")  # on a busy machine: how many runs are still to be exported
            or "/" in line.split()[0]
        ), line
    assert "report:" in finished.ran.stdout and "study.server --out" in finished.ran.stdout


def test_the_same_command_again_runs_nothing_and_changes_no_result(finished, table, monkeypatch):
    """Also where this version searches other ranges by default."""
    before = (finished.folder / "study.toml").read_bytes()
    change_range(monkeypatch, "margin", 1, 2)
    ran = here(*finished.words)
    assert ran.returncode == 0 and "ray:" not in ran.stderr, ran.stderr  # nothing is left to run there
    again = pq.read_table(finished.folder / "results.parquet")
    assert again.equals(table)
    assert (finished.folder / "study.toml").read_bytes() == before


@pytest.mark.parametrize(
    "flags, told",
    [
        (("--trials", "5"), "--trials 3, not 5"),
        (("--seeds", "0"), "--seeds 0,1, not 0"),
        (("--split-seeds", "0,1"), "--split-seeds 0, not 0,1"),
        (("--threshold", "0.2:0.5"), "--threshold 0.2:0.99, not 0.2:0.5"),
        (("--method", "emargin,emargin-semi"), "--method emargin, not emargin,emargin-semi"),
    ],
)
def test_a_taken_name_with_other_settings_is_refused(finished, flags, told):
    before = (finished.folder / "study.toml").read_bytes()
    ran = here(*finished.words, *flags)
    assert_one_line(ran, "'small'", told, "choose another name")
    assert (finished.folder / "study.toml").read_bytes() == before


@pytest.mark.parametrize(
    "flags, told",
    [
        (("--trials", "5"), ("--trials 5", "a study with 3")),
        (("--threshold", "0.2:0.5"), ("--threshold 0.2:0.5", "a study with 0.2:0.99")),
        (("--dissimilar-share", "0:1"), ("--dissimilar-share 0:1", "a study with no value")),
        (("--label-share", "0.1"), ("--label-share 0.1", "no method")),
        (("--iterations", "5"), ("--iterations 5", "a study with 4")),
    ],
)
def test_another_value_beside_resume_is_refused(finished, flags, told):
    ran = here("--resume", str(finished.folder), *flags, "--dry-run")
    assert_one_line(ran, *told, "leave it out")


def test_stored_ranges_stand_when_resumed_and_as_a_config(finished, monkeypatch):
    """Whatever a later version searches by default."""
    change_range(monkeypatch, "threshold", 0.5, 0.6)
    stored = results.stored_settings(finished.folder)
    resumed = plan.resolved(settings_from("--resume", str(finished.folder), "--threshold", "0.20:0.99"))
    assert resumed == stored
    again = plan.resolved(settings_from("--config", str(finished.folder / "study.toml"), "--name", "again"))
    assert again.space == stored.space and again.differences(stored) == {"--name": ("again", "small")}
    changed = settings_from(
        "--config", str(finished.folder / "study.toml"), "--name", "b", "--margin", "3", "--snr-db", "10"
    )
    assert plan.resolved(changed).space["emargin"] == stored.space["emargin"] | {
        "margin": "3",
        "snr_db": "10",
    }
    assert plan.resolved(changed).space["raw"] == stored.space["raw"] | {"snr_db": "10"}
    plain = plan.resolved(settings_from(*small()))
    assert plain.space["emargin"]["threshold"] == "0.5:0.6"


def test_a_row_is_what_pretrain_alone_gives(finished, table):
    row = next(r for r in table.to_pylist() if r["method"] == "emargin" and r["seed"] == 1)
    values = [f"--{name}={row[name]!r}" for name in ("threshold", "margin", "temperature")]
    ran = here(*small(), *values, "--seed", "1", "--json", module="emargin_train.pretrain")
    assert ran.returncode == 0, ran.stderr
    alone = json.loads(ran.stdout)
    assert alone["config_hash"] == row["config_hash"] and alone["data_hash"] == row["data_hash"]
    for name in METRICS:
        assert alone[name] == (pytest.approx(row[name], rel=1e-6) if row[name] is not None else None), name


def test_a_row_is_repeated_in_all_digits(finished, table):
    row = next(row for row in table.to_pylist() if row["role"] == "searched" and row["status"] == "ok")
    replicate = f"{row['split_seed']}-{row['seed']}"
    ran = here(str(finished.folder), row["trial"], replicate, module="study.repeat")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    *_, last = ran.stdout.splitlines()
    n = last.partition(" metrics")[0]
    assert last == f"{n} metrics, {n} equal in all digits; all within their tolerance" and int(n) > 30


def test_the_start_names_folder_trials_and_mlflow(finished):
    said = finished.ran.stderr
    assert f"study: {finished.folder}\n" in said
    assert re.search(r"browse: .*study.server --out \S+\n  then open .*/#/experiments/\d+/runs", said)
    again = here(*finished.words)
    assert again.returncode == 0 and re.search(r"trials: (\d+), \1 of them done already", again.stderr)


def test_a_quiet_study_prints_its_results_alone(finished):
    ran = here(*finished.words, "--quiet")
    assert ran.returncode == 0 and ran.stderr == "" and "results:" in ran.stdout


def test_the_log_of_a_successful_study_has_no_error(finished):
    lines = (finished.folder / "log" / "libraries.log").read_text().splitlines()
    assert not [line for line in lines if " ERROR " in line]


def test_a_taken_name_is_refused_with_every_difference(finished):
    ran = here(*finished.words, "--sampler", "random", "--threshold", "0.3")
    assert_one_line(ran, "--sampler tpe, not random", "--threshold 0.2:0.99, not 0.3", "study.run --resume")
    assert "--extend" not in ran.stderr
    more = [word if word != "3" else "5" for word in finished.words]
    assert_one_line(here(*more), "--trials 3, not 5", "add --extend N")
    fewer = here(*[word if word != "3" else "2" for word in finished.words])
    assert_one_line(fewer, "--trials 3, not 2")
    assert "--extend" not in fewer.stderr


def test_the_flag_that_was_given_is_named_beside_resume(finished):
    ran = here("--resume", str(finished.folder), "--margin", "3")
    assert_one_line(ran, "--margin 3 is given with --resume", "is a study with 0.5:10")


def test_one_seed_with_a_number_is_explained():
    assert "for 3 seeds, give --seeds 0:2" in str(settings_from(*small(), "--seeds", "3").note)
    for seeds in ("0", "1", "0:2"):
        assert settings_from(*small(), "--seeds", seeds).note is None


def test_dry_run_refuses_what_the_machine_has_not(finished):
    for asked in ("64", "auto") if not torch.cuda.is_available() else ("64",):
        ran = here(*finished.words, "--name", "gpu", "--gpus-per-trial", asked, "--dry-run")
        assert_one_line(ran, f"--gpus-per-trial is {asked}", "this machine has")


def test_dry_run_refuses_what_the_study_would_refuse(finished):
    taken = here(*finished.words, "--sampler", "random", "--dry-run")
    assert_one_line(taken, "--sampler tpe, not random")
    none = here("--resume", str(finished.folder), "--extend", "0", "--dry-run")
    assert_one_line(none, "--extend is 0")


def test_dry_run_counts_what_is_done_already(finished):
    done = here("--resume", str(finished.folder), "--dry-run").stdout
    (rows,) = re.findall(r"rows: (\d+), (\d+) of them done already", done)
    assert rows[0] == rows[1] and "expected time: about 0.0 min" in done
    more = here("--resume", str(finished.folder), "--extend", "2", "--dry-run").stdout
    (asked,) = re.findall(r"rows: (\d+), (\d+) of them done already", more)
    assert int(asked[0]) > int(rows[0]) == int(asked[1])


@pytest.mark.parametrize("flag, value", [("--preset", "smoke"), ("--config", "missing.toml")])
def test_other_settings_beside_resume_are_refused(finished, flag, value):
    assert_one_line(here("--resume", str(finished.folder), flag, value, "--dry-run"), f"{flag} is given with")


def test_dry_run_plans_a_study_that_diverges(tmp_path):
    flags = ("--method", "emargin-released", "--baseline", "none", "--references", "raw", "--design", "grid")
    paper = ("--margin", "100", "--temperature", "0.5", "--precision", "float32,float64")
    ran = here(*small(), *flags, *paper, "--out", str(tmp_path), "--dry-run")
    assert ran.returncode == 0, ran.stderr
    assert "emargin-released in float32 diverges: the loss is not finite at step 1; in float64" in ran.stdout
    assert "train with --precision float64" in ran.stdout and "expected time" in ran.stdout
    assert re.search(r"emargin-released in float64: \d+ ms a step", ran.stdout)


def test_files_that_mlflow_lacks_are_told_with_the_command_that_adds_them(tmp_path, capsys):
    settings = settings_from(*small(), "--name", "a b", "--out", str(tmp_path))
    counts = {"ok": 1, "diverged": 0, "failed": 0}
    outcome = StudyOutcome(counts, {}, 1, None, False, "", 0, report=tmp_path, not_published="disk full")
    program.show(settings, argparse.Namespace(preset=None), outcome, 1.0)
    said = capsys.readouterr().err
    assert said.startswith("warning: MLflow lacks the study's table and report (disk full)")
    assert f"python -m study.sync '{tmp_path}/a b'" in said and outcome.exit_code == 0


def test_a_report_that_cannot_be_drawn_leaves_the_study_done(finished, tmp_path):
    folder = tmp_path / finished.folder.name
    shutil.copytree(finished.folder, folder)
    (damaged, *_) = (folder / "embeddings").glob("*.arrow")
    for path in (folder / "embeddings").glob("*.arrow"):
        path.write_bytes(path.read_bytes()[:100])
    ran = here("--resume", str(folder))
    assert ran.returncode == 0 and "Traceback" not in ran.stderr, ran.stderr
    assert "warning: the report could not be drawn" in ran.stderr and damaged.suffix in ran.stderr
    assert f"-m analysis.report {folder}\n" in ran.stdout
    assert "Error" in (folder / "log" / "report.traceback.txt").read_text()


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path):
    where = ("--out", str(tmp_path / "runs"), "--dry-run")
    ran = here(*small(), "--trials", "3", "--seeds", "0,1", "--split-seeds", "0:1", *where)
    assert ran.returncode == 0, ran.stderr
    for told in (
        "searched emargin: 3 trials × seeds 0,1 × 2 splits",
        "threshold 0.2:0.99",
        "ms a step",
        "expected time",
        "rows: 34",
    ):
        assert told in ran.stdout
    assert not (tmp_path / "runs").exists()


def test_the_dataset_may_be_moved(tmp_path):
    """The description's folder is the default data folder, wherever it is."""
    shutil.copytree(tiny().parent, tmp_path / "moved")
    words = ("--dataset", str(tmp_path / "moved" / "tiny.toml"), "--iterations", "2", "--json")
    ran = here(*words, module="emargin_train.pretrain")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["status"] == "ok"
