"""A study run from Python, as in a notebook: process, signal handlers and Ray stay as they were."""

import os
import signal
import threading
import time

import mlflow
import pyarrow.parquet as pq
import pytest
import ray

from emargin_train.errors import UserError
from emargin_train.evaluation.metrics import METRICS
from study import notebook, records
from study.cluster.connection import find_cluster
from study.results import kept_trials
from study.run_study import run_study
from study.tracking.uri import local
from tests.study.conftest import small_settings

pytestmark = pytest.mark.slow

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@pytest.fixture(scope="module")
def connected():
    """Ray, started by the user's own code."""
    ray.init("local", num_cpus=1, log_to_driver=False, include_dashboard=False)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


def test_an_interrupt_stops_a_study_in_order_and_the_same_call_resumes_it(connected, tmp_path):
    settings = small_settings(out=str(tmp_path), references=("raw",), seeds=(0,), trials=4, sampler="random")
    records = settings.folder / "records"

    def interrupt() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (records.exists() and any(records.iterdir())):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have left it ignored
    before = [signal.getsignal(number) for number in HANDLED]
    threading.Thread(target=interrupt).start()
    stopped = run_study(settings)
    assert stopped.interrupted and stopped.stopped == "interrupted"
    assert 1 <= sum(stopped.counts.values()) < stopped.n_trials == 4 + 2 + 1
    assert pq.read_table(settings.folder / "results.parquet").num_rows == stopped.counts["ok"]
    assert before == [signal.getsignal(number) for number in HANDLED]

    finished = run_study(settings)
    assert finished.counts == {"ok": 7, "diverged": 0, "failed": 0} and not finished.interrupted
    assert finished.exit_code == 0
    assert ray.is_initialized() and ray.get_runtime_context().gcs_address == connected


def test_trials_measured_by_their_goals_give_the_front_of_a_full_study(connected, tmp_path):
    given = {"out": str(tmp_path), "references": ("raw",), "seeds": (0,), "sampler": "random", "trials": 4}
    tables = {}
    for which in ("all", "goals"):
        settings = small_settings(name=which, metrics=which, **given)
        assert run_study(settings).exit_code == 0
        rows = pq.read_table(settings.folder / "results.parquet").to_pylist()
        tables[which] = {row["trial"]: {name: row[name] for name in METRICS} for row in rows}
    done = {one["trial"]: [one["row"]] for one in records.load(settings.folder)}
    front = kept_trials(done, "front", settings.goals)
    assert {"raw"} < front < set(tables["all"])
    for trial, expected in tables["all"].items():
        if trial not in front:
            kept = (*settings.goals, *(name for name in METRICS if name.startswith("pseudo_label")))
            expected = {name: value if name in kept else None for name, value in expected.items()}
        assert tables["goals"][trial] == expected, trial
    client = mlflow.MlflowClient(local(tmp_path))
    runs = client.search_runs(["1"], "tags.study = 'goals' and tags.kind = 'replicate'")
    assert sorted(run.data.tags["trial"] for run in runs) == sorted(tables["goals"])
    assert {run.data.tags["trial"] for run in runs if "davies_bouldin" in run.data.metrics} == front


def test_another_cluster_than_the_one_that_is_connected_is_refused(connected):
    assert find_cluster(None) == find_cluster("auto") == find_cluster(connected) == connected
    with pytest.raises(UserError, match="call ray.shutdown\\(\\) first"):
        find_cluster("10.0.0.1:6379")


@pytest.mark.parametrize("name", ["dry_run", "version", "help"])
def test_what_is_for_the_command_alone_is_refused(name):
    """`dry_run` must not start the study, and `version` must not end the process."""
    with pytest.raises(UserError, match=f"{name} prints text"):
        notebook.run("sleepeeg-sim", **{name: True})
