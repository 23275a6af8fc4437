"""A process that exports a study's records to MLflow beside the driver; `study.tracking.tracker` starts it.

MLflow's client takes some 60 ms for each run. In the driver's process it would delay Tune's loop by more than
that (docs/log.md). Here it uses the processor time that the trials leave.

stdin    JSON lines: `uri`, `folder`, `dataset` and `params` first; then `add`, `note`, `finish` and `publish`
stdout   JSON lines: `ready` or `refused` first; after `finish`, the number of runs `left` when it changes,
         and every few seconds while a model is made, and `runs` once MLflow has all runs; after `publish`,
         the names of the study's `files` that were uploaded, or `refused`

When stdin ends, the driver is gone, and this process ends too.
"""

import json
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from emargin_train.errors import UserError
from study.records import keys, parsed
from study.secrets import without_password
from study.tracking.mlflow_runs import StudyRuns, trial_of
from study.tracking.publish import publish
from study.tracking.sync_state import SyncState

ROUND_S = 1.0  # how often it looks for new records, and sends the summary
PAUSES_S = (0.5, 1, 2, 5, 10, 20, 30)  # before each new attempt; the last one is repeated
SAY_S = 5.0  # while a model is made, the driver is told so often that it is
MODEL_S = (
    300.0  # for so long at most: a model takes seconds, or minutes where other programs have the processors
)
log = logging.getLogger(__name__)


