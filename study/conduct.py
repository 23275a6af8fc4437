"""From settings to a finished study: plan, data, cluster, search, bookkeeping, table."""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emargin_train.data import load
from emargin_train.data.frames import Splits
from emargin_train.evaluation import choose
from study import cluster, plan, results, search, tracking
from study.bookkeeper import Bookkeeper
from study.progress import Progress
from study.settings import StudySettings


@dataclass(frozen=True)
class Conducted:
    """How a study ended.

    counts: trials by status
    done: rows by finished trial
    browse: the command that opens MLflow on it
    """

    counts: dict[str, int]
    done: dict[str, list[dict[str, Any]]]
    n_trials: int
    interrupted: bool
    browse: str

    def summary(self, seconds: float) -> str:
        counts = ", ".join(f"{n} {name}" for name, n in self.counts.items())
        return f"{sum(self.counts.values())} of {self.n_trials} trials: {counts}; {seconds / 60:.1f} min"


def conduct(settings: StudySettings) -> Conducted:
    """Run a study, or go on with one whose folder is there with the same settings.

    Everything a user can get wrong is checked before the folder is made.
    """
    out = Path(settings.out)
    study_plan = plan.arms(settings)
    for arm in study_plan:
        arm.check(settings)
    results.check_free(settings)
    address = cluster.find_cluster(settings.address)
    if address is None:
        cluster.check_resources(settings)
    uri = tracking.resolve(settings.tracking_uri, out)
    print(f"data: {settings.dataset}", file=sys.stderr)
    splits = load(plan.first_config(settings, study_plan).data)
    for line in splits.described:
        print(f"  {line}", file=sys.stderr)

    folder = results.create(settings)
    with _library_noise_in(folder / "log" / "libraries.log"):
        return _run(settings, study_plan, folder, address, uri, splits)


def _run(
    settings: StudySettings,
    study_plan: tuple[plan.Arm, ...],
    folder: Path,
    address: str | None,
    uri: str,
    splits: Splits,
) -> Conducted:
    n_trials = sum(arm.n_trials for arm in study_plan)
    here = address is None
    print(f"ray: {'started here' if here else 'joined ' + str(address)}", file=sys.stderr)
    with cluster.joined(address) as resources:
        n_at_once = cluster.concurrency(settings, resources, started_here=here)
        results.write_manifest(
            folder,
            asked=sum(arm.n_trials * len(arm.seeds) for arm in study_plan),
            data_hash=splits.data_hash,
            described=splits.described,
            resources=resources,
        )
        chosen = choose(splits, seed=settings.split_seed, cap=settings.evaluation_frames)
        chosen.save(folder / "evaluation_frames.npz")
        tracker = tracking.Tracker(uri, out=Path(settings.out), dataset=settings.dataset, study=settings.name)
        tracker.start(results.flat_settings(settings) | {"data_hash": splits.data_hash})
        done = results.finished_trials(folder, study_plan)
        plan_search = search.PlanSearch(settings, study_plan, search.make_storage(folder), done)
        progress = Progress(settings.goals, n_trials)
        for trial, rows in done.items():
            progress.add(rows[0]["objective"], trial, rows, earlier=True)
        with progress:
            cluster.run_trials(
                settings,
                plan_search,
                [Bookkeeper(folder, tracker, progress)],
                n_trials=n_trials - len(done),
                n_at_once=n_at_once,
            )
    interrupted = progress.done < n_trials
    finished = results.finished_trials(folder, study_plan)
    if not interrupted:
        results.prune_embeddings(
            folder, results.kept_trials(finished, settings.keep_embeddings, settings.goals)
        )
    results.export(folder)
    tracker.note(progress.counts)
    tracker.finish("KILLED" if interrupted else "FINISHED")
    browse = f"mlflow ui --backend-store-uri {uri}" if "://" in uri and not uri.startswith("http") else uri
    return Conducted(progress.counts, finished, n_trials, interrupted, browse)


@contextlib.contextmanager
def _library_noise_in(file: Path) -> Iterator[None]:
    """What Ray, Optuna, MLflow and its database layer say goes to a file: the display stays calm.

    The root logger gets the file, since `ray.init` takes other loggers' handlers away.
    """
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    loggers = [
        logging.getLogger(name) for name in ("ray", "ray.tune", "optuna", "mlflow", "alembic", "sqlalchemy")
    ]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [], True
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger().removeHandler(handler)
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()
