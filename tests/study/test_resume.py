"""A study stopped for real and resumed: every trial ends once, as in an undisturbed study."""

import os
import random
import signal
import time
from pathlib import Path

import mlflow
import pyarrow.parquet as pq
import pytest

from tests.study.books import NAME, Books, begin, descendants, n_records, stable, stop, wait_until, words
from tests.study.conftest import here

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("moment", range(5))
def test_a_killed_driver_is_resumed_without_loss_or_duplicate(tmp_path, moment):
    """At five random moments: a random while after a random number of records is there."""
    rng = random.Random(moment)
    driver = begin(tmp_path)
    wait_until(lambda: n_records(tmp_path) >= 1 + 2 * moment, driver)
    time.sleep(rng.uniform(0, 1))
    code, _ = stop(driver, signal.SIGKILL)
    assert code == -signal.SIGKILL
    ran = here("--resume", str(tmp_path / NAME))
    assert ran.returncode == 0, ran.stderr
    Books.of(tmp_path).check(f"the driver killed, moment {moment + 1}", stable(tmp_path))


def test_ctrl_c_closes_the_books_and_says_how_to_go_on(tmp_path):
    driver = begin(tmp_path)
    wait_until(lambda: n_records(tmp_path) >= 3, driver)
    code, seconds = stop(driver, signal.SIGINT)
    assert code == 130 and seconds < 10
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1000)
    assert "RUNNING" not in {run.info.status for run in runs}
    assert pq.read_table(tmp_path / NAME / "results.parquet").num_rows >= 3
    ran = here(*words(tmp_path))  # the same command resumes it
    assert ran.returncode == 0, ran.stderr
    Books.of(tmp_path).check("Ctrl-C", stable(tmp_path))


def test_a_second_ctrl_c_ends_at_once_and_leaves_no_process(tmp_path):
    driver = begin(tmp_path)
    wait_until(lambda: n_records(tmp_path) >= 1, driver)
    family = descendants(driver.pid)
    os.killpg(driver.pid, signal.SIGINT)
    time.sleep(0.3)
    code, seconds = stop(driver, signal.SIGINT)
    assert code == 130 and seconds < 1.5
    deadline = time.monotonic() + 5
    while alive := [pid for pid in family if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, [family[pid] for pid in alive]
        time.sleep(0.1)
