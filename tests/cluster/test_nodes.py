"""A study on two nodes that share only S3, of which one is lost; then a study as a Ray job on the other."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mlflow
import pytest

from tests.cluster.conftest import free_port, wait_for
from tests.cluster.nodes import HEAD, pair
from tests.study.conftest import small

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

AWS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "study",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-77ab",
}
N_TRIALS = 6


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    pytest.importorskip("moto", reason="needs moto: pip install '.[dev]'")
    out = tmp_path_factory.mktemp("runs")
    port = free_port()
    env = AWS | {"AWS_ENDPOINT_URL": f"http://{HEAD}:{port}", "COLUMNS": "120"}
    with pair(out, env) as nodes:
        serve = nodes.head.inside(sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", str(port))
        s3 = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        make = (
            "import boto3, botocore.exceptions, time; client = boto3.client('s3')\n"
            "for _ in range(100):\n"
            "    try: client.create_bucket(Bucket='studies'); break\n"
            "    except botocore.exceptions.BotoCoreError: time.sleep(0.3)"
        )
        subprocess.run(nodes.head.inside(sys.executable, "-c", make), env=os.environ | nodes.env, check=True)
        try:
            yield nodes, out
        finally:
            s3.kill()


def on(node, env, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        node.inside(*words), env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def flags(out: Path) -> tuple[str, ...]:
    study = ("--trials", str(N_TRIALS), "--baseline-trials", "0", "--references", "raw", "--seeds", "0")
    return (*small(), *study, "--out", str(out), "--name", "two", "--address", "auto")


def trainings(node) -> list[str]:
    return [title for title in node.titles() if title.startswith("ray::") and "ImplicitFunc" in title]


def check_whole(out: Path, n_emargin: int) -> None:
    keys = {path.stem for path in (out / "two" / "records").glob("*.json")}
    assert keys == {"raw-0-0", *(f"emargin-{trial:04d}-0-0" for trial in range(n_emargin))}
    rows = [json.loads(path.read_text())["row"] for path in (out / "two" / "records").glob("*.json")]
    assert Counter(row["status"] for row in rows) == {"ok": n_emargin + 1}
    client = mlflow.MlflowClient(f"sqlite:///{out}/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    own = [run.data.tags["key"] for run in runs if run.data.tags["kind"] == "replicate"]
    assert Counter(own) == dict.fromkeys(keys, 1) and len(runs) == 1 + 2 * len(keys)
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_study_uses_both_nodes_and_survives_the_loss_of_one(cluster):
    nodes, out = cluster
    words = (sys.executable, "-m", "study.run", *flags(out), "--storage", "s3://studies/ckpt")
    driver = on(nodes.head, nodes.env, *words)
    wait_for(
        lambda: bool(trainings(nodes.worker) and trainings(nodes.head)) or driver.poll() is not None,
        "a training on each node",
        300,
    )
    assert driver.poll() is None, driver.communicate()
    nodes.worker.kill()
    stdout, stderr = driver.communicate(timeout=500)
    assert driver.returncode == 0, stderr
    assert f"ray: joined {HEAD}:6379" in stderr
    check_whole(out, N_TRIALS)


def test_it_goes_on_as_a_job(cluster):
    nodes, out = cluster
    ray = str(Path(sys.executable).with_name("ray"))
    study = ("--resume", str(out / "two"), "--extend", "1", "--address", "auto")
    words = (
        ray,
        "job",
        "submit",
        "--address",
        "http://127.0.0.1:8265",
        "--",
        sys.executable,
        "-m",
        "study.run",
    )
    job = on(nodes.head, nodes.env, *words, *study)
    stdout, stderr = job.communicate(timeout=500)
    assert job.returncode == 0 and "succeeded" in stdout, stdout + stderr
    check_whole(out, N_TRIALS + 1)
