"""At the end of a study with `--metrics goals`, the encoders of the Pareto front are measured by all metrics.

Trials were measured by their goals alone, so each encoder of the front is measured once more, from its
checkpoint, by a task of the cluster. A record says in `metrics` by what it was measured, so a study that
was stopped meanwhile continues here when it is resumed.
"""

import json
import logging
from typing import Any

import ray

from emargin_train.files import write_whole
from study import interrupts, plan, records, results
from study.cluster.connection import HeadWatch
from study.settings import StudySettings
from study.stopper import Stopper
from study.tracking.tracker import Tracker

LEAVE_S = 5.0
log = logging.getLogger(__name__)


def left(settings: StudySettings, study_plan: tuple[plan.Arm, ...]) -> list[str]:
    """The keys of records of the front that have the goals alone."""
    if settings.metrics != "goals":
        return []
    kept = records.load(settings.folder)
    done = records.finished(kept, plan.trials(study_plan))
    on_front = results.kept_trials(done, "front", settings.goals)
    return [
        records.key(record)
        for record in kept
        if record["trial"] in on_front and record.get("metrics") and record["row"]["status"] == "ok"
    ]


def measure_all(
    settings: StudySettings,
    keys: list[str],
    tracker: Tracker,
    stopper: Stopper,
    head: HeadWatch,
    *,
    gpus: float,
) -> int:
    """Measure these encoders by all metrics, and complete their records; returns how many it has completed.

    An interrupt ends it, and an encoder that cannot be measured keeps its goals.

    gpus: GPUs that one encoder takes
    """
    completed = []
    task = ray.remote(_measured).options(
        num_cpus=settings.cpus_per_trial, num_gpus=gpus, max_retries=settings.max_retries
    )

    def run() -> None:
        waiting = {}
        for key in keys:
            saved = (settings.folder / "checkpoints" / f"{key}.pt").read_bytes()
            waiting[task.remote(saved, settings.cpus_per_trial, gpus > 0)] = key
        while waiting and not stopper.interrupted:
            for ended in ray.wait(list(waiting), timeout=1.0)[0]:
                key = waiting.pop(ended)
                try:
                    found = ray.get(ended)
                except (ray.exceptions.RayTaskError, ray.exceptions.WorkerCrashedError) as error:
                    log.warning(
                        "%s is measured by the goals alone, since measuring it by all metrics failed: %s",
                        key,
                        error,
                    )
                    continue
                _complete(settings, key, *found)
                tracker.again(key)
                completed.append(key)
        for reference in waiting:
            ray.cancel(reference)

    interrupts.finish(run, interrupted=stopper.interrupt, is_lost=head.is_lost, patience_s=LEAVE_S)
    return len(completed)


def _measured(
    saved: bytes, threads: int, on_gpu: bool
) -> tuple[dict[str, Any], dict[str, Any], bytes, float]:
    """Metrics, what a record keeps beside them, the file of embeddings, and the seconds that it took.

    A worker calls this; the driver need not load what it uses.
    """
    import torch

    from emargin_train.pretrain import measure
    from study.trial import beside_metrics, embeddings_file

    torch.set_num_threads(threads)
    outcome = measure(saved, device="cuda" if on_gpu and torch.cuda.is_available() else "cpu")
    assert outcome.evaluation is not None
    evaluation = outcome.evaluation
    beside, kept = beside_metrics(evaluation), embeddings_file(evaluation.embeddings)
    return evaluation.metrics, beside, kept, outcome.row["eval_seconds"]


def _complete(
    settings: StudySettings,
    key: str,
    metrics: dict[str, Any],
    beside: dict[str, Any],
    embeddings: bytes,
    seconds: float,
) -> None:
    record = json.loads((settings.folder / "records" / f"{key}.json").read_bytes())
    record["row"] |= metrics | {"eval_seconds": record["row"]["eval_seconds"] + seconds}
    if settings.keep_embeddings != "none":
        write_whole(settings.folder / "embeddings" / f"{key}.arrow", embeddings)
    records.save(settings.folder, record | beside | {"metrics": None})
