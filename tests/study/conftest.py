"""What the tests start from: our programs, the settings of a small study, and one that has run nothing."""

import contextlib
import dataclasses
import importlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from emargin_train import settings
from emargin_train.errors import exit_on_user_error
from emargin_train.methods import METHODS
from study.settings import StudySettings
from study.tracking.uri import local
from tests.tiny import tiny


@pytest.fixture(autouse=True, scope="module")
def _no_token_of_another_cluster() -> None:
    """Ray keeps in its process the token of a cluster of an earlier file, which the environment has lost."""
    if "ray" in sys.modules:
        from study.cluster.ray_private import AuthenticationTokenLoader

        AuthenticationTokenLoader.instance().reset_cache()


def small() -> tuple[str, ...]:
    """Flags of a study that takes seconds."""
    return ("--dataset", str(tiny()), "--iterations", "4")


def command(
    *words: str, module: str = "study.run", timeout: float = 600, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of ours in a fresh interpreter, which takes seconds to start: see `here`."""
    return subprocess.run(
        (sys.executable, "-m", module, *words),
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"COLUMNS": "120"} | env,
    )


def here(*words: str, module: str = "study.run", **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program of ours in this process: the same exit code and output, without the start of another."""
    main = importlib.import_module(module).main
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with (
        patch.object(sys, "argv", [module, *words]),
        patch.dict(os.environ, {"COLUMNS": "120"} | env),  # what the program sets is undone too
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            exit_on_user_error(main)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return subprocess.CompletedProcess(words, code, stdout.getvalue(), stderr.getvalue())


def assert_one_line(ran, *told):
    """Exit code 2, and a last line that names value, reason and remedy; no traceback."""
    assert ran.returncode == 2, (ran.returncode, ran.stdout, ran.stderr)
    lines = ran.stderr.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in ran.stderr
    for part in told:
        assert part in lines[-1], lines[-1]


def small_settings(**changed: object) -> StudySettings:
    """hyperparameters: beside four steps"""
    given: dict[str, object] = {
        "dataset": str(tiny()),
        "name": "small",
        "trials": 3,
        "seeds": (0, 1),
        "hyperparameters": {"iterations": "4"} | changed.pop("hyperparameters", {}),  # type: ignore[operator]
    }
    return StudySettings(**(given | changed))  # type: ignore[arg-type]


def change_range(monkeypatch: pytest.MonkeyPatch, column: str, low: float, high: float) -> None:
    """As a later version may: wherever the hyper-parameter is declared, another range is searched."""
    for method in METHODS.values():
        declarations = settings._declared(method.Settings)
        if column in declarations and declarations[column].search is not None:
            monkeypatch.setitem(
                declarations, column, dataclasses.replace(declarations[column], search=(low, high))
            )


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
