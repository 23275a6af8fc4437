"""A study checks the files that it wrote: damaged ones are renamed, and their content is made again."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from emargin_train.errors import UserError
from study import plan, records, results
from study.plan import jobs, spec
from study.search.storage import make_storage
from study.settings import StudySettings
from study.tracking.uri import check_answers, local
from study.trial import run_trial, trial_records
from study.trial_folder import missing, remove_damaged
from tests.study.conftest import here, small
from tests.tiny import tiny


def settings_of(out, **changed):
    given = {"dataset": str(tiny()), "out": str(out), "name": "one", "trials": 2, "seeds": (0, 1)}
    given |= {"references": ("raw",), "baseline": "none", "hyperparameters": {"iterations": "4"}}
    return plan.resolved(StudySettings(**(given | changed)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trial with two replicates, trained for real, and its folder."""
    folder = tmp_path_factory.mktemp("trained")
    settings = settings_of(folder)
    job = jobs(settings, plan.arms(settings))[1]
    one = spec(settings, job, {"threshold": 0.4, "margin": 5.0, "temperature": 0.1, "iterations": 4})
    for _ in run_trial(one, folder):
        pass
    return one, folder


@pytest.fixture
def copied(trained, tmp_path):
    one, folder = trained
    shutil.copytree(folder, tmp_path / "trial")
    return one, tmp_path / "trial"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


DAMAGES = {
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "bytes": lambda path: path.write_bytes(b"\xff\x00" * 100),
}
BAD_RECORDS = {
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "a list": lambda path: path.write_text("[1, 2]"),
    "a number": lambda path: path.write_text("3"),
    "a bad byte": lambda path: path.write_bytes(path.read_bytes().replace(b"ok", b"\xffk")),
    "another status": lambda path: path.write_text(path.read_text().replace('"ok"', '"fine"')),
    "no curve": lambda path: path.write_text(path.read_text().replace('"curve"', '"curves"')),
    "a row of text": lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"row": "x"})),
    "another trial": lambda path: path.write_text(path.read_text().replace("emargin-0000", "emargin-0001")),
}


@pytest.mark.parametrize("suffix", ["json", "pt", "arrow"])
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_of_a_trial_makes_its_replicate_anew_and_never_failed(copied, how, suffix):
    one, folder = copied
    before = trial_records(one, folder)
    DAMAGES[how](folder / f"0-1.{suffix}")
    assert missing(one, folder) == ["0-1"]
    remove_damaged(one, folder)
    assert not (folder / "0-1.json").exists() and (folder / "0-0.json").exists()
    for _ in run_trial(one, folder):
        pass
    again = trial_records(one, folder)
    assert [item["row"]["status"] for item in again] == ["ok", "ok"] and missing(one, folder) == []
    assert [i["row"]["silhouette"] for i in again] == [i["row"]["silhouette"] for i in before]


@pytest.mark.parametrize("how", [cut, flip, lambda path: path.write_bytes(b"")])
def test_a_damaged_checkpoint_of_an_unfinished_replicate_starts_anew(copied, how):
    one, folder = copied
    for suffix in ("json", "arrow"):
        (folder / f"0-1.{suffix}").unlink()
    assert remove_damaged(one, folder) == []  # what is whole is resumed from
    how(folder / "0-1.pt")
    assert remove_damaged(one, folder) == ["0-1"]
    for _ in run_trial(one, folder):
        pass
    assert trial_records(one, folder)[1]["row"]["status"] == "ok"


@pytest.fixture
def study(trained, tmp_path):
    """A study with the records of its first searched trial, and its plan."""
    settings = settings_of(tmp_path)
    results.make_folder(settings)
    results.store(settings)
    for item in trial_records(*trained):
        item["row"]["study"] = "one"
        records.save(settings.folder, item)
    return settings, plan.trials(plan.arms(settings))


@pytest.mark.parametrize("how", BAD_RECORDS)
def test_a_damaged_record_is_put_aside_and_its_training_runs_again(study, capsys, how):
    settings, all_trials = study
    path = settings.folder / "records" / "emargin-0000-0-1.json"
    BAD_RECORDS[how](path)
    assert records.check(settings.folder, all_trials) == ["emargin-0000-0-1"]
    (line,) = capsys.readouterr().err.splitlines()
    assert "renamed to emargin-0000-0-1.json.damaged" in line and "runs again" in line
    kept = records.load(settings.folder)
    assert [records.key(record) for record in kept] == ["emargin-0000-0-0"]
    assert records.finished(kept, all_trials) == {}
    assert results.export(settings.folder, kept, settings.goals).exists()


@pytest.mark.parametrize("name", ["emargin-0001-0-0", "emargin-0000-0-0 copy", "emargin-0009-0-0"])
def test_a_stray_copy_does_not_count_twice(study, name):
    settings, all_trials = study
    folder = settings.folder / "records"
    text = (folder / "emargin-0000-0-0.json").read_text()
    if name == "emargin-0009-0-0":
        text = text.replace("emargin-0000", "emargin-0009")  # in order, but of no trial of this study
    (folder / f"{name}.json").write_text(text)
    assert records.check(settings.folder, all_trials) == [name]
    assert records.keys(settings.folder) == ["emargin-0000-0-0", "emargin-0000-0-1"]


