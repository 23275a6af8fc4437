"""Which setting comes next: Ray Tune asks, Optuna answers, one Optuna study per searched arm.

Tune's own OptunaSearch leaves a trial that reports NaN for several goals RUNNING for ever, and cannot hold a
baseline beside the search; this searcher tells Optuna FAIL itself and walks the whole plan.
"""

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from ray.tune.search import Searcher

from study.limits import Limits
from study.plan import Arm, Turn, spec, turns
from study.records import Rows
from study.samplers import make_sampler
from study.settings import StudySettings
from study.space import Value, distributions, suggest
from study.storage import StorageAway, patiently
from study.trial import directions, goal_values

T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """A turn that runs, and its Optuna trial, if one waits to be told.

    adds: no Optuna trial waits, but one is added at the end: a trial's further seed, or the retry of one
        that failed and now ends well
    """

    turn: Turn
    values: dict[str, Value]
    trial: Trial | None = None
    adds: bool = False


class PlanSearch(Searcher):
    """Hands out every turn of a plan once; settings of searched arms come from Optuna."""

    def __init__(
        self,
        settings: StudySettings,
        plan: tuple[Arm, ...],
        storage: BaseStorage,
        done: Rows,
        limits: Limits | None = None,
    ) -> None:
        """done: rows of turns that earlier runs of this study finished: told to Optuna, not asked for"""
        super().__init__(metric=None, mode=None)
        self._settings, self._limits = settings, limits or Limits()
        self._storage = storage
        self._asked: dict[str, Asked] = {}
        self._silent = False  # the storage is gone: nothing more is written to it
        self._listed = {arm.objective: arm.listed() for arm in plan if not arm.searches}
        self._studies = {
            arm.objective: optuna.create_study(
                study_name=f"{settings.name}/{arm.objective}",
                storage=storage,
                directions=directions(settings.goals),
                load_if_exists=True,
            )
            for arm in plan
            if arm.searches
        }
        for study in self._studies.values():
            study.set_metric_names(list(settings.goals))  # what Optuna's dashboard calls them
        self._begun: dict[str, FrozenTrial] = {}
        self._nameless: dict[str, FrozenTrial] = {}
        self._values: dict[str, dict[str, Value]] = {}  # by trial; shared by its seeds
        for objective in self._studies:
            self._read(objective)
        queue = turns(settings, plan)
        for turn in queue:
            if turn.arm.searches and turn.key in done:
                self._tell_of_earlier(turn, done[turn.key])
        self._queue = deque(turn for turn in queue if turn.key not in done)

    def _read(self, objective: str) -> None:
        """What the storage knows: trials by key, and one that a killed driver asked for and did not name."""
        self._nameless.pop(objective, None)
        for frozen in self._studies[objective].get_trials(deepcopy=False):
            if "trial" in frozen.user_attrs:
                self._begun[frozen.user_attrs["trial"]] = frozen
            elif frozen.state == TrialState.RUNNING:
                self._nameless[objective] = frozen

    def _tell_of_earlier(self, turn: Turn, rows: list[dict[str, Any]]) -> None:
        """A turn that has records, but whose driver died before telling Optuna, or whose storage is new."""
        frozen = self._begun.get(turn.key)
        known = rows[0] if frozen is None else frozen.params
        values = suggest(optuna.trial.FixedTrial(known), turn.arm.dimensions)
        self._values[turn.trial] = values
        if frozen is not None and not frozen.state.is_finished():
            trial = Trial(self._studies[turn.arm.objective], frozen._trial_id)
            self._tell(Asked(turn, values, trial), rows)
        else:
            self._add(Asked(turn, values), rows)

    @property
    def has_more(self) -> bool:
        """Whether a turn is left that may begin."""
        return bool(self._queue) and not self._limits.reached

    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]  # FINISHED is a str
        if not self.has_more:
            return Searcher.FINISHED
        turn = self._queue.popleft()
        try:
            asked = self._surely(turn, lambda: self._ask(turn))
        except (StorageAway, OSError) as error:
            self._gone(error)
            return Searcher.FINISHED
        self._asked[trial_id] = asked
        return {"spec": spec(self._settings, turn, asked.values)}

    def _ask(self, turn: Turn) -> Asked:
        """The setting of a turn: as begun by an earlier run, as of the trial's first seed, listed, or new."""
        if not turn.arm.searches:
            return Asked(turn, self._listed[turn.arm.objective][turn.number])
        objective, study = turn.arm.objective, self._studies[turn.arm.objective]
        frozen = self._begun.get(turn.key)
        if frozen is None and turn.trial in self._values:
            return Asked(turn, self._values[turn.trial], adds=True)
        if frozen is not None and frozen.state.is_finished():
            values = suggest(optuna.trial.FixedTrial(frozen.params), turn.arm.dimensions)
            return Asked(turn, values, adds=frozen.state == TrialState.FAIL)
        study.sampler = make_sampler(self._settings.sampler, self._settings.search_seed, turn.number)
        frozen = frozen or self._nameless.pop(objective, None)
        if frozen is not None:
            self._fill(study, frozen, distributions(turn.arm.dimensions))
        trial = study.ask() if frozen is None else Trial(study, frozen._trial_id)
        trial.set_user_attr("trial", turn.key)
        self._values[turn.trial] = suggest(trial, turn.arm.dimensions)
        return Asked(turn, self._values[turn.trial], trial)

    def _fill(self, study: optuna.Study, frozen: FrozenTrial, kinds: dict[str, Any]) -> None:
        """A setting of which only a part was stored when the driver or the database died gets its rest.

        All is drawn again, in the same order from the same seed, since a sampler cannot start in the middle.
        """
        if not 0 < len(frozen.params) < len(kinds):
            return
        blank = copy.deepcopy(frozen)
        blank.params, blank.distributions = {}, {}
        space = study.sampler.infer_relative_search_space(study, blank)
        drawn = study.sampler.sample_relative(study, blank, space)
        for name, kind in kinds.items():
            if name not in drawn:
                drawn[name] = study.sampler.sample_independent(study, blank, name, kind)
            if name not in frozen.params:
                value = kind.to_internal_repr(drawn[name])
                self._storage.set_trial_param(frozen._trial_id, name, value, kind)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing yet: the record comes first, and then `end`."""

    def end(self, trial_id: str, rows: list[dict[str, Any]] | None) -> None:
        """A turn has ended and is recorded; None where it did not, and waits for the study to go on."""
        asked = self._asked.pop(trial_id)
        if self._silent or rows is None or not (asked.trial or asked.adds):
            return
        tell = self._tell if asked.trial else self._add
        try:
            self._surely(asked.turn, lambda: tell(asked, rows))
        except (StorageAway, OSError) as failure:
            self._gone(failure)

    def _tell(self, asked: Asked, rows: list[dict[str, Any]]) -> None:
        """Mean over seeds of each goal; FAIL where a seed is not ok or a goal is null, never NaN."""
        assert asked.trial is not None
        values = goal_values(rows, self._settings.goals)
        study = self._studies[asked.turn.arm.objective]
        state = TrialState.COMPLETE if values is not None else TrialState.FAIL
        study.tell(asked.trial, values, state=state, skip_if_finished=True)

    def _add(self, asked: Asked, rows: list[dict[str, Any]]) -> None:
        """Tell Optuna of a turn that it was not asked for, unless it knows as much already."""
        study, frozen = self._studies[asked.turn.arm.objective], self._begun.get(asked.turn.key)
        values = goal_values(rows, self._settings.goals)
        if frozen is not None and (frozen.state == TrialState.COMPLETE or values is None):
            return
        kinds = distributions(asked.turn.arm.dimensions)
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if values is not None else TrialState.FAIL,
                values=values,
                params={name: asked.values[name] for name in kinds},
                distributions=kinds,
                user_attrs={"trial": asked.turn.key},
            )
        )

    def _surely(self, turn: Turn, do: Callable[[], T]) -> T:
        """Do it, patiently; before it is redone, what was half done is looked up in the storage."""
        redone = False

        def once() -> T:
            nonlocal redone
            if redone:
                self._read(turn.arm.objective)
            redone = True
            return do()

        return patiently(once)

    def _gone(self, error: Exception) -> None:
        """The records stay the truth: the search is told what it missed when the study goes on."""
        self._silent = True
        self._limits.close(f"the search's storage cannot be written ({error})")

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles a searcher for its own restore, which we do not use."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the search is kept in Optuna's storage, not in Tune's pickles."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing, for the same reason."""
