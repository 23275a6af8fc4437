"""From settings to a finished study: plan, data, cluster, search, bookkeeping, table."""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emargin_train.data import load
from emargin_train.data.catalogue import find
from emargin_train.data.frames import Splits
from emargin_train.errors import UserError
from emargin_train.evaluation.chosen import choose
from study import checkpoints, cluster, plan, records, results, search, storage, tracking, tracking_uri
from study.bookkeeper import Bookkeeper
from study.gpu_share import measured_share
from study.limits import Limits
from study.progress import Progress
from study.secrets import without_password
from study.settings import StudySettings
from study.space import SPACE


@dataclass(frozen=True)
class Conducted:
    """How a study ended.

    counts: trials by status; with --seeds-as-trials, every seed counts
    done: rows by finished trial
    stopped: why not every trial is done, in words; None where all are
    interrupted: the user stopped it
    browse: the command that opens MLflow on it
    undelivered: runs that MLflow does not have yet, its server being away
    """

    counts: dict[str, int]
    done: records.Rows
    n_trials: int
    stopped: str | None
    interrupted: bool
    browse: str
    undelivered: int

    @property
    def exit_code(self) -> int:
        """As `python -m study.run --help` says."""
        if self.interrupted:
            return 130
        out_of_time = self.stopped is None or "time budget" in self.stopped
        return 0 if self.counts["ok"] and out_of_time else 1

    def summary(self, seconds: float) -> str:
        counts = ", ".join(f"{n} {name}" for name, n in self.counts.items())
        return f"{sum(self.counts.values())} of {self.n_trials} trials: {counts}; {seconds / 60:.1f} min"


def conduct(settings: StudySettings, *, extend: int | None = None, retry_failed: bool = False) -> Conducted:
    """Run a study, or go on with one whose folder is there with the same settings.

    Everything a user can get wrong is checked before the folder is made.
    extend: trials of each objective that are added to a study that is there
    retry_failed: trials that failed are run again
    """
    out = Path(settings.out)
    if extend is not None:
        settings = results.extended(settings, extend)
    study_plan = plan.arms(settings)
    if extend is not None and not any(arm.searches for arm in study_plan):
        raise UserError(f"--extend is {extend}, but nothing is searched: there is no other setting to try")
    for arm in study_plan:
        arm.check(settings)
    if extend is None:
        results.check_free(settings)
    address = cluster.find_cluster(settings.address)
    if address is None:
        cluster.check_resources(settings)
    uri = tracking_uri.resolve(settings.tracking_uri, out)
    if not settings.folder.exists():  # one that is gone on with can wait for its server
        tracking_uri.check_answers(uri)
    checkpoints.check(settings)
    print(f"data: {settings.dataset}", file=sys.stderr)
    splits = load(plan.first_config(settings, study_plan).data)
    for line in splits.described:
        print(f"  {line}", file=sys.stderr)
    if settings.optuna_storage is not None:
        storage.make_storage(settings.folder, settings.optuna_storage)

    folder = results.create(settings)
    with _library_noise_in(folder / "log" / "libraries.log"):
        tracker = tracking.Tracker(uri, folder, dataset=find(settings.dataset).name)
        with contextlib.closing(tracker):
            if retry_failed:
                tracker.forget(records.forget_failed(folder))
            return _run(settings, study_plan, folder, address, tracker, splits)


def _run(
    settings: StudySettings,
    study_plan: tuple[plan.Arm, ...],
    folder: Path,
    address: str | None,
    tracker: tracking.Tracker,
    splits: Splits,
) -> Conducted:
    turns = plan.turns(settings, study_plan)
    here = address is None
    print(f"ray: {'started here' if here else 'joined ' + str(address)}", file=sys.stderr)
    with cluster.joined(address) as resources:
        chosen = choose(splits, seed=settings.split_seed, cap=settings.evaluation_frames)
        measured = np.unique(splits.validation.y[chosen.balanced])
        results.write_manifest(
            folder,
            asked=sum(len(turn.seeds) for turn in turns),
            data_hash=splits.data_hash,
            described=splits.described,
            clusters={find(settings.dataset).name: len(measured)},
            classes=splits.class_names,
            resources=resources,
        )
        chosen.save(folder / "evaluation_frames.npz")
        tracker.start(results.flat_settings(settings) | {"data_hash": splits.data_hash})
        gpus = settings.gpus_per_trial
        if gpus == "auto":
            gpus = measured_share(plan.first_config(settings, study_plan), settings.seeds)
            print(f"gpus: {gpus:g} of one for each trial, as measured", file=sys.stderr)
        limits = Limits(settings.time_budget_s, settings.max_failures)
        progress = Progress(settings.goals, len(turns))
        needed = ("objective", "role", "status", "gate", *SPACE, *settings.goals)
        done = records.finished(records.read(folder), turns, needed)
        for key, rows in done.items():
            progress.add(rows[0]["objective"], key, rows, earlier=True)
        # thousands of embeddings would fill the disk; a trial in parts is judged when it is whole
        front = results.Front(settings.goals)
        for key, rows in done.items():
            front.add(key, rows)
        pruning = settings.keep_embeddings != "all" and not settings.seeds_as_trials
        kept = storage.make_storage(folder, settings.optuna_storage)
        plan_search = search.PlanSearch(settings, study_plan, kept, done, limits)
        with progress:
            cluster.run_trials(
                settings,
                plan_search,
                [Bookkeeper(folder, plan_search, tracker, progress, limits, front if pruning else None)],
                gpus=gpus,
                n_at_once=cluster.concurrency(settings, resources, gpus=gpus, started_here=here),
                deadline=limits.deadline,
            )
        # inside, so that whatever befalls Ray's end befalls a study that is whole
        kept_records = records.load(folder)
        finished = records.finished(kept_records, plan.trials(study_plan))
        complete = progress.done == len(turns)
        if complete:
            results.prune_embeddings(
                folder, results.kept_trials(finished, settings.keep_embeddings, settings.goals)
            )
        tracker.note(progress.done, progress.standing.metrics())
        undelivered = tracker.finish("FINISHED" if complete else "KILLED", patience_s=30 if complete else 5)
        results.export(folder, kept_records)
    uri = tracker.uri
    browse = f"mlflow ui --backend-store-uri {uri}" if "://" in uri and not uri.startswith("http") else uri
    stopped = None if complete else limits.reached or "interrupted"
    interrupted = stopped == "interrupted"
    return Conducted(
        progress.counts, finished, len(turns), stopped, interrupted, without_password(browse), undelivered
    )


class _Log(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """A line that cannot be written is dropped: the disk is full, and the user is told so elsewhere."""


@contextlib.contextmanager
def _library_noise_in(file: Path) -> Iterator[None]:
    """What Ray, Optuna and its database layer say goes to a file: the display stays calm.

    The root logger gets the file, since `ray.init` takes other loggers' handlers away.
    """
    handler = _Log(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "optuna", "alembic", "sqlalchemy")]
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
