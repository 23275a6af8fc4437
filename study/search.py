"""Which setting comes next: Ray Tune asks, Optuna answers, one Optuna study per searched arm.

Tune's own OptunaSearch leaves a trial that reports NaN for several goals RUNNING for ever, and cannot hold a
baseline beside the search; this searcher tells Optuna FAIL itself and walks the whole plan.
"""

from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState
from ray.tune.search import Searcher

from study.plan import Arm, TrialSpec, order, spec
from study.settings import StudySettings
from study.space import Value, suggest
from study.trial import directions, goal_values


def make_sampler(name: str, search_seed: int, number: int) -> BaseSampler:
    """The sampler for trial `number`; named, never Optuna's default, which may change with its version.

    A quasi-random sequence is one sequence, so it keeps its seed; its position is in Optuna's storage.
    """
    seed = search_seed + 1_000_003 * number
    match name:
        case "tpe":
            return TPESampler(seed=seed, multivariate=True, constant_liar=True)
        case "nsgaii":
            return NSGAIISampler(seed=seed)
        case "qmc":
            return QMCSampler(
                qmc_type="sobol", scramble=True, seed=search_seed, warn_independent_sampling=False
            )
        case "random":
            return RandomSampler(seed=seed)
    raise ValueError(name)


def make_storage(folder: Path) -> BaseStorage:
    """The study's journal file, optuna.log."""
    return JournalStorage(JournalFileBackend(str(folder / "optuna.log")))


class PlanSearch(Searcher):
    """Hands out every trial of a plan once; settings of searched arms come from Optuna."""

    def __init__(
        self,
        settings: StudySettings,
        plan: tuple[Arm, ...],
        storage: BaseStorage,
        done: dict[str, list[dict[str, Any]]],
    ) -> None:
        """done: rows of trials that earlier runs of this study finished: told to Optuna, not asked for"""
        super().__init__(metric=None, mode=None)
        self._settings = settings
        self._asked: dict[str, tuple[Arm, Trial | None]] = {}
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
        self._begun: dict[str, tuple[optuna.Study, FrozenTrial]] = {
            frozen.user_attrs["trial"]: (study, frozen)
            for study in self._studies.values()
            for frozen in study.get_trials(deepcopy=False)
            if "trial" in frozen.user_attrs
        }
        for trial, rows in done.items():
            study, frozen = self._begun.get(trial, (None, None))
            if study is not None and frozen is not None and not frozen.state.is_finished():
                self._tell(rows[0]["objective"], Trial(study, frozen._trial_id), rows)
        self._queue = [(arm, number) for arm, number in order(plan) if arm.trial_name(number) not in done]

    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]  # FINISHED is a str
        if not self._queue:
            return Searcher.FINISHED
        arm, number = self._queue.pop(0)
        name = arm.trial_name(number)
        trial, values = self._ask(arm, number, name) if arm.searches else (None, arm.grid()[number])
        asked: TrialSpec = spec(self._settings, arm, number, values)
        self._asked[trial_id] = (arm, trial)
        return {"spec": asked}

    def _ask(self, arm: Arm, number: int, name: str) -> tuple[Trial | None, dict[str, Value]]:
        """The Optuna trial of this name and its setting: begun by an earlier run, or new.

        None for the trial where Optuna was told its result, but the driver died before all was recorded.
        Each trial has a sampler of its own seed, so that a resumed study goes on as an undisturbed one would.
        """
        study = self._studies[arm.objective]
        study.sampler = make_sampler(self._settings.sampler, self._settings.search_seed, number)
        _, frozen = self._begun.get(name, (study, None))
        if frozen is not None and frozen.state.is_finished():
            return None, suggest(FixedTrial(frozen.params), arm.dimensions)
        if frozen is None:
            # a driver that died between asking and naming has left one without a name
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            frozen = next((orphan for orphan in running if "trial" not in orphan.user_attrs), None)
        trial = study.ask() if frozen is None else Trial(study, frozen._trial_id)
        trial.set_user_attr("trial", name)
        return trial, suggest(trial, arm.dimensions)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        arm, trial = self._asked.pop(trial_id)
        if trial is None:
            return
        rows = [] if error or not result else result.get("rows", [])
        self._tell(arm.objective, trial, rows if len(rows) == len(arm.seeds) else [])

    def _tell(self, objective: str, trial: Trial, rows: list[dict[str, Any]]) -> None:
        """Mean over seeds of each goal; FAIL where a seed is not ok or a goal is null, never NaN."""
        values = goal_values(rows, self._settings.goals)
        study = self._studies[objective]
        if values is None:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, values)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles a searcher for its own restore, which we do not use."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the search is kept in Optuna's storage, not in Tune's pickles."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing, for the same reason."""
