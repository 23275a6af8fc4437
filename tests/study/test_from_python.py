"""A study run from Python, as in a notebook: process, signal handlers and Ray stay as they were."""

import os
import signal
import threading
import time

import pyarrow.parquet as pq
import pytest
import ray

from emargin_train.errors import UserError
from study.cluster.connection import find_cluster
from study.run_study import run_study
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


def test_another_cluster_than_the_one_that_is_connected_is_refused(connected):
    assert find_cluster(None) == find_cluster("auto") == find_cluster(connected) == connected
    with pytest.raises(UserError, match="call ray.shutdown\\(\\) first"):
        find_cluster("10.0.0.1:6379")
