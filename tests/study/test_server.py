"""The local MLflow server answers once its address is printed, and ends with its program."""

import subprocess
import sys
import urllib.request

import psutil
import pytest

from emargin_train.program import pasted
from study.tracking.uri import to_browse
from tests.cluster.conftest import free_port

TRIALS = (
    "workflowType=machine_learning&searchFilter=tags.study_id+%3D+%27ab12%27+and+tags.kind+%3D+%27trial%27"
    "&orderByKey=metrics.%60davies_bouldin%60&orderByAsc=true"
)


@pytest.mark.slow
def test_the_server_answers_when_its_address_is_printed(folder):
    port = free_port()
    words = (sys.executable, "-m", "study.server", "--out", str(folder.parent), "--port", str(port))
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = next(line for line in server.stdout if line.startswith("MLflow: "))
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                assert answer.status == 200
            assert f"http://127.0.0.1:{port}" in line
            family = psutil.Process(server.pid).children(recursive=True)
        finally:
            server.terminate()
        server.wait(60)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


@pytest.mark.parametrize(
    "uri, experiment, expected",
    [
        ("http://ada:secret@host:5000/", "7", f"http://host:5000/#/experiments/7/runs?{TRIALS}"),
        ("http://host:5000", "", "http://host:5000"),
        (
            "sqlite:////runs/mlflow.db",
            "7",
            f"study.server --out ../runs\n  then open http://127.0.0.1:5000/#/experiments/7/runs?{TRIALS}",
        ),
        (
            "sqlite:////runs/other.db",
            "7",
            "mlflow ui --backend-store-uri sqlite:////runs/other.db\n  then open "
            f"http://127.0.0.1:5000/#/experiments/7/runs?{TRIALS}",
        ),
    ],
)
def test_the_link_opens_the_table_of_trials_with_the_best_first(uri, experiment, expected, monkeypatch):
    monkeypatch.chdir("/tmp")
    shown = to_browse(uri, experiment=experiment, study_id="ab12", goal="davies_bouldin")
    assert shown.removeprefix(pasted("mlflow").removesuffix("mlflow")) == expected
