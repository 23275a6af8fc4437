"""The search in PostgreSQL: a restart loses nothing, and its password is written nowhere."""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from emargin_train.errors import UserError
from study.search.storage import make_storage
from tests.cluster.conftest import postgres_program
from tests.study.books import NAME, Books, begin, n_records, stable, stop, wait_until
from tests.study.conftest import assert_one_line, command, here, small

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def words(database) -> tuple[str, ...]:
    return ("--address", "local", "--optuna-storage", database.uri("postgres"))


def holding(folder: Path, secret: str) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()]


def test_a_restarted_database_costs_nothing_and_a_killed_driver_neither(tmp_path, database):
    driver = begin(tmp_path, *words(database), PGPASSWORD=database.password)
    wait_until(lambda: n_records(tmp_path) >= 2, driver)
    database.server.stop()
    time.sleep(5)
    database.server.start()
    wait_until(lambda: n_records(tmp_path) >= 7, driver)
    stop(driver, signal.SIGKILL)
    ran = command("--resume", str(tmp_path / NAME), timeout=400, PGPASSWORD=database.password)
    assert ran.returncode == 0, ran.stderr
    books = Books.of(tmp_path, optuna_url=database.uri("postgres", database.password))
    books.check("PostgreSQL restarted, then the driver killed", stable(tmp_path))
    assert not (tmp_path / NAME / "optuna.log").exists()
    assert not holding(tmp_path, database.password)


SECRET = "pl/ant#ed?7@1"  # as a user may choose it


@dataclass(frozen=True)
class Planted:
    """A study whose flag has the password, and what was seen of the password meanwhile."""

    folder: Path
    url: str
    said: str
    shown_s: float
    took_s: float
    in_files_of_ray: list[Path]


def shows(secret: str) -> bool:
    """Whether the list of processes has a secret, as `ps` prints it."""
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            if secret.encode() in words.read_bytes():
                return True
    return False


@pytest.fixture(scope="module")
def planted(tmp_path_factory, database):
    import psycopg

    with psycopg.connect(database.uri("postgres", database.password), autocommit=True) as connection:
        connection.execute("CREATE DATABASE planted")
        connection.execute(f"CREATE ROLE ada LOGIN PASSWORD '{SECRET}'")
        connection.execute("GRANT ALL ON DATABASE planted TO ada; ALTER DATABASE planted OWNER TO ada")
    out, sandbox = tmp_path_factory.mktemp("planted"), Path(tempfile.mkdtemp(prefix="p-", dir="/tmp"))
    written = SECRET.replace("@", "%40")  # the one character that a database's URL cannot hold
    url = f"postgresql://ada:{written}@127.0.0.1:{database.server.port}/planted"
    flags = ("--trials", "1", "--baseline-trials", "0", "--references", "raw", "--seeds", "0", "--name", NAME)
    where = ("--out", str(out), "--address", "local", "--optuna-storage", url)
    begun, last, files = time.monotonic(), 0.0, []
    env = os.environ | {"TMPDIR": str(sandbox), "RAY_TMPDIR": str(sandbox)}
    driver = subprocess.Popen(
        (sys.executable, "-m", "study.run", *small(), *flags, *where),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
    )  # fmt: skip
    while driver.poll() is None:
        if shows("pl/ant"):
            last = time.monotonic() - begun
        if n_records(out) and not files:
            files = [path for secret in ("pl/ant", "ed?7") for path in holding(sandbox, secret)] or [sandbox]
        time.sleep(0.02)
    assert driver.stdout is not None
    said, took = driver.stdout.read(), time.monotonic() - begun
    shutil.rmtree(sandbox)
    assert driver.returncode == 0, said
    return Planted(out / NAME, url, said, last, took, [path for path in files if path != sandbox])


def test_a_password_in_the_flag_is_used_and_kept_nowhere(planted, database):
    dump = (postgres_program("pg_dump") or "pg_dump", database.uri("planted"))
    env = os.environ | {"PGPASSWORD": database.password}
    texts = [subprocess.run(dump, capture_output=True, check=True, env=env).stdout, planted.said.encode()]
    assert b"stopped/emargin" in texts[0]
    for part in ("pl/ant", "pl%2Fant", "ant#ed", "ed?7"):
        assert not holding(planted.folder.parent, part) and not any(part.encode() in text for text in texts)
    assert planted.in_files_of_ray == []
    stored = (planted.folder / "study.toml").read_text()
    assert f"postgresql://ada@127.0.0.1:{database.server.port}/planted" in stored


def test_lists_of_processes_show_a_password_only_while_python_starts(planted):
    print(f"the password was shown for {planted.shown_s:.2f} s of {planted.took_s:.1f} s")
    assert planted.shown_s < 0.1 * planted.took_s


def test_a_password_that_would_be_cut_in_two_is_refused(planted, tmp_path):
    url = planted.url.replace("%40", "@")
    ran = here(*small(), "--name", NAME, "--out", str(tmp_path), "--optuna-storage", url)
    assert_one_line(ran, "--optuna-storage", "@ as %40")
    assert not any(part in ran.stderr for part in ("pl/", "ant#ed", "ed?7"))
    assert list(tmp_path.iterdir()) == []


def test_another_study_of_that_name_on_that_database_is_refused(planted, database, tmp_path):
    storage = make_storage(tmp_path, planted.url)
    before = [
        trial.params for trial in storage.get_all_trials(storage.get_study_id_from_name(f"{NAME}/emargin"))
    ]
    flags = (
        "--trials",
        "2",
        "--baseline-trials",
        "0",
        "--seeds",
        "0",
        "--name",
        NAME,
        "--threshold",
        "0.6:0.9",
    )
    where = ("--out", str(tmp_path), "--address", "local", "--optuna-storage", planted.url)
    ran = here(*small(), *flags, *where)
    assert_one_line(ran, f"'{NAME}/emargin' of another study", "choose another --name", str(planted.folder))
    assert list(tmp_path.iterdir()) == []
    after = storage.get_all_trials(storage.get_study_id_from_name(f"{NAME}/emargin"))
    assert before == [trial.params for trial in after] and len(before) == 1


def test_a_database_that_does_not_answer_is_told_without_its_password(tmp_path, database):
    away = dataclasses.replace(database, server=dataclasses.replace(database.server, port=9))
    for url, told in (
        (away.uri("postgres", "planted"), "refused"),
        (database.uri("postgres", "planted"), "password"),
    ):
        with pytest.raises(UserError) as error:
            make_storage(tmp_path, url)
        assert told in str(error.value) and "planted" not in str(error.value)
