"""Loading a study: everything that is read is checked, and every fault gives one line with its remedy."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import analysis
from analysis.errors import UserError
from analysis.tables import command, per_trial, settings_text
from tests.analysis import synthetic


def test_metrics_come_from_the_file(tmp_path: Path) -> None:
    study = analysis.load(synthetic.write(tmp_path / "a", synthetic.rows(trials=2, baseline_trials=1)))
    assert set(study.metrics) == set(synthetic.METRICS)
    assert study.metrics["davies_bouldin"].best == "min" and study.metrics["effective_rank"].best is None
    assert study.metrics["davies_bouldin"].high == np.inf and study.metrics["silhouette"].low == -1


def test_trial_means_leave_failures_out_but_count_them(tmp_path: Path) -> None:
    rows = synthetic.rows(trials=3, baseline_trials=0, diverged=0, failed=0, references=False)
    lost = (rows["trial"] == "emargin-0001") & (rows["seed"] == 2)
    rows.loc[lost, "status"] = "diverged"
    rows.loc[lost, list(synthetic.METRICS)] = None
    study = analysis.load(synthetic.write(tmp_path / "a", rows))
    table = per_trial(study, ["silhouette"]).set_index("trial")
    kept = rows[(rows["trial"] == "emargin-0001") & ~lost]["silhouette"].astype(float)
    row = table.loc["emargin-0001"]
    assert row["silhouette"] == pytest.approx(kept.mean())
    assert (row["ok"], row["replicates"], row["complete"]) == (2, 3, False)
    assert bool(table.loc["emargin-0000", "complete"])


def test_settings_in_words_and_as_command(tmp_path: Path) -> None:
    study = analysis.load(synthetic.write(tmp_path / "a", synthetic.rows(trials=2, baseline_trials=2)))
    table = per_trial(study, []).set_index("trial")
    assert settings_text(study, table)["raw"] == ""
    assert settings_text(study, table)["emargin-0000"].startswith("threshold ")
    line = command(study, table.loc["infonce-0000"])
    assert "--method infonce" in line and "--temperature=" in line and "--threshold" not in line
    study.settings["data_dir"] = "mitdb"
    line = command(study, table.loc["emargin-0000"])
    assert "--data-dir mitdb" in line and "--threshold=" in line and "--dissimilar-share" not in line


def damage(folder: Path, kind: str) -> Path:
    """A study's folder with one fault."""
    if kind == "absent":
        return folder / "nowhere"
    rows = synthetic.rows(trials=2, baseline_trials=1)
    if kind == "no metrics":
        rows = rows.drop(columns=list(synthetic.METRICS))
    if kind == "strange status":
        rows["status"] = "fine"
    if kind == "no columns":
        rows = rows.drop(columns=["seed", "status"])
    if kind == "no rows":
        rows = rows.head(0)
    version = {"old": b"0", "unversioned": None, "new": b"7"}.get(kind, b"2")
    study = synthetic.write(folder / "faulty", rows, version=version)
    if kind == "no results":
        (study / "results.parquet").unlink()
    if kind == "truncated":
        path = study / "results.parquet"
        path.write_bytes(path.read_bytes()[:1000])
    if kind == "settings":
        (study / "study.toml").write_text("goals = [")
    return study


FAULTS = {
    "absent": ("is not a folder", "runs/NAME"),
    "no results": ("holds no results.parquet", "--resume"),
    "truncated": ("not readable Parquet", "export"),
    "old": ("schema version 0", "python -m study.run --resume"),
    "unversioned": ("schema version 0", "python -m study.run --resume"),
    "new": ("schema version 7", "install the version"),
    "no columns": ("lacks the columns seed, status", "export"),
    "no rows": ("has no rows", "resume"),
    "no metrics": ("no metric column", "export"),
    "strange status": ("'fine'", "diverged"),
    "settings": ("study.toml cannot be read", "correct or remove"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_faults_are_one_line_with_remedy(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UserError) as fault:
        analysis.load(damage(tmp_path, kind))
    reason, remedy = FAULTS[kind]
    assert reason in str(fault.value) and remedy in str(fault.value)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("program", ["report", "pareto"])
def test_programs_end_with_code_2(tmp_path: Path, program: str) -> None:
    done = run(f"analysis.{program}", str(damage(tmp_path, "no results")))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_near_names_are_offered(tmp_path: Path) -> None:
    folder = synthetic.write(tmp_path / "sleep-first", synthetic.rows(trials=2, baseline_trials=1))
    with pytest.raises(UserError, match="did you mean 'sleep-first'"):
        analysis.load(tmp_path / "sleep-frist")
    with pytest.raises(UserError, match="did you mean 'silhouette'"):
        analysis.load(folder).metric("silhuette")


def test_layer_is_kept_in_a_fresh_interpreter() -> None:
    """Importing every module loads none of the libraries that only training needs."""
    names = sorted(path.stem for path in Path(analysis.__file__).parent.glob("*.py"))
    loads = "; ".join(f"import analysis.{name}" for name in names if name != "__init__")
    strangers = "{'ray', 'torch', 'mlflow', 'optuna', 'study', 'emargin_train', 'umap'}"
    code = f"import sys; {loads}; print(sorted({strangers} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_round_trip_keeps_nulls(tmp_path: Path) -> None:
    folder = synthetic.write(tmp_path / "a", synthetic.rows(trials=4, diverged=0.5))
    table = pq.read_table(folder / "results.parquet")
    lost = pa.compute.sum(pa.compute.equal(table["status"], "diverged")).as_py()
    study = analysis.load(folder)
    assert lost > 0 and study.rows.loc[study.rows["status"] == "diverged", "silhouette"].isna().all()
    assert len(study.ok) == len(study.rows) - (study.rows["status"] != "ok").sum()
