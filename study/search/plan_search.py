"""Choose the next job and its setting: the cluster asks for a job, and Optuna chooses the setting.

Each searched arm is one Optuna study. We do not use Ray Tune's OptunaSearch: with several goals, it leaves a
trial that reports NaN in the state RUNNING for ever, and it cannot run a baseline in addition to the search.
This search reports FAIL to Optuna, and goes through the whole plan.
"""

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from study.goals import directions, goal_values
from study.plan import Arm, Job, jobs, spec
from study.records import Rows
from study.retry import StorageAway, patiently
from study.search.samplers import make_sampler
from study.search.storage import AWAY, PATIENCE_S, study_name
from study.settings import StudySettings
from study.space import Value, contains, distributions, suggest, within
from study.stopper import Stopper
from study.trial_spec import TrialSpec

T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """A running job, with its setting.

    trial: the Optuna trial that waits for the result; None where Optuna did not choose the setting
    adds: whether an Optuna trial is added when the job ends, since none waits. This is so for a further
        replicate of a trial, and for a trial that failed before and is now run again
    """

    job: Job
    values: dict[str, Value]
    trial: Trial | None = None
    adds: bool = False


class PlanSearch:
    """Hands out every job of a plan once; Optuna chooses the settings of searched arms."""

    def __init__(
        self,
        settings: StudySettings,
        plan: tuple[Arm, ...],
        storage: BaseStorage,
        done: Rows,
        stopper: Stopper | None = None,
    ) -> None:
        """done: rows of jobs that earlier runs of this study finished; Optuna gets their results"""
        self._settings, self._stopper = settings, stopper or Stopper()
        self._storage = storage
        self._asked: dict[str, Asked] = {}
        self._repeated: deque[Asked] = deque()
        self._silent = False  # whether the storage is lost, so that nothing more is written to it
        self._arms = {arm.method: arm for arm in plan}
        self._listed = {arm.method: arm.listed() for arm in plan if not arm.searches}
        self._studies = {
            arm.method: optuna.create_study(
                study_name=study_name(settings, arm.method),
                storage=storage,
                directions=directions(settings.goals),
                load_if_exists=True,
            )
            for arm in plan
            if arm.searches
        }
        for study in self._studies.values():
            study.set_metric_names(list(settings.goals))  # the names of the goals in Optuna's dashboard
        self._begun: dict[str, FrozenTrial] = {}
        self._nameless: dict[str, FrozenTrial] = {}
        self._values: dict[str, dict[str, Value]] = {}  # by trial; shared by its replicates
        for method in self._studies:
            self._read(method)
        queue = jobs(settings, plan)
        for job in queue:
            if job.arm.searches and job.key in done:
                self._tell_of_earlier(job, done[job.key])
        self._queue = deque(job for job in queue if job.key not in done)

    def _read(self, method: str) -> None:
        """Read the storage's trials, by key, and a trial that a killed driver left without a key.

        A trial with values outside this study's space does not belong to this study and is ignored.
        """
        self._nameless.pop(method, None)
        for frozen in self._studies[method].get_trials(deepcopy=False):
            if not self._is_own(frozen, self._arms[method]):
                continue
            if "trial" in frozen.user_attrs:
                self._begun[frozen.user_attrs["trial"]] = frozen
            elif frozen.state == TrialState.RUNNING and self._settings.shard is None:
                self._nameless[method] = frozen  # of several drivers, another one may be about to name it

    @staticmethod
    def _is_own(frozen: FrozenTrial, arm: Arm) -> bool:
        """Whether a stored trial can belong to this study: its values lie in the space, and if it has ended,
        it has a value of every hyper-parameter.
        """
        kinds = distributions(arm.space)
        if not within(arm.space, frozen.params) or not frozen.params.keys() <= kinds.keys():
            return False
        if frozen.state.is_finished():
            return frozen.params.keys() == kinds.keys()
        return all(kinds[name] == kind for name, kind in frozen.distributions.items())

    def _tell_of_earlier(self, job: Job, rows: list[dict[str, Any]]) -> None:
        """Give Optuna a result that it lacks, since the driver died before it did so, or the storage is new.

        The records decide: a stored trial whose values differ from theirs is ignored.
        """
        frozen = self._begun.get(job.key)
        if frozen is not None and not _agree(rows[0], frozen.params):
            del self._begun[job.key]
            frozen = None
        known = rows[0] if frozen is None else frozen.params
        values = suggest(optuna.trial.FixedTrial(known), job.arm.space)
        self._values[job.trial] = values
        if frozen is not None and not frozen.state.is_finished():
            trial = Trial(self._studies[job.arm.method], frozen._trial_id)
            self._tell(Asked(job, values, trial), rows)
        else:
            self._add(Asked(job, values), rows)

    @property
    def has_more(self) -> bool:
        """Whether any job may still begin."""
        return bool(self._queue or self._repeated) and not self._stopper.reached

    def next(self, job_id: str) -> TrialSpec | None:
        """The next job with its setting, or None if no more may begin.

        job_id: the name by which the cluster calls the job, until `end`
        """
        if not self.has_more:
            return None
        if self._repeated:
            asked = self._asked[job_id] = self._repeated.popleft()
            return spec(self._settings, asked.job, asked.values)
        job = self._queue.popleft()
        try:
            asked = self._surely(job, lambda: self._ask(job))
        except (StorageAway, OSError) as error:
            self._gone(error)
            return None
        assert within(job.arm.space, asked.values), (job.key, asked.values)
        self._asked[job_id] = asked
        return spec(self._settings, job, asked.values)

    def _ask(self, job: Job) -> Asked:
        """Choose a setting: that of an earlier run or replicate of the trial, a listed one, or a new one."""
        if not job.arm.searches:
            return Asked(job, self._listed[job.arm.method][job.number])
        method, study = job.arm.method, self._studies[job.arm.method]
        frozen = self._begun.get(job.key)
        if frozen is None and job.trial in self._values:
            return Asked(job, self._values[job.trial], adds=True)
        if frozen is not None and frozen.state.is_finished():
            values = suggest(optuna.trial.FixedTrial(frozen.params), job.arm.space)
            return Asked(job, values, adds=frozen.state == TrialState.FAIL)
        kinds = distributions(job.arm.space)
        study.sampler = make_sampler(self._settings.sampler, self._settings.search_seed, job.number, kinds)
        frozen = frozen or self._nameless.pop(method, None)
        if frozen is not None:
            self._fill(study, frozen, kinds)
        trial = study.ask() if frozen is None else Trial(study, frozen._trial_id)
        trial.set_user_attr("trial", job.key)
        self._values[job.trial] = suggest(trial, job.arm.space)
        return Asked(job, self._values[job.trial], trial)

    def _fill(self, study: optuna.Study, frozen: FrozenTrial, kinds: dict[str, Any]) -> None:
        """Complete a setting that was only partly stored when the driver or the database died.

        The whole setting is drawn again, in the same order and from the same seed, since a sampler cannot
        start in the middle.
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

    def again(self, job_id: str) -> None:
        """A job has ended without results, though its setting is not at fault: it is handed out again."""
        self._repeated.append(self._asked.pop(job_id))

    def end(self, job_id: str, rows: list[dict[str, Any]] | None) -> None:
        """A job has ended. rows: its recorded rows; None if it was abandoned and must run again"""
        asked = self._asked.pop(job_id)
        if self._silent or rows is None or not (asked.trial or asked.adds):
            return
        tell = self._tell if asked.trial else self._add
        try:
            self._surely(asked.job, lambda: tell(asked, rows))
        except (StorageAway, OSError) as failure:
            self._gone(failure)

    def _tell(self, asked: Asked, rows: list[dict[str, Any]]) -> None:
        """Tell Optuna the mean of each goal over replicates; FAIL if one is not ok or a goal is null."""
        assert asked.trial is not None
        values = goal_values(rows, self._settings.goals)
        study = self._studies[asked.job.arm.method]
        state = TrialState.COMPLETE if values is not None else TrialState.FAIL
        study.tell(asked.trial, values, state=state, skip_if_finished=True)

    def _add(self, asked: Asked, rows: list[dict[str, Any]]) -> None:
        """Add a job to Optuna that Optuna does not know, or of which it knows only a failed attempt."""
        study, frozen = self._studies[asked.job.arm.method], self._begun.get(asked.job.key)
        values = goal_values(rows, self._settings.goals)
        if frozen is not None and (frozen.state == TrialState.COMPLETE or values is None):
            return
        kinds = distributions(asked.job.arm.space)
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if values is not None else TrialState.FAIL,
                values=values,
                params={name: asked.values[name] for name in kinds},
                distributions=kinds,
                user_attrs={"trial": asked.job.key},
            )
        )

    def _surely(self, job: Job, do: Callable[[], T]) -> T:
        """Call `do` until it succeeds; before each new attempt, see in the storage what was half done."""
        redone = False

        def once() -> T:
            nonlocal redone
            if redone:
                self._read(job.arm.method)
            redone = True
            return do()

        return patiently(once, away=AWAY, patience_s=PATIENCE_S)

    def _gone(self, error: Exception) -> None:
        """Stop using the storage. When the study resumes, the search gets what it lacks from the records."""
        self._silent = True
        self._stopper.close(f"the search's storage cannot be used ({error})")


def _agree(row: dict[str, Any], values: dict[str, Any]) -> bool:
    """Whether a record has these values; values that it lacks do not count."""
    return all(row.get(name) is None or contains(value, row[name]) for name, value in values.items())
