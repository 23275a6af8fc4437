"""Where the search is stored: in an Optuna journal in the study's folder, or in the user's database."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import SQLAlchemyError

from emargin_train.errors import UserError
from study import secrets
from study.own_files import put_aside
from study.settings import StudySettings

RETOLD = "the search gets its results again from the records"
PATIENCE_S = 120.0  # a database that restarts or fails over answers again by then
AWAY = (SQLAlchemyError, StorageInternalError)


def study_name(settings: StudySettings, method: str) -> str:
    """The name of a method's search in Optuna, which the parts of a study share (--shard)."""
    return f"{settings.name.removesuffix(settings.ending)}/{method}"


class Journal(JournalFileBackend):
    """A journal that may not become shorter while it is used.

    Optuna keeps its place in the file. In a shorter one it would read nothing more, not even its own lines,
    and would hand out an old trial as a new one.
    """

    _size = 0  # bytes that were there when it was last read

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Raises OSError where the file is gone or has become shorter."""
        size = os.stat(self._file_path).st_size
        if size < self._size:
            raise OSError(f"{self._file_path} was emptied, cut or replaced by another program")
        yield from super().read_logs(log_number_from)
        self._size = size


def make_storage(folder: Path, url: str | None = None) -> BaseStorage:
    """The study's journal file optuna.log, or the database at a URL (its password from the environment).

    Raises UserError where the database cannot be used.
    """
    if url is None:
        journal = folder / "optuna.log"
        try:
            _cut_to_whole_lines(journal)
            return JournalStorage(Journal(str(journal)))
        except OSError as error:
            if not journal.is_dir():
                raise  # for example, the disk is full
            put_aside(journal, f"is a folder ({error.strerror})", RETOLD)
        except Exception as error:  # Optuna replays the lines of a damaged file and may raise anything
            put_aside(journal, f"is damaged ({type(error).__name__})", RETOLD)
        return JournalStorage(Journal(str(journal)))
    optuna.logging.disable_default_handler()
    shown = secrets.without_password(url)
    try:
        # a connection that broke while it was idle is replaced
        engine: dict[str, Any] = {"pool_pre_ping": True, "hide_parameters": True}
        if url.startswith("postgresql"):
            engine["connect_args"] = {"connect_timeout": 10}
        return RDBStorage(secrets.whole("optuna_storage", url), engine_kwargs=engine)
    except ImportError as error:
        raise UserError(
            f"--optuna-storage is {shown}, but its driver is not installed ({error.__cause__ or error}): "
            "for postgresql://, pip install '.[cluster]'"
        ) from None
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0]
        raise UserError(
            f"--optuna-storage is {shown}, but it cannot be used ({cause}): "
            f"check the server, and give its password in {secrets.VARIABLES['optuna_storage']} or PGPASSWORD"
        ) from None


def _cut_to_whole_lines(journal: Path) -> None:
    """Cut off a half-written last line, which a kill or a full disk leaves: the next line would join it."""
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)
