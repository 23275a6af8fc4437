"""A study with a real MLflow server on PostgreSQL and S3, which stops for a while: nothing is lost."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pyarrow.parquet as pq
import pytest

from emargin_train.errors import UserError
from study.tracking.mlflow_runs import StudyRuns
from study.tracking.sync_state import SyncState
from study.tracking.uri import check_answers
from tests.cluster.conftest import Bucket, Database, Server, mlflow_server, postgres_program
from tests.study.books import NAME, Books, begin, n_records, stable, wait_until
from tests.study.conftest import command
from tests.study.tracking.views import record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

AWAY_S = 60
KEYS = {
    "raw-0-0",
    *(f"emargin-000{trial}-0-{seed}" for trial in range(3) for seed in (0, 1)),
    *(f"infonce-000{trial}-0-{seed}" for trial in range(2) for seed in (0, 1)),
}
PLANTED = {
    "MLFLOW_TRACKING_USERNAME": "ada",
    "MLFLOW_TRACKING_PASSWORD": "mlflow-secret-93d0",
    "PGPASSWORD": "pgpassword-secret-41aa",
}
IN_URI = "uri-secret-c27e"


@dataclass(frozen=True)
class Tracked:
    out: Path
    folder: Path
    server: Server
    uri: str
    exit_code: int
    told: str
    secrets: tuple[str, ...]
    ray: Path


@pytest.fixture(scope="module")
def tracked(tmp_path_factory, database: Database, s3: Bucket):
    """A study during which its tracking server is stopped for a minute and started again."""
    out = tmp_path_factory.mktemp("runs")
    ray = Path(tempfile.mkdtemp(prefix="ray-"))  # short: Ray's sockets lie there
    backend = database.uri("mlflow", database.password)
    server = mlflow_server(
        out, "--artifacts", f"s3://{s3.name}/mlflow", MLFLOW_BACKEND_STORE_URI=backend, **s3.env
    )
    server.start()
    uri = f"http://127.0.0.1:{server.port}"
    where = ("--address", "local", "--tracking-uri", uri.replace("//", f"//ada:{IN_URI}@"))
    driver = begin(out, *where, RAY_TMPDIR=str(ray), **s3.env, **PLANTED)
    wait_until(lambda: n_records(out) >= 2, driver)
    driver.send_signal(signal.SIGSTOP)  # on a fast machine, the study would end while the server is stopping
    server.stop()
    before = n_records(out)
    driver.send_signal(signal.SIGCONT)
    time.sleep(AWAY_S)
    after = n_records(out)
    server.start()
    told, _ = driver.communicate(timeout=400)
    assert after > before, "the study stood still while its tracking server was away"
    secrets = (*(value for name, value in PLANTED.items() if "PASSWORD" in name), IN_URI)
    try:
        yield Tracked(
            out,
            out / NAME,
            server,
            uri,
            driver.returncode,
            told,
            (*secrets, database.password, s3.env["AWS_SECRET_ACCESS_KEY"]),
            ray,
        )
    finally:
        server.stop()
        shutil.rmtree(ray, ignore_errors=True)


def runs_at(uri: str) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(uri)
    return client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1000)


def check_whole(uri: str) -> dict[str, str]:
    """Every trial and seed once, nothing running; run ids by key."""
    runs = runs_at(uri)
    kept = {run.data.tags["key"]: run.info.run_id for run in runs if run.data.tags["kind"] == "replicate"}
    n_trials = len({key.rsplit("-", 2)[0] for key in KEYS})
    assert kept.keys() == KEYS and len(runs) == len(KEYS) + n_trials + 1
    assert Counter(run.info.status for run in runs) == {"FINISHED": len(KEYS) + n_trials + 1}
    return kept


def test_a_server_that_was_away_has_everything_once(tracked):
    assert tracked.exit_code == 0, tracked.told
    if "warning" in tracked.told:  # the study was over long before its server was back
        assert f"python -m study.sync {tracked.folder}" in tracked.told
        assert command(str(tracked.folder), module="study.sync").returncode == 0
    assert {path.stem for path in (tracked.folder / "records").glob("*.json")} == KEYS
    trials = check_whole(tracked.uri)
    books = Books.of(tracked.out, tracking_uri=tracked.uri)
    books.check(f"MLflow's server away for {AWAY_S} s", stable(tracked.out))
    table = pq.read_table(tracked.folder / "results.parquet").to_pylist()
    keys = {f"{row['trial']}-{row['split_seed']}-{row['seed']}": row["mlflow_run_id"] for row in table}
    assert keys == trials
    client = mlflow.MlflowClient(tracked.uri)
    assert len(client.get_metric_history(trials["emargin-0000-0-0"], "loss")) == 4
    (study,) = (run for run in runs_at(tracked.uri) if run.data.tags["kind"] == "study")
    assert study.data.metrics["trials_ok"] == 6 and study.data.metrics["trials_failed"] == 0
    assert study.data.metrics["emargin/hypervolume"] > 0
    assert {"emargin/best_silhouette", "infonce/best_probe_balanced_accuracy"} <= study.data.metrics.keys()


def test_artifacts_lie_in_the_bucket(tracked, s3):
    kept = {key.rsplit("/", 1)[1] for key in s3.keys() if key.startswith("mlflow/") and key.endswith(".pt")}
    assert kept == {f"{key}.pt" for key in KEYS}


def test_no_secret_is_left_anywhere(tracked, database, s3):
    """Plant and look: the study's folder, its neighbours, Ray's logs, the database, what was printed."""
    files = [path for root in (tracked.out, tracked.ray) for path in root.rglob("*") if path.is_file()]
    assert tracked.folder / "study.toml" in files and len(files) > 50
    texts = {str(path): path.read_bytes() for path in files}
    dump = (postgres_program("pg_dump") or "pg_dump", database.uri("mlflow"))
    env = os.environ | {"PGPASSWORD": database.password}
    texts["database"] = subprocess.run(dump, capture_output=True, check=True, env=env).stdout
    assert b"emargin-0000" in texts["database"]
    texts["printed"] = tracked.told.encode()
    for where, text in texts.items():
        for secret in tracked.secrets:
            assert secret.encode() not in text, f"{secret} is in {where}"
    stored = (tracked.folder / "study.toml").read_text()
    assert tracked.uri in stored and "ada@" not in stored  # a user name in front of a server may be a token


def test_the_server_listens_on_this_machine_alone(tracked):
    hosts = {line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    assert f"0100007F:{tracked.server.port:04X}" in hosts
    assert f"00000000:{tracked.server.port:04X}" not in hosts


def test_a_study_can_be_exported_elsewhere_and_again(tracked, tmp_path):
    uri = f"sqlite:///{tmp_path}/elsewhere.db"
    for _ in range(2):
        ran = command(str(tracked.folder), "--tracking-uri", uri, module="study.sync")
        assert ran.returncode == 0 and f"11 runs of {NAME}" in ran.stdout, ran.stderr
        trials = check_whole(uri)
    table = pq.read_table(tracked.folder / "results.parquet").to_pylist()
    assert {row["mlflow_run_id"] for row in table} == set(trials.values())
    ran = command(str(tracked.folder), "--tracking-uri", tracked.uri, module="study.sync")
    assert ran.returncode == 0, ran.stderr
    check_whole(tracked.uri)


def test_a_server_that_never_returns_is_told_with_the_remedy(tracked):
    tracked.server.stop()
    ran = command(str(tracked.folder), module="study.sync")
    assert ran.returncode == 2 and "no MLflow server answers" in ran.stderr
    more = ("--resume", str(tracked.folder), "--extend", "1", "--address", "local")
    ran = command(*more, timeout=600, RAY_TMPDIR=str(tracked.ray))
    assert ran.returncode == 0, ran.stderr
    assert f"python -m study.sync {tracked.folder}" in ran.stderr.splitlines()[-1]
    tracked.server.start()
    ran = command(str(tracked.folder), module="study.sync")
    assert ran.returncode == 0, ran.stderr
    runs = runs_at(tracked.uri)
    records = {path.stem for path in (tracked.folder / "records").glob("*.json")}
    kinds = Counter(run.data.tags["kind"] for run in runs)
    n_trials = len({key.rsplit("-", 2)[0] for key in records})
    assert kinds == {"study": 1, "trial": n_trials, "replicate": len(records)}
    assert {run.data.tags["key"] for run in runs if run.data.tags["kind"] == "replicate"} == records
    assert {run.info.status for run in runs} == {"FINISHED"} and len(records) == len(KEYS) + 2


def test_runs_can_be_written_to_postgresql_without_a_server(tmp_path, database, monkeypatch):
    import psycopg

    with psycopg.connect(database.uri("postgres", database.password), autocommit=True) as connection:
        connection.execute("CREATE DATABASE direct")
    with pytest.raises(UserError, match="database cannot be opened.*PGPASSWORD"):
        check_answers(database.uri("direct"))
    monkeypatch.setenv("PGPASSWORD", database.password)
    check_answers(database.uri("direct"))
    for _ in range(2):
        runs = StudyRuns(database.uri("direct"), SyncState(tmp_path), out=tmp_path, dataset="tiny", study="a")
        runs.start({"trials": "1"})
        runs.export(record(silhouette=0.5), [])
    kinds = sorted(run.data.tags["kind"] for run in runs_at(database.uri("direct")))
    assert kinds == ["replicate", "study", "trial"]