class Exporter:
    """Knows what MLflow lacks, and writes it. `hear` and `run` may be called by different threads."""

    def __init__(self, uri: str, folder: Path, *, dataset: str, params: dict[str, str]) -> None:
        self._uri, self._folder, self._dataset, self._params = uri, folder, dataset, params
        self._sync_state = SyncState(folder)
        self._runs: StudyRuns | None = None
        self._waiting = deque(key for key in keys(folder) if key not in self._sync_state.runs)
        self._changed: set[str] = set()
        self._summary: tuple[int, int, dict[str, float]] | None = None
        self._outcome: str | None = None
        self._models: deque[tuple[str, str | None]] = deque()
        self._attempted: set[str] = set()
        self._hurry, self._asked_to_publish = threading.Event(), threading.Event()
        self._finished = self._stopped = self._is_closed = self._said_runs = self._loads_models = False

    def hear(self, message: dict[str, Any]) -> None:
        """Take a message from the driver.

        `add`: there is a new record, or with `again`, one that has changed. `note`: the study's summary; only
        the latest is sent. `finish`: export what is left, make models of the encoders of some records (each
        may become a version of a registered model), and close the study's run as FINISHED or KILLED.
        `publish`: upload the study's files.
        """
        if "publish" in message:
            self._asked_to_publish.set()
        elif "add" in message:
            self._load_models()
            if message.get("again"):
                self._changed.add(message["add"])
            self._waiting.append(message["add"])
        elif "note" in message:
            self._summary = (message["time_ms"], message["n_done"], message["note"])
        else:
            self._models = deque((key, name) for key, name in message["models"])
            self._outcome = message["finish"]
            self._hurry.set()

    def _load_models(self) -> None:
        """Load what makes models while trials run: PyTorch takes seconds, and the driver waits at the end."""
        if not self._loads_models:
            self._loads_models = True
            threading.Thread(target=import_module, args=("study.tracking.models",), daemon=True).start()

    def stop(self) -> None:
        """Export nothing more."""
        self._stopped = True
        self._hurry.set()
        self._asked_to_publish.set()

    def open(self) -> StudyRuns:
        """Find or begin the study's runs. Raises what MLflow, its server or its database raise."""
        out, name = self._folder.parent, self._folder.name
        runs = StudyRuns(self._uri, self._sync_state, out=out, dataset=self._dataset, study=name)
        runs.start(self._params)
        known = {*self._waiting}
        self._waiting.extend(key for key in keys(self._folder) if key not in known and runs.lacks(key))
        self._runs = runs
        return runs

    def run(self, say_left: Callable[[int], None]) -> None:
        """Export until all is done after `finish`, or until `stop`.

        If the server does not answer, it is asked again, each time after a longer pause.
        say_left: called once the study ends, with the number of runs that are not up to date, including the
            study's own run
        """
        failures = 0
        while not (self._finished or self._stopped):
            try:
                self._round(say_left)
                failures = 0
                self._hurry.wait(0 if self._waiting else ROUND_S)
            except Exception as error:  # whatever server, database or store raise, the runs keep waiting
                if not failures:
                    log.warning("MLflow: %s; runs wait for it", without_password(str(error)))
                self._runs = None  # the next round asks again what MLflow has
                self._waiting.rotate(-1)  # a run that MLflow refuses does not hold up the others
                self._back_off(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
                failures += 1

    def publish(self) -> None:
        """Wait until the driver asks for it or ends, then upload the study's files, and answer."""
        self._asked_to_publish.wait()
        if self._stopped:
            return
        try:
            say(files=publish(self._uri, self._sync_state.study_run, self._folder))
        except UserError as error:
            say(refused=str(error))

    def _round(self, say_left: Callable[[int], None]) -> None:
        """Export for a second at most, then send the summary; close the study's run where it has ended."""
        runs = self._runs or self.open()
        outcome, begun = self._outcome, time.monotonic()
        if outcome == "KILLED" and not self._is_closed:  # this comes first: there may be no time for the rest
            runs.finish(outcome)
            self._is_closed = True
        while self._waiting and not self._stopped and time.monotonic() - begun < ROUND_S:
            key = self._waiting[0]
            if key in self._changed:
                self._sync_state.forget(key)
                self._changed.discard(key)
            record, why = parsed(self._folder / "records" / f"{key}.json")
            if record is None:  # the driver renames it, and its training runs again
                log.warning("the record %s %s", key, why)
            else:
                runs.export(record, self._artifacts(key))
            self._waiting.popleft()
            if outcome:
                say_left(len(self._waiting) + 1)
        self._write_trials(runs)
        summary = self._summary
        if summary is not None:
            runs.note(*summary)
            if self._summary is summary:
                self._summary = None
        if outcome and not self._waiting and not self._said_runs:
            self._said_runs = True
            say(runs=True)
        while outcome and self._models and not (self._waiting or self._stopped):
            self._make_model(runs, *self._models[0], say_left)
            self._models.popleft()
            say_left(len(self._models) + 1)
        if outcome and not (self._waiting or self._models):
            runs.finish(outcome)
            self._finished = True
            say_left(0)

    def _make_model(
        self, runs: StudyRuns, key: str, registered: str | None, say_left: Callable[[int], None]
    ) -> None:
        """Make a model of an encoder; one whose checkpoint is damaged gets none, and holds up nothing.

        Only the first attempt keeps the driver waiting: a server that refuses a model would refuse it again.
        """
        is_first = key not in self._attempted
        self._attempted.add(key)
        try:
            with repeated(partial(say_left, len(self._models) + 1)) if is_first else nullcontext():
                runs.export_model(key, registered, self._folder / "checkpoints")
        except UserError as error:
            log.warning("MLflow gets no model of %s: %s", key, error)

    def _write_trials(self, runs: StudyRuns) -> None:
        """Write the own run of each trial of which replicates have come, and none is waiting."""
        waiting = {trial_of(key) for key in self._waiting}
        for trial, own in runs.stale().items():
            found = [parsed(self._folder / "records" / f"{key}.json")[0] for key in own]
            whole = [record for record in found if record is not None]
            if whole and trial not in waiting and not self._stopped:
                runs.export_trial(trial, whole)

    def _artifacts(self, key: str) -> list[Path]:
        kept = (self._folder / "checkpoints" / f"{key}.pt", self._folder / "log" / f"{key}.traceback.txt")
        return [path for path in kept if path.exists()]

    def _back_off(self, seconds: float) -> None:
        """Wait before a new attempt; once the study has ended, a second at most, since the driver waits."""
        if self._hurry.is_set():
            time.sleep(min(seconds, 1.0))
        else:
            self._hurry.wait(seconds)


@contextmanager
def repeated(say: Callable[[], None]) -> Iterator[None]:
    """Inside, `say` is called every few seconds: the driver would take a long silence for a server's."""
    done, until = threading.Event(), time.monotonic() + MODEL_S

    def speak() -> None:
        while not done.wait(SAY_S) and time.monotonic() < until:
            say()

    speaker = threading.Thread(target=speak, name="speaker", daemon=True)
    speaker.start()
    try:
        yield
    finally:
        done.set()
        speaker.join()


def say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def listen(exporter: Exporter) -> None:
    for line in sys.stdin:
        exporter.hear(json.loads(line))
    exporter.stop()


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s")
    first = sys.stdin.readline()
    if not first:
        return
    asked = json.loads(first)
    folder = Path(asked["folder"])
    with FileLock(folder / ".exporter.lock"):  # the exporter of a killed driver may still write
        exporter = Exporter(asked["uri"], folder, dataset=asked["dataset"], params=asked["params"])
        if asked["uri"].startswith("sqlite:"):
            try:
                exporter.open()
            except (MlflowException, SQLAlchemyError, OSError) as error:
                say(refused=without_password(str(error)))
                return
        say(ready=True)
        threading.Thread(target=listen, args=(exporter,), name="driver", daemon=True).start()
        exporter.run(lambda n: say(left=n))
        exporter.publish()


if __name__ == "__main__":
    main()
    logging.shutdown()
    os._exit(0)  # all is written, and the driver waits; to unload MLflow would take another second