def test_a_share_that_was_counted_is_not_outside_the_space(tmp_path):
    """The same command again threw away such records, and trained them again each time."""
    flags = ("--out", str(tmp_path), "--name", "s", "--design", "grid", "--dissimilar-share", "0.21,0.5")
    flags += ("--baseline-trials", "0", "--references=", "--seeds", "0", "--method", "emargin")
    assert here(*small(), *flags).returncode == 0
    found = {record["row"]["dissimilar_share"] for record in records.load(tmp_path / "s")}
    assert len(found) == 2 and not found & {0.21}  # of so few steps, no share is just this
    again = here(*small(), *flags)
    assert again.returncode == 0 and "renamed" not in again.stderr and "2 of them done" in again.stderr


def test_a_record_outside_the_space_is_of_another_study(study):
    settings, all_trials = study
    path = settings.folder / "records" / "emargin-0000-0-1.json"
    item = json.loads(path.read_text())
    item["row"]["threshold"] = 0.1
    path.write_text(json.dumps(item))
    assert records.check(settings.folder, all_trials) == ["emargin-0000-0-1"]


@pytest.mark.parametrize(
    "content", [b"trials = \xff\n", b"", b"trials = \n", b'unknown = "x"\n', b"trials = [1]\n"]
)
def test_a_damaged_study_toml_is_read_from_its_copy(study, capsys, content):
    settings, _ = study
    path = settings.folder / "study.toml"
    path.write_bytes(content)
    assert results.stored_settings(settings.folder) == settings
    assert "its copy .study.toml" in capsys.readouterr().err
    results.store(settings)
    assert path.with_name("study.toml.damaged").read_bytes() == content
    assert results.stored_settings(settings.folder) == settings and not capsys.readouterr().err.count(
        "copy .study"
    )
    path.write_bytes(content)
    (settings.folder / ".study.toml").write_bytes(b"\xff")
    with pytest.raises(UserError, match="neither can its copy"):
        results.stored_settings(settings.folder)


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b"[]\n", b"3\n", b'{"op_code": 99}\n', b"{}\n", None])
def test_a_damaged_journal_is_put_aside(tmp_path, capsys, content):
    journal = tmp_path / "optuna.log"
    journal.mkdir() if content is None else journal.write_bytes(content)
    storage = make_storage(tmp_path)
    optuna.create_study(storage=storage, study_name="x").ask()
    assert (tmp_path / "optuna.log.damaged").exists() and "gets its results again" in capsys.readouterr().err


def as_folder(file):
    file.mkdir()


def of_another_program(file):
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")


@pytest.mark.parametrize(
    "make, told",
    [
        (as_folder, "is a folder"),
        (of_another_program, "belongs to another program"),
        (lambda file: file.write_bytes(b"not a database" * 20), "is not an SQLite database"),
        (lambda file: file.write_bytes(b"SQLite format 3\0"), "is not an SQLite database, or is damaged"),
        (None, "is cut short"),
    ],
)
def test_a_database_that_mlflow_cannot_use_is_refused_at_once_in_one_line(folder, make, told):
    file = folder.parent / "mlflow.db"
    check_answers(local(folder.parent))  # a sound one
    if make is None:
        cut(file)
    else:
        file.unlink()
        make(file)
    with pytest.raises(UserError, match=f"{told}.*study.sync") as refused:
        check_answers(local(folder.parent))
    assert "SELECT" not in str(refused.value) and "\n" not in str(refused.value)


def test_a_database_whose_writer_was_killed_is_not_refused(folder):
    """Its journal is there, and the file may say that it is longer than it is."""
    file = folder.parent / "mlflow.db"
    before = sqlite3.connect(file).execute("SELECT COUNT(*) FROM runs").fetchall()
    half = (
        "import os, sqlite3, sys\n"
        "one = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "one.execute('PRAGMA cache_size = 2')\n"
        "one.execute('BEGIN')\n"
        "one.execute('CREATE TABLE big (x)')\n"
        "for _ in range(500): one.execute('INSERT INTO big VALUES (zeroblob(5000))')\n"
        "os._exit(9)"
    )
    subprocess.run((sys.executable, "-c", half, str(file)), check=False)
    assert Path(f"{file}-journal").stat().st_size > 0
    check_answers(local(folder.parent))
    assert sqlite3.connect(file).execute("SELECT COUNT(*) FROM runs").fetchall() == before


@pytest.mark.parametrize("name", ["x" * 151, "\udcff", "a\nb", "é" * 80])
def test_a_name_that_no_file_system_or_database_takes_is_refused_before_anything_is_made(tmp_path, name):
    with pytest.raises(UserError, match="--name"):
        settings_of(tmp_path, name=name)
    assert list(tmp_path.iterdir()) == []
