"""However a study ends, its table is written, and its run in MLflow is marked FINISHED or KILLED.

It may end because it is done, because it was stopped, or because its cluster or driver had a fault. The table
and the MLflow runs together are the study's books.
"""

import contextlib
import math
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from emargin_train.errors import UserError
from emargin_train.program import pasted
from study import interrupts, plan, records, results
from study.settings import StudySettings
from study.stopper import Stopper
from study.summary import Summary
from study.tracking.tracker import Tracker

AT_MOST_S = 300.0  # how long a finished study waits for a slow MLflow; it prints that it waits
DONE_PATIENCE_S, STOPPED_PATIENCE_S = 30.0, 5.0
HURRY_S = 8.0  # a scheduler that sent a signal kills the process after some 30 s


class StudyEnded(RuntimeError):
    """A fault ended the study. Its table and MLflow runs are completed, and it can be resumed.

    `__cause__` is the fault.
    """


@dataclass
class Books:
    """The table and the MLflow runs of a study. They are closed (completed) once.

    draw: draws the report once the table is written; a thread calls it, so that nothing waits for it
    finished: rows of finished trials, once closed
    is_complete: whether every trial has its records, once closed
    not_exported: number of runs that MLflow does not have, once closed
    report: of `draw`; None until it is called, which an interrupted study does not do
    """

    settings: StudySettings
    study_plan: tuple[plan.Arm, ...]
    tracker: Tracker
    stopper: Stopper
    summary: Summary
    draw: Callable[[], Path] | None = None
    finished: records.Rows = field(default_factory=dict)
    is_complete: bool = False
    not_exported: int = 0
    is_closed: bool = False
    report: Future[Path] | None = None

    def close(self) -> None:
        """Close the books, unless they are closed. Only a second KeyboardInterrupt breaks this off."""
        if not self.is_closed:
            interrupts.finish(self._close, patience_s=AT_MOST_S, interrupted=self.stopper.interrupt)

    def _close(self) -> None:
        folder, settings = self.settings.folder, self.settings
        kept = records.load(folder)
        trials = plan.trials(self.study_plan)
        self.finished = records.finished(kept, trials)
        self.is_complete = len(self.finished) == len(trials)

        is_written = False

        def write_table() -> None:
            nonlocal is_written
            if not is_written:
                results.export(folder, kept, settings.goals)  # with the runs that MLflow has
                is_written = True
                self._begin_report()

        with contextlib.ExitStack() as stack:  # each call is made even if one before it raises
            stack.callback(setattr, self, "is_closed", True)
            stack.callback(write_table)
            stack.callback(self._finish_tracker, write_table)
            if self.is_complete:
                which = results.kept_trials(self.finished, settings.keep_embeddings, settings.goals)
                results.prune_embeddings(folder, which)
            results.export(folder, kept, settings.goals)  # at once, since the process may soon be killed

    def _begin_report(self) -> None:
        is_over = self.stopper.interrupted or self.stopper.abandoned
        if self.draw is not None and self.summary.counts["ok"] and not is_over:
            self.report = interrupts.begin(self.draw)

    def _finish_tracker(self, on_runs: Callable[[], None]) -> None:
        self.tracker.note(self.summary.done, self.summary.metrics())
        models: Mapping[str, str | None] = {}
        if self.is_complete:
            models = results.models(self.finished, self.settings.goals, self.settings.register)
        is_hurried = self.stopper.interrupted or not self.is_complete
        self.not_exported = self.tracker.finish(
            "FINISHED" if self.is_complete else "KILLED",
            patience_s=STOPPED_PATIENCE_S if is_hurried else DONE_PATIENCE_S,
            at_most_s=HURRY_S if is_hurried else math.inf,
            models=models,
            stays=True,
            on_runs=on_runs if self.is_complete else lambda: None,
        )


@contextlib.contextmanager
def closed(books: Books) -> Iterator[None]:
    """Close the books when the block ends; a KeyboardInterrupt interrupts the study's stopper first."""
    try:
        yield
    except KeyboardInterrupt:
        books.stopper.interrupt()
        raise
    finally:
        books.close()


@contextlib.contextmanager
def closed_in_the_end(books: Books) -> Iterator[None]:
    """Close the books however the block ends.

    A KeyboardInterrupt interrupts the study's stopper and ends here. A fault that is not a UserError is
    written to log/driver.traceback.txt and raised as StudyEnded, in one line.
    """
    folder = books.settings.folder
    resume = f"to resume: {pasted('study.run', '--resume', folder)}"
    try:
        with closed(books):
            yield
    except KeyboardInterrupt:
        books.stopper.interrupt()
        books.close()
    except UserError as error:
        books.close()
        raise UserError(f"{error}; {resume}") from error
    except Exception as error:
        with contextlib.suppress(OSError):
            (folder / "log" / "driver.traceback.txt").write_text(traceback.format_exc())
        books.close()
        reason = " ".join(str(error).split())[:300]
        raise StudyEnded(
            f"the study ended ({type(error).__name__}: {reason}); the traceback is in "
            f"{folder}/log/driver.traceback.txt; {resume}"
        ) from error
