"""The four books of a study (records, table, Optuna, MLflow), and whether they agree."""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mlflow
import optuna
import pyarrow.parquet as pq
from optuna.trial import TrialState

from study.search.storage import make_storage
from tests.study.conftest import here, small

NAME = "stopped"
VOLATILE = {
    "started_at", "git_revision", "mlflow_experiment_id", "mlflow_run_id",
    "data_seconds", "train_seconds", "eval_seconds", "log_seconds", "peak_memory_mb",
}  # fmt: skip
TRIALS = {"emargin": 3, "infonce": 2}
N_ROWS = 3 * 2 + 2 * 2 + 1
N_TRIALS = 3 + 2 + 1


def words(out: Path, *more: str) -> tuple[str, ...]:
    """One trial at a time, so that the order of results, and with it the search, is the same every time."""
    flags = ("--trials", "3", "--seeds", "0,1", "--references", "raw", "--max-concurrent", "1")
    return (*small(), *flags, "--out", str(out), "--name", NAME, *(more or ("--address", "local")))


def begin(out: Path, *more: str, **env: str) -> subprocess.Popen[str]:
    """The study's driver, running."""
    return subprocess.Popen(
        (sys.executable, "-m", "study.run", *words(out, *more)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        process_group=0,
        env=os.environ | {"COLUMNS": "120"} | env,
    )


def wait_until(
    condition: Callable[[], bool], driver: subprocess.Popen[str], *, timeout_s: float = 480
) -> None:
    """Until it holds; fails where the driver ends before."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert driver.poll() is None, driver.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def n_records(out: Path) -> int:
    return len(list((out / NAME / "records").glob("*.json")))


def stop(driver: subprocess.Popen[str], how: signal.Signals) -> tuple[int, float]:
    """Send a signal as a terminal does; exit code, and the seconds that it took to end."""
    (os.killpg if how == signal.SIGINT else os.kill)(driver.pid, how)
    sent = time.monotonic()
    driver.communicate(timeout=60)
    return driver.returncode, time.monotonic() - sent


def descendants(pid: int) -> dict[int, str]:
    """Processes begun by a process, and by those, with their titles (Linux)."""
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            status = (folder / "status").read_text().split("PPid:")[1]
            parents[int(folder.name)] = int(status.split()[0])
            titles[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return {child: titles[child] for child in family - {pid} if child in titles}


def stable(out: Path) -> list[dict]:
    """The table without what differs between any two runs."""
    rows = pq.read_table(out / NAME / "results.parquet").to_pylist()
    return [{k: v for k, v in row.items() if k not in VOLATILE} for row in rows]


@dataclass(frozen=True)
class Books:
    """What each book holds: of records, rows and MLflow's runs the keys; of Optuna the states."""

    records: Counter[str]
    rows: Counter[str]
    optuna: Counter[tuple[str, TrialState]]
    mlflow: Counter[str]
    mlflow_trials: Counter[str]
    mlflow_states: Counter[str]

    @classmethod
    def of(cls, out: Path, *, optuna_url: str | None = None, tracking_uri: str | None = None) -> "Books":
        client = mlflow.MlflowClient(tracking_uri or f"sqlite:///{out}/mlflow.db")
        experiments = [e.experiment_id for e in client.search_experiments()]
        runs = client.search_runs(experiments, max_results=1000)
        storage = make_storage(out / NAME, optuna_url)
        states: Counter[tuple[str, TrialState]] = Counter()
        for method in TRIALS:
            study = optuna.load_study(study_name=f"{NAME}/{method}", storage=storage)
            states.update((method, trial.state) for trial in study.trials)
        return cls(
            records=Counter(path.stem for path in (out / NAME / "records").glob("*.json")),
            rows=Counter(f"{row['trial']}-{row['split_seed']}-{row['seed']}" for row in stable(out)),
            optuna=states,
            mlflow=Counter(run.data.tags["key"] for run in runs if run.data.tags["kind"] == "replicate"),
            mlflow_trials=Counter(run.data.tags["trial"] for run in runs if run.data.tags["kind"] == "trial"),
            mlflow_states=Counter(run.info.status for run in runs),
        )

    def check(self, fault: str, rows: list[dict]) -> None:
        """They agree, and the rows are those of an undisturbed study."""
        print(f"books after {fault}: {self}")
        assert rows == undisturbed()
        self.agree()

    def __str__(self) -> str:
        """Their counts: a line of docs/reliability.md."""
        told = ", ".join(f"{n} {state.name}" for state, n in sorted(self._by_state().items()))
        runs = ", ".join(f"{n} {state}" for state, n in sorted(self.mlflow_states.items()))
        return f"{self.records.total()} records, {self.rows.total()} rows, Optuna {told}, MLflow {runs}"

    def _by_state(self) -> Counter[TrialState]:
        states: Counter[TrialState] = Counter()
        for (_, state), n in self.optuna.items():
            states[state] += n
        return states

    def agree(self) -> None:
        """Each replicate of a trial is once in every book, and nothing is left running."""
        assert len(self.records) == N_ROWS and set(self.records.values()) == {1}
        assert self.rows == self.records
        assert self.mlflow == self.records
        assert len(self.mlflow_trials) == N_TRIALS and set(self.mlflow_trials.values()) == {1}
        assert self.optuna == {(name, TrialState.COMPLETE): n for name, n in TRIALS.items()}
        assert self.mlflow_states == {"FINISHED": N_ROWS + N_TRIALS + 1}


@cache
def undisturbed() -> list[dict]:
    """The table of the same study, to which nothing happened; made once per test process."""
    out = Path(tempfile.mkdtemp(prefix="emargin-undisturbed-"))
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    ran = here(*words(out))
    assert ran.returncode == 0, ran.stderr
    Books.of(out).agree()
    return stable(out)
