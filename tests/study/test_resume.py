"""A study stopped for real and gone on with: every trial ends once, as in an undisturbed study."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import mlflow
import optuna
import pyarrow.parquet as pq
import pytest
from optuna.trial import TrialState

from study.search import make_storage
from tests.study.conftest import command, small

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VOLATILE = (
    "started_at",
    "git_revision",
    "mlflow_run_id",
    "data_seconds",
    "train_seconds",
    "eval_seconds",
    "log_seconds",
)
N_ROWS = 3 * 2 + 2 * 2 + 1


def words(out: Path) -> tuple[str, ...]:
    """One trial at a time, so that the order of results, and with it the search, is the same every time."""
    flags = ("--trials", "3", "--seeds", "0,1", "--references", "raw", "--max-concurrent", "1")
    return (*small(), *flags, "--out", str(out), "--name", "stopped", "--address", "local")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    ran = command(*words(out), timeout=400)
    assert ran.returncode == 0, ran.stderr
    return stable(out)


def stable(out: Path) -> list[dict]:
    rows = pq.read_table(out / "stopped" / "results.parquet").to_pylist()
    return [{k: v for k, v in row.items() if k not in (*VOLATILE, "peak_memory_mb")} for row in rows]


def stopped_after(out: Path, n_records: int, how: signal.Signals) -> tuple[int, float]:
    """Start the study, stop its driver once so many records are there; exit code and seconds it took."""
    driver = subprocess.Popen(
        (sys.executable, "-m", "study.run", *words(out)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"COLUMNS": "120"},
    )
    records = out / "stopped" / "records"
    deadline = time.monotonic() + 300
    while len(list(records.glob("*.json"))) < n_records:
        assert driver.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    driver.send_signal(how)
    sent = time.monotonic()
    return driver.wait(timeout=60), time.monotonic() - sent


def check_complete(out: Path, undisturbed: list[dict]) -> None:
    """Records, table, Optuna and MLflow: each trial and seed once, nothing left running."""
    assert stable(out) == undisturbed
    assert len(list((out / "stopped" / "records").glob("*.json"))) == N_ROWS
    client = mlflow.MlflowClient(f"sqlite:///{out}/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1000)
    keys = Counter(run.data.tags.get("key") for run in runs if run.data.tags["kind"] == "trial")
    assert len(keys) == N_ROWS and set(keys.values()) == {1}
    assert len(runs) == N_ROWS + 1 and {run.info.status for run in runs} == {"FINISHED"}
    for objective, n in (("emargin", 3), ("infonce", 2)):
        study = optuna.load_study(study_name=f"stopped/{objective}", storage=make_storage(out / "stopped"))
        assert Counter(trial.state for trial in study.trials) == {TrialState.COMPLETE: n}


@pytest.mark.parametrize("n_records", [1, 4, 8])
def test_a_killed_driver_is_resumed_without_loss_or_duplicate(tmp_path, undisturbed, n_records):
    code, _ = stopped_after(tmp_path, n_records, signal.SIGKILL)
    assert code == -signal.SIGKILL
    ran = command("--resume", str(tmp_path / "stopped"), timeout=400)
    assert ran.returncode == 0, ran.stderr
    check_complete(tmp_path, undisturbed)


def test_ctrl_c_closes_the_books_and_says_how_to_go_on(tmp_path, undisturbed):
    code, seconds = stopped_after(tmp_path, 3, signal.SIGINT)
    assert code == 130 and seconds < 20
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1000)
    assert Counter(run.info.status for run in runs)["RUNNING"] == 0
    assert pq.read_table(tmp_path / "stopped" / "results.parquet").num_rows >= 3
    ran = command(*words(tmp_path), timeout=400)  # the same command goes on
    assert ran.returncode == 0, ran.stderr
    check_complete(tmp_path, undisturbed)
