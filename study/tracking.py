"""MLflow in the background: a study never waits for its tracking server, and loses nothing to it.

The study's records are the truth; a record that is in no run yet is waiting. A server that is away for
minutes is asked again and again, each time after a longer pause; what is still waiting when the study ends is
delivered by `python -m study.sync runs/NAME`.
"""

import json
import logging
import threading
import time
from collections import deque
from pathlib import Path

from filelock import FileLock, Timeout
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from emargin_train.errors import UserError
from study.ledger import Ledger
from study.mlflow_runs import StudyRuns
from study.secrets import without_password

ROUND_S = 1.0  # how often it looks for new records, and sends how the study stands
PAUSES_S = (0.5, 1, 2, 5, 10, 20, 30)  # before another try; the last one again and again
log = logging.getLogger(__name__)


def record_keys(folder: Path) -> list[str]:
    """ "<trial>-<seed>" of every record of a study."""
    return sorted(path.stem for path in (folder / "records").glob("*.json"))


class Tracker:
    """Delivers a study's records to MLflow, in a thread of its own from `start` to `finish`."""

    def __init__(self, uri: str, folder: Path, *, dataset: str) -> None:
        """Raises UserError where another process is delivering this study."""
        self.uri, self._folder, self._dataset = uri, folder, dataset
        self._lock = FileLock(folder / ".mlflow.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"{folder} is in use by another process: wait until it ends, or stop it"
            ) from None
        self._ledger = Ledger(folder)
        self._params: dict[str, str] = {}
        self._runs: StudyRuns | None = None
        self._waiting: deque[str] = deque()
        self._standing: tuple[int, int, dict[str, float]] | None = None
        self._outcome = ""
        self._ending, self._finished, self._given_up = threading.Event(), False, False
        self._advanced = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def start(self, params: dict[str, str]) -> None:
        """Begin with what is not delivered yet. Raises UserError for a SQLite file that cannot be used."""
        self._params = params
        self._waiting.extend(key for key in record_keys(self._folder) if key not in self._ledger.runs)
        if self.uri.startswith("sqlite:"):
            try:
                self._open()
            except (MlflowException, SQLAlchemyError, OSError) as error:
                raise UserError(f"--tracking-uri {self.uri} cannot be used ({error}): give another") from None
        self._thread.start()

    def forget(self, keys: list[str]) -> None:
        """These records, "<trial>-<seed>", are gone: the runs that they are in give way to new ones."""
        for key in keys:
            self._ledger.forget(key)

    def add(self, key: str) -> None:
        """A record is there."""
        self._waiting.append(key)

    def note(self, n_done: int, values: dict[str, float]) -> None:
        """How the study stands; the latest is sent, once a second at most."""
        self._standing = (int(time.time() * 1000), n_done, values)

    def finish(self, outcome: str, *, patience_s: float) -> int:
        """Deliver what is left and close the study's run; how many runs are not up to date, its own included.

        outcome: FINISHED or KILLED
        patience_s: given up once nothing could be delivered for so long
        """
        self._outcome, self._advanced = outcome, time.monotonic()
        self._ending.set()
        while self._thread.is_alive() and time.monotonic() - self._advanced < patience_s:
            self._thread.join(timeout=0.1)
        self._given_up = not self._finished
        self._lock.release()
        return 0 if self._finished else len(self._waiting) + 1

    def _work(self) -> None:
        failures = 0
        while not (self._finished or self._given_up):
            try:
                self._round()
                failures = 0
                self._ending.wait(0 if self._waiting else ROUND_S)
            except (
                Exception
            ) as error:  # the boundary: whatever server, database or store raise, all keeps waiting
                if not failures:
                    log.warning("MLflow: %s; runs wait for it", without_password(str(error)))
                self._runs = None  # looks again at what is there
                self._waiting.rotate(-1)  # one that is refused does not hold up the others
                self._back_off(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
                failures += 1

    def _round(self) -> None:
        """A second of deliveries at most, then how the study stands, then its end where that has come."""
        runs = self._runs or self._open()
        ending, begun = self._ending.is_set(), time.monotonic()
        while self._waiting and time.monotonic() - begun < ROUND_S:
            key = self._waiting[0]
            record = json.loads((self._folder / "records" / f"{key}.json").read_text())
            runs.deliver(record, self._artifacts(key))
            self._waiting.popleft()
            self._advanced = time.monotonic()
        standing = self._standing
        if standing is not None:
            runs.note(*standing)
            if self._standing is standing:
                self._standing = None
        if ending and not self._waiting:
            runs.finish(self._outcome)
            self._finished = True

    def _open(self) -> StudyRuns:
        out, name = self._folder.parent, self._folder.name
        runs = StudyRuns(self.uri, self._ledger, out=out, dataset=self._dataset, study=name)
        runs.start(self._params)
        known = {*self._waiting}
        self._waiting.extend(k for k in record_keys(self._folder) if k not in known and runs.lacks(k))
        self._runs = runs
        return runs

    def _artifacts(self, key: str) -> list[Path]:
        kept = (self._folder / "checkpoints" / f"{key}.pt", self._folder / "log" / f"{key}.traceback.txt")
        return [path for path in kept if path.exists()]

    def _back_off(self, seconds: float) -> None:
        """A study that ends tries at once, and then every second as long as `finish` has patience."""
        if self._ending.is_set():
            time.sleep(min(seconds, 1.0))
        else:
            self._ending.wait(seconds)
