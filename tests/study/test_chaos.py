"""Random faults at random times (seeded): after `--resume` the books of the study are exact.

    python -m tests.study.test_chaos 0:20          # seeds 0 to 19, by hand; a line for each
    python -m pytest tests/study/test_chaos.py     # the seeds of CI

docs/log.md lists the seeds that found a fault.
"""

import atexit
import getpass
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from study.tracking.mlflow_runs import client
from tests.study.books import N_ROWS, Books, stable, words
from tests.study.chaos_driver import Driver
from tests.study.chaos_faults import FAULTS, Place, end_services

CI_SEEDS = (65,)  # the driver killed, and three of its files damaged
RESUMES = 4
STARTS_S, GRACE_S, PATIENCE_S, CLEAN_S = 20.0, 30.0, 200.0, 5.0
OF_LIBRARIES = {"_ray_lockfiles", f"torchinductor_{getpass.getuser()}"}  # one each, for all programs
CODES = {0, 1, 2, -9, 129, 130, 143}


def moment(place: Place, driver: Driver, rng: random.Random) -> str:
    """Wait for a moment that is drawn: seconds after the start, or a while after some records are there."""
    if rng.random() < 0.25:
        seconds = rng.uniform(0, STARTS_S / 2)
        driver.wait(seconds)
        return f"after {seconds:.1f} s"
    n, seconds = rng.randrange(N_ROWS), rng.uniform(0, 1)
    while driver.poll() is None and len(list((place.folder / "records").glob("*.json"))) < n:
        driver.wait(0.05)
    driver.wait(seconds)
    return f"after {n} records and {seconds:.1f} s"


def check_end(place: Place, driver: Driver, done: str, seconds: float) -> None:
    """The driver ended as documented, leaves nothing behind and no traceback, unless it was killed."""
    code, said = driver.poll(), driver.said()
    is_begun = place.folder.exists()  # before that, SIGTERM and SIGHUP end it as they end any program
    assert code in CODES or (code in (-15, -1) and not is_begun), f"exit code {code}: {said}"
    assert "Traceback" not in said, said
    if code is None or code < 0:
        return
    assert code < 128 or seconds < GRACE_S, f"it ended after {seconds:.0f} s: {said}"
    clean(driver, said)
    if (
        code > 128
        and "ended at once" not in said
        and (place.folder / "mlflow.jsonl").exists()
        and place.gate is None
    ):
        table, n = place.folder / "results.parquet", len(list((place.folder / "records").glob("*.json")))
        rows = (
            pq.read_table(table).num_rows if table.exists() else 0
        )  # before a study begins, none is written
        assert rows == n, f"{rows} rows of {n} records: {said}"
        with sqlite3.connect(place.out / "mlflow.db") as connection:
            running = connection.execute("SELECT COUNT(*) FROM runs WHERE status = 'RUNNING'").fetchone()[0]
        assert running == 0, f"{running} runs are RUNNING: {said}"


def clean(driver: Driver, said: str) -> None:
    """No process and no file among the temporary ones is left."""
    deadline = time.monotonic() + CLEAN_S
    while True:
        processes, files = driver.processes(), set(os.listdir(driver.sandbox)) - OF_LIBRARIES
        if not processes and not files:
            return
        assert time.monotonic() < deadline, f"left behind: {processes} {files}: {said}"
        time.sleep(0.1)


def resume(place: Place, said: str) -> None:
    """Resume until the study is done, and do what it asks for."""
    told = [said]
    for _ in range(RESUMES):
        if "mlflow.db" in told[-1] and "move it away" in told[-1]:
            (place.out / "mlflow.db").rename(place.out / f"mlflow.db.{len(told)}")
        is_there = (place.folder / "study.toml").exists() or (place.folder / ".study.toml").exists()
        given = ("--resume", str(place.folder)) if is_there else words(place.out, "--address", "local")
        driver = Driver(place.sandbox, *given, *place.flags, **place.env)
        try:
            code = driver.wait(PATIENCE_S)
            assert code is not None, f"it neither ends nor continues: {driver.said()}"
            told.append(driver.said())
            assert code in (0, 1, 2) and "Traceback" not in told[-1], (code, told)
            if code == 0:
                clean(driver, told[-1])
        finally:
            driver.kill()
        if code == 0:
            return
    raise AssertionError(told)


