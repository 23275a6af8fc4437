"""MLflow opens the study while trials run: where to browse is said once, and a refusal stops the study."""

import contextlib
import shutil
import sqlite3

import pytest

from emargin_train.errors import UserError
from study.opening import Opening
from study.stopper import Stopper
from tests.study.conftest import assert_one_line, command, small


class Answers:
    """A tracker whose exporter gives these answers, one at each look; the last one stays."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.waited = 0

    def is_open(self, *, wait=False):
        self.waited += wait
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, UserError):
            raise answer
        return answer or wait


@pytest.fixture
def said():
    return []


def test_where_to_browse_is_said_once_it_is_known(said):
    opening = Opening(tracker := Answers(False, False, True), Stopper(), lambda: said.append("browse"))
    seen = []
    for _ in range(5):
        opening.look()
        seen.append(len(said))
    opening.complete()
    assert seen == [0, 0, 1, 1, 1] and len(said) == 1 and not tracker.waited


def test_a_study_that_is_faster_than_mlflow_waits_for_it_at_its_end(said):
    opening = Opening(tracker := Answers(False), Stopper(), lambda: said.append("browse"))
    opening.look()
    opening.complete()
    assert said == ["browse"] and tracker.waited == 1


def test_a_refusal_stops_the_trials_and_is_raised_at_the_end(said):
    opening = Opening(Answers(False, UserError("give another")), stopper := Stopper(), lambda: said.append(1))
    opening.look()
    assert not stopper.interrupted
    opening.look()
    assert stopper.interrupted and not said
    with pytest.raises(UserError, match="give another"):
        opening.complete()


def test_who_interrupts_a_study_does_not_wait_for_mlflow(said):
    opening = Opening(tracker := Answers(False), stopper := Stopper(), lambda: said.append("browse"))
    stopper.interrupt()
    opening.complete()
    assert not said and not tracker.waited


@pytest.mark.slow
def test_a_database_that_mlflow_refuses_ends_a_study_of_hours_at_its_start(tmp_path, new_database):
    """Trials that have ended are kept, and the study goes on with a database of this version."""
    file, first = (
        tmp_path / "mlflow.db",
        "--trials 1000 --references raw --address local --max-concurrent 1".split(),
    )
    shutil.copy(new_database, file)
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        (version,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    ran = command(*small(), *first, "--out", str(tmp_path), "--name", "long")
    assert_one_line(ran, "--tracking-uri", "mlflow db upgrade", "to resume")
    kept = {path.name for path in (tmp_path / "long" / "records").glob("*.json")}
    assert len(kept) < 1000 and (tmp_path / "long" / "results.parquet").exists()
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (version,))
    resumed = command("--resume", str(tmp_path / "long"), "--time-budget", "20s")
    assert resumed.returncode == 0, resumed.stderr
    assert kept < {path.name for path in (tmp_path / "long" / "records").glob("*.json")}
