"""Train what the search hands out, on the cluster; then measure the front in full."""

from collections.abc import Callable
from typing import Any

from study import plan
from study.cluster import connection, tune_loop
from study.cluster import front as measuring
from study.cluster.callback import StudyCallback
from study.cluster.gpu_share import measured_share
from study.progress import Progress
from study.results import Front
from study.search.plan_search import PlanSearch
from study.settings import StudySettings
from study.stopper import Stopper
from study.tracking.tracker import Tracker


def run(
    settings: StudySettings,
    study_plan: tuple[plan.Arm, ...],
    search: PlanSearch,
    *,
    front: Front,
    resources: dict[str, Any],
    head: connection.HeadWatch,
    tracker: Tracker,
    progress: Progress,
    stopper: Stopper,
    look: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    """Run trials until every one is finished or has failed, or until the stopper lets no more begin.

    An interrupt may have come while this was loaded: then it does nothing.

    front: the front so far; embeddings of trials that are not on it are removed
    resources: of the cluster
    look: called every second in the calling thread
    """
    if stopper.interrupted:
        return
    gpus = settings.gpus
    if gpus is None:
        gpus = measured_share(plan.first_config(settings, study_plan), settings.seeds)
        say(f"gpus: {gpus:g} of one for each trial, as measured")
    # Thousands of embeddings would fill the disk. Replicates that run apart are judged later.
    pruning = settings.keep_embeddings != "all" and not settings.seeds_as_trials
    tune_loop.run_trials(
        settings,
        search,
        StudyCallback(
            settings.folder,
            search,
            tracker,
            progress,
            stopper,
            front if pruning else None,
            head,
            settings.max_retries,
        ),
        stopper,
        gpus=gpus,
        n_at_once=connection.concurrency(settings, resources, gpus=gpus, started_here=head.started_here),
        head=head,
        look=look,
    )
    keys = [] if stopper.is_final else measuring.left(settings, study_plan)
    if keys:
        say(f"front: {len(keys)} encoders are measured by all metrics")
        completed = measuring.measure_all(settings, keys, tracker, stopper, head, gpus=gpus)
        if completed < len(keys):
            left = len(keys) - completed
            say(f"front: {left} of them still have the goals alone; the same command measures them")