def drill(base: Path, seed: int, check: Callable[[Place, str], None]) -> str:
    """One study, one fault at one moment, then `--resume`; returns what was done. Raises AssertionError.

    base: an empty folder with a short path
    """
    rng = random.Random(seed)
    (fault,) = rng.choices(FAULTS, [one.weight for one in FAULTS])
    (base / "t").mkdir()
    with fault.place(base / "out", base / "t") as place:
        place.out.mkdir(exist_ok=True)
        shutil.copy(_database(), place.out / "mlflow.db")
        given = (*words(place.out, "--address", "local"), *place.flags)
        driver = Driver(place.sandbox, *given, has_pipe=fault.strike.__name__ == "pipe_closed", **place.env)
        done = f"seed {seed}: {fault.strike.__name__}"
        try:
            when = moment(place, driver, rng)
            done = f"seed {seed}: {fault.strike(place, driver, rng)} {when}"
            struck = time.monotonic()
            assert driver.wait(PATIENCE_S) is not None, f"it neither ends nor continues: {driver.said()}"
            check_end(place, driver, done, time.monotonic() - struck)
            done += f" (exit code {driver.poll()})"
            said = driver.said()
            driver.kill()
            resume(place, said)
            check(place, done)
        except AssertionError as error:
            raise AssertionError(f"{done}: {error}") from error
        finally:
            driver.kill()
    return done


@cache
def _database() -> Path:
    """An MLflow database as an earlier study in --out leaves it; making one takes seconds."""
    folder = Path(tempfile.mkdtemp(prefix="c-database-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder)
    client(f"sqlite:///{folder}/mlflow.db")
    return folder / "mlflow.db"


def exact(place: Place, done: str) -> None:
    """The books of the study are those of an undisturbed one."""
    books = Books.of(place.out, optuna_url=place.optuna_url, tracking_uri=place.tracking_uri)
    books.check(done, stable(place.out))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", CI_SEEDS)
def test_after_faults_that_were_drawn_the_books_agree(seed):
    """Without comparing every value with an undisturbed study, which would have to run too."""
    base = Path(tempfile.mkdtemp(prefix="c-", dir="/tmp"))
    try:
        drill(base, seed, lambda place, _: Books.of(place.out).agree())
    finally:
        shutil.rmtree(base)


def main() -> None:
    first, _, last = sys.argv[1].partition(":")
    seeds = range(int(first), int(last or int(first) + 1))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and leave nothing behind
    bad, shared_memory = [], set(Path("/dev/shm").iterdir())
    os.environ["EMARGIN_CACHE"] = tempfile.mkdtemp(prefix="c-cache-")
    try:
        for seed in seeds:
            base, begun = Path(tempfile.mkdtemp(prefix="c-", dir="/tmp")), time.monotonic()
            try:
                drill(base, seed, exact)
                print(f"  seed {seed}: exact, {time.monotonic() - begun:.0f} s", flush=True)
            except Exception as error:  # every seed gets its turn
                bad.append(seed)
                print(f"seed {seed}: NOT EXACT: {str(error)[:6000]}", flush=True)
                if not isinstance(error, AssertionError):
                    traceback.print_exc()
            finally:
                shutil.rmtree(base, ignore_errors=True)
    finally:
        end_services()
        shutil.rmtree(os.environ["EMARGIN_CACHE"])
    print(f"{len(seeds)} seeds, {len(seeds) - len(bad)} exact; not exact: {bad}")
    print(f"left in /dev/shm: {sorted(set(Path('/dev/shm').iterdir()) - shared_memory)}")


if __name__ == "__main__":
    main()
