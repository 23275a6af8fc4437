"""How Ray Tune asks for the next job: an adapter between its Searcher and our search."""

from typing import Any

from ray.tune.search import Searcher

from study.search.plan_search import PlanSearch


class TuneSearcher(Searcher):
    """Hands Tune one job after another; the study callback gives the search their results."""

    def __init__(self, search: PlanSearch) -> None:
        super().__init__(metric=None, mode=None)
        self._search = search

    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]  # FINISHED is a str
        spec = self._search.next(trial_id)
        return Searcher.FINISHED if spec is None else {"spec": spec}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Do nothing: the study callback first writes the record, then calls `PlanSearch.end`."""

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to pickle, since its way to restore a study is not used."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the search is kept in Optuna's storage, not in Tune's pickles."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, for the same reason."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Do nothing, for the same reason."""
