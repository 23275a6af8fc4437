"""Ray Tune's loop over the jobs of a study."""

import gc
import itertools
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune import Callback

from study import interrupts, own_folders
from study.cluster import checkpoints, engine_actor, ray_private
from study.cluster.connection import GONE, HeadWatch
from study.cluster.engine import Sharing
from study.cluster.searcher import TuneSearcher
from study.cluster.worker import trainable
from study.search.plan_search import PlanSearch
from study.settings import StudySettings
from study.stopper import Stopper
from study.trial import run_trial

CHECKPOINT_EVERY_S = 20.0
LEAVE_S = 10.0  # Tune cleans up for up to 5 s after an interrupt
# A Tune experiment has PART_JOBS jobs, or PART_WAVES times as many as run at once, if that is more.
PART_JOBS, PART_WAVES = 500, 25


def run_trials(
    settings: StudySettings,
    search: PlanSearch,
    callback: Callback,
    stopper: Stopper,
    *,
    gpus: float,
    n_at_once: int,
    head: HeadWatch,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Run jobs until every one is finished or has failed, or until the stopper lets no more begin.

    Tune keeps every job that it has seen and looks through all of them at each step. Therefore a long study
    consists of several Tune experiments, one after another.

    gpus: GPUs that one trial takes
    head: watches the cluster's head, without which no job ever ends
    look: called every second in the calling thread
    """
    ray_private.prepare_tune()
    place = checkpoints.place(settings)  # removed at the end
    fit_one_gpu = int(1 / gpus + 1e-6) if gpus else 1
    shared = None
    if fit_one_gpu > 1:
        shared = Sharing(fit_one_gpu, CHECKPOINT_EVERY_S, settings.cpus_per_trial)
    param_space = {
        "run": run_trial,
        "threads": settings.cpus_per_trial,
        "gpu": gpus > 0,
        "sharing": shared,
        "checkpoint_every_s": CHECKPOINT_EVERY_S,
        "deadline": stopper.deadline,
        "patience_s": place.patience_s,
        "run_name": own_folders.RUN,
    }
    part = max(PART_JOBS, PART_WAVES * n_at_once)
    resources = {"cpu": settings.cpus_per_trial, "gpu": gpus}

    def run_part(number: int) -> None:
        tune.Tuner(
            tune.with_resources(trainable, resources),
            param_space=param_space,
            tune_config=tune.TuneConfig(
                search_alg=TuneSearcher(search),
                num_samples=part,
                max_concurrent_trials=n_at_once,
                reuse_actors=True,
                trial_dirname_creator=lambda job: job.trial_id,
            ),
            run_config=tune.RunConfig(
                name=f"part-{number}",
                storage_path=place.path,
                storage_filesystem=place.filesystem,
                verbose=0,
                stop=StopWhenInterrupted(stopper),
                callbacks=[callback],  # a new list, since Tune adds callbacks that hold all jobs of the part
                failure_config=tune.FailureConfig(max_failures=settings.max_retries),
            ),
        ).fit()

    def run_parts() -> None:
        for number in itertools.count():
            if stopper.interrupted or not search.has_more:
                break
            run_part(number)
            gc.collect()  # the objects of an experiment refer to each other in circles

    try:
        _run_interruptibly(run_parts, stopper, head, look)
    finally:
        if shared is not None and not stopper.abandoned:
            interrupts.finish(lambda: engine_actor.end_all(shared), patience_s=LEAVE_S, at_most_s=LEAVE_S)
        place.clear()
        own_folders.remove_all(kinds=("trial",))  # workers that were killed leave folders


class StopWhenInterrupted(tune.Stopper):
    """Makes Tune stop the running jobs, once the user has interrupted the study."""

    def __init__(self, stopper: Stopper) -> None:
        self._stopper = stopper

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._stopper.interrupted

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to pickle, since its way to restore a study is not used."""
        return {}


def _run_interruptibly(
    do: Callable[[], None], stopper: Stopper, head: HeadWatch, look: Callable[[], None]
) -> None:
    """Call `do` in a separate thread. A KeyboardInterrupt here interrupts the stopper, and `do` then ends.

    If `do` does not end, or the head of the cluster is gone, the thread is abandoned: nothing that it still
    does is recorded.

    A separate thread is needed for two reasons. In the main thread, Tune would set handlers of SIGINT and
    SIGUSR1. And a KeyboardInterrupt in the middle of Tune's work, or while a record is written, could leave
    these half done.
    """

    def is_lost() -> bool:
        look()
        return head.is_lost()

    has_ended = interrupts.finish(do, interrupted=stopper.interrupt, is_lost=is_lost, patience_s=LEAVE_S)
    if not has_ended:
        stopper.abandoned = True
        stopper.close(GONE)
