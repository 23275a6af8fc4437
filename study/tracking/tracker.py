"""The connection of a study to MLflow: the driver never waits for the tracking server, and nothing is lost.

A separate process (`study.tracking.exporter`) exports the records in the study's folder, one request at a
time; it sends the study's summary once a second at most. If runs still wait when the study ends,
`python -m study.sync runs/NAME` exports them.
"""

import contextlib
import json
import logging
import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from emargin_train.errors import UserError
from study import own_folders
from study.display import on_standard_error
from study.records import keys
from study.secrets import without_password
from study.tracking.sync_state import SyncState

TELL_EVERY_S = 10.0
START_S = 12.0  # MLflow takes this long to load on a busy machine
CLOSE_S = 2.0
NICENESS = 15  # of the exporter, as of Ray's workers, which would otherwise load after it
FILES_S = 60.0  # a report has some twenty files
NO_MODELS: Mapping[str, str | None] = {}
log = logging.getLogger(__name__)


class Tracker:
    """Runs the exporter of a study, from `start` to `finish`; the caller must `close` it in any case."""

    def __init__(
        self, uri: str, folder: Path, *, dataset: str, say: Callable[[str], None] = on_standard_error
    ) -> None:
        """The caller owns the study (`study.ownership`).

        say: prints how many runs are left while `finish` waits
        """
        self.uri, self.folder, self._dataset, self._say = uri, folder, dataset, say
        self._params: dict[str, str] = {}
        self._note: dict[str, Any] = {}
        self._refusal: UserError | None = None
        self._is_started = self._is_open = self._began_again = False
        self._own = contextlib.ExitStack()
        self._temporary = self._own.enter_context(own_folders.temporary("exporter"))
        self._begin()

    def _begin(self) -> None:
        """Start the exporter. It takes seconds to load MLflow; meanwhile the driver looks for its cluster.

        Its temporary files lie in a folder of ours, since it may be killed while it writes a model.
        """
        (self.folder / "log").mkdir(exist_ok=True)
        with (self.folder / "log" / "mlflow.log").open("ab") as noise:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "study.tracking.exporter"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=noise,
                text=True,
                process_group=0,  # Ctrl-C reaches the driver only
                env=os.environ | {"TMPDIR": str(self._temporary)},
            )
        with contextlib.suppress(OSError):  # it has ended at once, which is seen later
            nice = max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0))
            os.setpriority(os.PRIO_PROCESS, self._process.pid, nice)
        self._heard: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, args=(self._process, self._heard), daemon=True)
        self._listener.start()

    @staticmethod
    def _listen(process: "subprocess.Popen[str]", heard: "queue.Queue[dict[str, Any] | None]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            heard.put(json.loads(line))
        heard.put(None)

    def describe(self, params: dict[str, str]) -> None:
        """Set the study's parameters, so that `finish` may be called before `start`."""
        self._params = params

    def start(self, params: dict[str, str]) -> None:
        """Start to export what MLflow lacks; `is_open` says whether it can."""
        self._params, self._is_started = params, True
        self._ask()

    def is_open(self, *, wait: bool = False) -> bool:
        """Whether the exporter has opened the SQLite file. A server is not waited for, so that this is true.

        wait: whether to wait until that is known

        Raises UserError for a SQLite file that cannot be used. Call this between `start` and `finish`.
        """
        if self._refusal is not None:
            raise self._refusal
        is_file = self.uri.startswith("sqlite:")
        while not self._is_open:
            try:
                answer = self._heard.get(block=wait and is_file)
            except queue.Empty:
                return not is_file
            if answer is not None and "ready" in answer:
                self._is_open = True
            elif not is_file:
                break  # it has died, which `finish` sees
            elif answer is None and not self._began_again:  # killed as it began
                self._began_again = True
                self._begin()
                self._ask()
            elif answer is None:
                said = self.folder / "log" / "mlflow.log"
                self._refuse(f"the process that writes to MLflow ended at once: read the reason in {said}")
            else:
                shown = without_password(self.uri)
                self._refuse(f"--tracking-uri {shown} cannot be used ({answer['refused']}): give another")
        return True

    def _refuse(self, reason: str) -> NoReturn:
        self._refusal = UserError(reason)
        raise self._refusal

    def _ask(self) -> None:
        self._tell(uri=self.uri, folder=str(self.folder), dataset=self._dataset, params=self._params)
        if self._note:
            self._tell(**self._note)

    def _tell(self, **message: Any) -> None:
        """Send a message. If the exporter has died, it is dropped, and `finish` starts a new exporter."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # a broken or closed pipe
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def forget(self, gone: list[str]) -> None:
        """Let new runs replace those of these records, `<trial>-<replicate>`; call this before `start`."""
        sync_state = SyncState(self.folder)
        for key in gone:
            sync_state.forget(key)

    def add(self, key: str) -> None:
        """Tell the exporter of a new record."""
        self._tell(add=key)

    def again(self, key: str) -> None:
        """Tell the exporter of a record that was there before and has changed: a new run replaces its run."""
        SyncState(self.folder).forget(key)  # in case the exporter dies now
        self._tell(add=key, again=True)

    def note(self, n_done: int, values: dict[str, float]) -> None:
        """Set the study's summary; the exporter sends the latest, once a second at most.

        Before `start` it is kept, since the exporter does not know the study yet.
        """
        self._note = {"note": values, "n_done": n_done, "time_ms": int(time.time() * 1000)}
        if self._is_started:
            self._tell(**self._note)

    def finish(
        self,
        outcome: str,
        *,
        patience_s: float,
        at_most_s: float = math.inf,
        models: Mapping[str, str | None] = NO_MODELS,
        stays: bool = False,
        on_runs: Callable[[], None] = lambda: None,
    ) -> int:
        """Export what is left, and close the study's run; returns how many runs are not up to date.

        A study that ends before `start`, and that MLflow does not know yet, has no run to close.

        outcome: FINISHED or KILLED
        models: records whose encoders become models, each with the name of a registered model of which it
            becomes a version, or None
        patience_s: this gives up when nothing could be exported for so long; the study's run then counts too
        at_most_s: the longest time that this takes
        stays: whether the exporter waits for `publish`, where all runs are up to date
        on_runs: called once MLflow has all runs, before the models are made
        """
        if not self._is_started:
            if not SyncState(self.folder).study_run:
                self.close()
                return 0
            self._ask()
            at_most_s = min(at_most_s, max(patience_s, START_S))
        try:
            if not self.is_open():  # MLflow is still being loaded
                patience_s, at_most_s = max(patience_s, START_S), max(at_most_s, START_S)
        except UserError:
            self.close()
            return self._missing()
        if self._process.poll() is not None:
            log.warning("the process that writes to MLflow died (exit code %d)", self._process.returncode)
            self._begin()
            self._ask()
        self._tell(finish=outcome, models=list(models.items()))
        left = self._wait(patience_s, at_most_s, on_runs)
        if left == 0 and stays:
            return 0
        self.close()
        return 0 if left == 0 else self._missing()

    def _missing(self) -> int:
        """How many runs MLflow does not have, or has as they were; the study's own counts as one of them."""
        exported = SyncState(self.folder).runs
        return sum(key not in exported for key in keys(self.folder)) + 1

    def _wait(self, patience_s: float, at_most_s: float, on_runs: Callable[[], None]) -> int | None:
        """Wait for the export, at most so long; returns how many runs are left, None if no answer came."""
        left, told = None, time.monotonic()
        deadline = told + at_most_s
        with contextlib.suppress(queue.Empty):
            while left != 0:
                heard = self._heard.get(timeout=min(patience_s, max(0.0, deadline - time.monotonic())))
                if heard is None:
                    break
                left = heard.get("left", left)
                if "runs" in heard:
                    on_runs()
                if left and time.monotonic() - told > TELL_EVERY_S:
                    self._say(f"mlflow: {left} runs are still to be exported")
                    told = time.monotonic()
        return left

    def publish(self) -> list[str]:
        """Upload the study's files (`study.tracking.publish`) after `finish`; returns their names.

        Raises UserError with the reason where that fails.
        """
        self._tell(publish=True)
        deadline = time.monotonic() + FILES_S
        with contextlib.suppress(queue.Empty):
            while (heard := self._heard.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
                if "files" in heard:
                    return list(heard["files"])
                if "refused" in heard:
                    raise UserError(heard["refused"])
            raise UserError(f"the process that writes to MLflow ended: see {self.folder}/log/mlflow.log")
        raise UserError(f"MLflow did not take the study's files within {FILES_S:.0f} s")

    def close(self) -> None:
        """End the exporter. Runs that are not exported yet can be exported later."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()  # the exporter completes the run that it is writing, and ends
        try:
            self._process.wait(timeout=CLOSE_S if self._is_started else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError, ValueError):
                pipe.close()
        self._own.close()
