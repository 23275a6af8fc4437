"""The drill: a method, an encoder, a hyper-parameter, a metric and a dataset are added, each in one place.

The additions are made in a copy of the packages, as a contributor would make them. Then everything runs for
real: one training, a study on Ray with a search, MLflow, Parquet and the report, and a resumed study.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests import tiny

ROOT = Path(__file__).resolve().parents[2]
ADDED = Path(__file__).parent / "added"
HYPERPARAMETER = """    loss_scale: float = hyperparameter(
        1.0, "InfoNCE multiplies its loss by this number.", metavar="X", low=0, why="it scales a loss"
    )


class InfoNCE(OneView)"""
METRIC = """    "mean_norm": Metric(
        "Mean norm", 0, inf, None, "ours", "geometry", BALANCED, "mean length of an embedding",
        compute=lambda cloud: float((cloud.h**2).sum(1).mean() ** 0.5),
    ),
"""


class Copy:
    """A copy of the packages with additions; `touched` says which files each addition touches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for package in ("emargin_train", "study", "analysis"):
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        self.touched: dict[str, list[str]] = {}
        self._add("method", "emargin_train/methods/vicreg.py", (ADDED / "vicreg.py").read_text())
        self._add("encoder", "emargin_train/encoders/recurrent.py", (ADDED / "recurrent.py").read_text())
        infonce = "emargin_train/methods/infonce.py"
        self._replace("hyper-parameter", infonce, "\n\nclass InfoNCE(OneView)", HYPERPARAMETER)
        self._replace("hyper-parameter", infonce, "loss = infonce(", "loss = settings.loss_scale * infonce(")
        metrics, first = "emargin_train/evaluation/metrics.py", '    "effective_rank"'
        self._replace("metric", metrics, first, METRIC + first)
        (folder / "data").mkdir()
        self.dataset = tiny.write(folder / "data")
        self.touched["dataset"] = ["tiny.toml"]

    def _add(self, what: str, file: str, text: str) -> None:
        assert not (self.folder / file).exists()
        (self.folder / file).write_text(text)
        self.touched[what] = [file]

    def _replace(self, what: str, file: str, old: str, new: str) -> None:
        path = self.folder / file
        source = path.read_text()
        assert source.count(old) == 1, (file, old)
        path.write_text(source.replace(old, new))
        self.touched[what] = [file]

    def run(self, *words: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        ran = subprocess.run(
            (sys.executable, "-m", *words), capture_output=True, text=True, cwd=self.folder, env=environment
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("drill"))


@pytest.fixture(scope="module")
def study(copy: Copy) -> Path:
    """A finished study of the new method, in which everything new takes part, resumed with one trial more."""
    flags = (
        "--dataset", str(copy.dataset), "--name", "drill", "--method", "vicreg,infonce",
        "--encoder", "recurrent", "--trials", "1", "--baseline-trials", "1", "--seeds", "0",
        "--iterations", "3",
        "--evaluation-frames", "200", "--loss-scale", "2",
        "--vicreg.variance-weight", "1:30", "--vicreg.centred", "true,false",
        "--recurrent.width", "8,16", "--references", "raw",
        "--address", "local", "--goals", "silhouette,probe_balanced_accuracy",
    )  # fmt: skip
    copy.run("study.run", *flags)
    copy.run("study.run", "--resume", "runs/drill", "--extend", "1")
    return copy.folder / "runs" / "drill"


def test_each_addition_touches_one_file(copy: Copy) -> None:
    print(json.dumps(copy.touched, indent=1))
    assert {what: len(files) for what, files in copy.touched.items()} == dict.fromkeys(
        ("method", "encoder", "hyper-parameter", "metric", "dataset"), 1
    )


@pytest.mark.slow
def test_one_training(copy: Copy) -> None:
    words = (
        "emargin_train.pretrain", "--dataset", str(copy.dataset), "--method", "vicreg",
        "--encoder", "recurrent", "--recurrent.width", "4", "--vicreg.noise", "0.1",
        "--vicreg.centred", "true", "--iterations", "2",
        "--evaluation-frames", "200", "--json",
    )  # fmt: skip
    row = json.loads(copy.run(*words))
    assert row["method"] == "vicreg" and row["vicreg.noise"] == 0.1 and row["recurrent.width"] == 4
    assert row["vicreg.centred"] is True
    assert row["status"] == "ok" and row["mean_norm"] > 0


@pytest.mark.slow
def test_parquet_has_the_columns_and_says_what_they_are(study: Path) -> None:
    table = pq.read_table(study / "results.parquet")
    rows = [row for row in table.to_pylist() if row["method"] == "vicreg"]
    assert len(rows) == 2 and all(row["status"] == "ok" for row in rows)
    assert all(1 <= row["vicreg.variance_weight"] <= 30 for row in rows)
    assert {row["recurrent.width"] for row in rows} <= {8, 16}
    assert {row["encoder_context"] for row in rows} == {"sequence"}  # the recurrent encoder
    assert {row["vicreg.centred"] for row in rows} <= {True, False}
    about = table.schema.field("vicreg.variance_weight").metadata
    assert about[b"title"] == b"Variance weight" and about[b"scale"] == b"log"
    assert json.loads(about[b"methods"]) == ["vicreg"]
    assert json.loads(table.schema.metadata[b"methods"])["vicreg"]["title"] == "VICReg"
    assert table.schema.field("mean_norm").metadata[b"title"] == b"Mean norm"
    assert all(row["mean_norm"] > 0 for row in table.to_pylist())
    assert {row["loss_scale"] for row in table.to_pylist() if row["method"] == "infonce"} == {2}


@pytest.mark.slow
def test_mlflow_has_the_hyperparameters(study: Path) -> None:
    with sqlite3.connect(study.parent / "mlflow.db") as database:
        keys = {key for (key,) in database.execute("select distinct key from params")}
        metrics = {key for (key,) in database.execute("select distinct key from latest_metrics")}
    assert {
        "vicreg.variance_weight",
        "vicreg.centred",
        "recurrent.width",
        "loss_scale",
    } <= keys and "mean_norm" in metrics


@pytest.mark.slow
def test_report_names_them(study: Path) -> None:
    page = (study / "report" / "index.html").read_text()
    for text in (
        "VICReg",
        "variance weight",
        "vicreg.variance_weight",
        "vicreg.centred",
        "sees a frame with its sequence",
    ):
        assert text.lower() in page.lower(), text


@pytest.mark.slow
def test_settings_hold_the_resolved_space(study: Path) -> None:
    text = (study / "study.toml").read_text()
    assert '"vicreg.variance_weight" = "1:30"' in text and '"vicreg.centred" = "true,false"' in text
    assert '"recurrent.width" = "8,16"' in text
