"""What tests begin from: a small real study, run once as its user would; one that has run nothing."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from study.settings import StudySettings
from study.tracking.uri import local
from tests.tiny import tiny


def small() -> tuple[str, ...]:
    """Flags of a study that takes seconds."""
    return ("--dataset", str(tiny()), "--iterations", "4")


def command(
    *words: str, module: str = "study.run", timeout: float = 240, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of ours in a fresh interpreter."""
    return subprocess.run(
        (sys.executable, "-m", module, *words),
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"COLUMNS": "120"} | env,
    )


def assert_one_line(ran, *told):
    """Exit code 2, and a last line that names value, reason and remedy; no traceback."""
    assert ran.returncode == 2, (ran.returncode, ran.stdout, ran.stderr)
    lines = ran.stderr.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in ran.stderr
    for part in told:
        assert part in lines[-1], lines[-1]


def small_settings(**changed: object) -> StudySettings:
    given: dict[str, object] = {
        "dataset": str(tiny()),
        "name": "small",
        "iterations": 4,
        "trials": 3,
        "seeds": (0, 1),
    }
    return StudySettings(**(given | changed))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Finished:
    out: Path
    folder: Path
    ran: subprocess.CompletedProcess[str]
    words: tuple[str, ...]

    def records(self) -> list[dict]:
        return [json.loads(path.read_text()) for path in sorted((self.folder / "records").glob("*.json"))]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Three eMargin trials x two seeds, two InfoNCE trials, all references."""
    out = tmp_path_factory.mktemp("runs")
    words = (
        *small(),
        "--trials",
        "3",
        "--seeds",
        "0,1",
        "--out",
        str(out),
        "--name",
        "small",
        "--address",
        "local",
    )
    ran = command(*words)
    assert ran.returncode == 0, ran.stderr
    return Finished(out, out / "small", ran, words)


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, since making one takes MLflow seconds."""
    from study.tracking.mlflow_runs import client  # loads MLflow, for seconds

    out = tmp_path_factory.mktemp("database")
    client(local(out))
    return out / "mlflow.db"


@pytest.fixture
def folder(tmp_path: Path, new_database: Path) -> Path:
    """Of a study that has run nothing yet, beside a database without runs."""
    made = tmp_path / "small"
    for name in ("records", "checkpoints", "log"):
        (made / name).mkdir(parents=True)
    shutil.copy(new_database, tmp_path / "mlflow.db")
    return made
