"""Every end of a study completes its stores: the table is written, and MLflow says FINISHED or KILLED.

That holds for a study that is done, one that is stopped, and one whose cluster or driver met a fault.
"""

import contextlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

from emargin_train.errors import UserError
from study import interrupts, plan, records, results
from study.settings import StudySettings
from study.stopper import Stopper
from study.summary import Summary
from study.tracking.tracker import Tracker

AT_MOST_S = 300.0  # of a study that is done, on a slow MLflow; it says so meanwhile
DONE_PATIENCE_S, STOPPED_PATIENCE_S = 30.0, 5.0
HURRY_S = 8.0  # whoever sent a signal kills the process after some 30 s


class StudyEnded(RuntimeError):
    """A fault ended the study. Its books are closed, and it can be resumed; the cause is the fault."""


@dataclass
class Books:
    """The table and the MLflow runs of a study, closed once.

    finished: rows of finished trials, once closed
    is_complete: whether every trial has its records, once closed
    not_exported: number of runs that MLflow does not have, once closed
    """

    settings: StudySettings
    study_plan: tuple[plan.Arm, ...]
    tracker: Tracker
    stopper: Stopper
    summary: Summary
    finished: records.Rows = field(default_factory=dict)
    is_complete: bool = False
    not_exported: int = 0
    is_closed: bool = False

    def close(self) -> None:
        """Close them, unless they are closed. A KeyboardInterrupt does not break it; a second one does."""
        if not self.is_closed:
            interrupts.finish(self._close, patience_s=AT_MOST_S, interrupted=self.stopper.interrupt)

    def _close(self) -> None:
        folder, settings = self.settings.folder, self.settings
        kept = records.load(folder)
        trials = plan.trials(self.study_plan)
        self.finished = records.finished(kept, trials)
        self.is_complete = len(self.finished) == len(trials)
        with contextlib.ExitStack() as stack:  # each is done, whatever becomes of the ones before
            stack.callback(setattr, self, "is_closed", True)
            stack.callback(results.export, folder, kept, settings.goals)  # with the runs that MLflow has
            stack.callback(self._finish_tracker)
            if self.is_complete:
                which = results.kept_trials(self.finished, settings.keep_embeddings, settings.goals)
                results.prune_embeddings(folder, which)
            else:
                results.export(folder, kept, settings.goals)  # at once: nobody knows how much time is left

    def _finish_tracker(self) -> None:
        self.tracker.note(self.summary.done, self.summary.metrics())
        if self.is_complete:
            models = results.models(self.finished, self.settings.goals, self.settings.register)
            self.not_exported = self.tracker.finish("FINISHED", patience_s=DONE_PATIENCE_S, models=models)
        else:
            self.not_exported = self.tracker.finish(
                "KILLED", patience_s=STOPPED_PATIENCE_S, at_most_s=HURRY_S
            )


@contextlib.contextmanager
def closed_in_the_end(books: Books) -> Iterator[None]:
    """Close the books however the block ends.

    A KeyboardInterrupt interrupts the study's stopper and ends here. A fault that is not a UserError is
    written to log/driver.traceback.txt and raised as StudyEnded, in one line.
    """
    folder = books.settings.folder
    resume = f"to resume: python -m study.run --resume {folder}"
    try:
        try:
            yield
        finally:
            books.close()
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
