"""The search in PostgreSQL: a restart loses nothing, and its password is written nowhere."""

import dataclasses
import signal
import time
from pathlib import Path

import pytest

from emargin_train.errors import UserError
from study.search.storage import make_storage
from tests.study.books import NAME, Books, begin, n_records, stable, stop, wait_until
from tests.study.conftest import command

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


def test_a_password_in_the_flag_is_used_and_not_kept(tmp_path, database):
    url = database.uri("postgres", database.password)
    flags = (
        "--trials",
        "1",
        "--baseline-trials",
        "0",
        "--references",
        "raw",
        "--seeds",
        "0",
        "--name",
        "planted",
    )
    from tests.study.conftest import small

    where = ("--out", str(tmp_path), "--address", "local", "--optuna-storage", url)
    ran = command(*small(), *flags, *where, timeout=400)
    assert ran.returncode == 0, ran.stderr
    assert database.password not in ran.stdout + ran.stderr
    assert not holding(tmp_path, database.password)
    assert database.uri("postgres") in (tmp_path / "planted" / "study.toml").read_text()


def test_a_database_that_does_not_answer_is_told_without_its_password(tmp_path, database):
    away = dataclasses.replace(database, server=dataclasses.replace(database.server, port=9))
    for url, told in (
        (away.uri("postgres", "planted"), "refused"),
        (database.uri("postgres", "planted"), "password"),
    ):
        with pytest.raises(UserError) as error:
            make_storage(tmp_path, url)
        assert told in str(error.value) and "planted" not in str(error.value)
