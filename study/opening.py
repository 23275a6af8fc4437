"""While trials begin, MLflow opens the study: loading it takes seconds, for which no trial has to wait."""

from collections.abc import Callable

from emargin_train.errors import UserError
from study.stopper import Stopper
from study.tracking.tracker import Tracker


class Opening:
    """Says where the study can be browsed once MLflow has it, and stops a study that MLflow refuses."""

    def __init__(self, tracker: Tracker, stopper: Stopper, say_where: Callable[[], None]) -> None:
        self._tracker, self._stopper, self._say_where = tracker, stopper, say_where
        self._is_done = False
        self._refusal: UserError | None = None

    def look(self) -> None:
        """Call this every second or so while trials run."""
        if self._is_done:
            return
        try:
            self._is_done = self._tracker.is_open()
        except UserError as error:
            self._is_done, self._refusal = True, error
            self._stopper.interrupt()
            return
        if self._is_done:
            self._say_where()

    def complete(self) -> None:
        """Wait for MLflow once the trials have ended, unless the user stopped them. Raises its refusal."""
        if not self._is_done and not self._stopper.interrupted:
            self._tracker.is_open(wait=True)
            self._is_done = True
            self._say_where()
        if self._refusal is not None:
            raise self._refusal
