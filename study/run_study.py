"""Run a study from its settings to its table: plan, data, cluster, search, records.

    from study.run_study import run_study
    from study.settings import StudySettings

    outcome = run_study(StudySettings(dataset="sleepeeg-sim", name="first", trials=8))

This never ends the calling process, and leaves its signal handlers as they are. A KeyboardInterrupt stops the
study properly: `outcome.interrupted` is then true, and the same call resumes the study.
"""

import contextlib
import math
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from emargin_train.data import load
from emargin_train.data.catalogue import find
from emargin_train.data.frames import Splits
from emargin_train.errors import UserError
from emargin_train.hyperparameters import all_hyperparameters
from study import display, identity, interrupts, manifest, plan, records, results, split_seeds
from study.closing import Books, closed, closed_in_the_end
from study.cluster import checkpoints, connection
from study.cluster import front as measuring
from study.library_log import library_messages_in
from study.opening import Opening
from study.ownership import owned
from study.progress import Progress
from study.search import claim
from study.search.plan_search import PlanSearch
from study.settings import StudySettings
from study.stopper import Stopper
from study.tracking import uri as tracking_uri
from study.tracking.sync_state import SyncState
from study.tracking.tracker import Tracker

Say = Callable[[str], None]


@dataclass(frozen=True)
class StudyOutcome:
    """How a study ended.

    counts: trials by status; with --seeds-as-trials, every replicate counts
    done: the rows of each finished trial
    stopped: why not every trial is done, in words; None where all are done
    interrupted: whether the user stopped the study
    browse: how to open MLflow at the study's trials
    not_exported: number of runs that MLflow does not have yet, since its server does not answer
    is_abandoned: whether the cluster died or hung, so that a thread still waits for it
    report: the page of the report, where it was drawn
    not_drawn: why the report could not be drawn; None where it was, or where nobody asked for it
    not_published: why MLflow does not have the study's table and report; None where it has them, or where
        nobody tried
    """

    counts: dict[str, int]
    done: records.Rows
    n_trials: int
    stopped: str | None
    interrupted: bool
    browse: str
    not_exported: int
    is_abandoned: bool = False
    report: Path | None = None
    not_drawn: str | None = None
    not_published: str | None = None

    @property
    def exit_code(self) -> int:
        """0 where the study is done or its time budget is used up, else 1."""
        out_of_time = self.stopped is None or "time budget" in self.stopped
        return 0 if self.counts["ok"] and out_of_time else 1

    def summary(self, seconds: float) -> str:
        counts = ", ".join(f"{n} {name}" for name, n in self.counts.items())
        return f"{sum(self.counts.values())} of {self.n_trials} trials: {counts}; {seconds / 60:.1f} min"


def run_study(
    settings: StudySettings,
    *,
    extend: int | None = None,
    retry_failed: bool = False,
    quiet: bool = False,
    report: bool = False,
) -> StudyOutcome:
    """Run a study, or resume it where its folder exists and has the same settings.

    Everything that a user can get wrong is checked before the folder is made, and raises UserError. When the
    study has ended and was not interrupted, its run in MLflow gets its table, its settings and its report.

    extend: number of trials that are added to an existing study, for each searched method
    retry_failed: whether trials that failed are run again
    quiet: nothing but warnings is printed while it runs
    report: whether the report is drawn in the end
    """
    say = _nothing if quiet else display.on_standard_error
    out, is_there = Path(settings.out), results.is_study(settings.folder)
    with contextlib.ExitStack() as stack:
        stack.enter_context(display.survives())
        if is_there:
            stack.enter_context(owned(settings.folder))
        settings, study_plan, address = checked(settings, extend)
        uri = tracking_uri.resolve(settings.tracking_uri, out)
        if not is_there or uri.startswith("sqlite:"):  # a resumed study runs without its server
            tracking_uri.check_answers(uri)
        checkpoints.check(settings)
        say(f"study: {settings.folder}")
        if settings.note:
            say(f"note: {settings.note}")
        say(f"data: {settings.dataset}")
        splits = load(plan.first_data(settings, study_plan))
        for line in splits.described:
            say(f"  {line}")
        claim.check_free(settings, study_plan)

        folder = settings.folder
        if not is_there:
            results.make_folder(settings)
            stack.enter_context(owned(folder))
            results.check_free(settings)  # another process may have made a study of this name meanwhile
        results.store(settings)
        study_id = identity.open_study(folder)
        stack.enter_context(library_messages_in(folder / "log" / "libraries.log"))
        tracker = stack.enter_context(
            contextlib.closing(Tracker(uri, folder, dataset=find(settings.dataset).name, say=say))
        )
        tracker.forget(records.check(folder, plan.trials(study_plan)))
        if retry_failed:
            tracker.forget(records.forget_failed(folder))
        outcome, drawn = _run(settings, study_plan, study_id, address, tracker, splits, say, report)
        return _published(outcome, tracker, drawn)


def checked(
    settings: StudySettings, extend: int | None
) -> tuple[StudySettings, tuple[plan.Arm, ...], str | None]:
    """The settings in full, their plan, and the address of the cluster. Raises UserError."""
    settings = _complete(settings)
    if extend is not None:
        settings = _complete(results.extended(settings, extend))
    study_plan = plan.arms(settings)
    if extend is not None and not any(arm.searches for arm in study_plan):
        raise UserError(f"--extend is {extend}, but nothing is searched: there is no other setting to try")
    for arm in study_plan:
        arm.check(settings)
    if not plan.trials(study_plan):
        raise UserError(
            f"--shard is {settings.shard}, but there are fewer trials than parts: give fewer parts"
        )
    if extend is None:
        results.check_free(settings)
    address = connection.find_cluster(settings.address)
    if address is None:
        connection.check_resources(settings)
        for kind in plan.values_of(study_plan, "precision") - {"float32"}:
            from emargin_train import precision

            precision.check(str(kind), "cuda" if settings.gpus_per_trial else "cpu")
    return settings, study_plan, address


def _complete(settings: StudySettings) -> StudySettings:
    """The settings with what a study that is there has stored, and what defaults decide."""
    return plan.resolved(results.as_stored(settings), split_seeds.by_default(settings))


def _run(
    settings: StudySettings,
    study_plan: tuple[plan.Arm, ...],
    study_id: str,
    address: str | None,
    tracker: Tracker,
    splits: Splits,
    say: Say,
    report: bool,
) -> tuple[StudyOutcome, Future[Path] | None]:
    """How the study ended, and its report where one is being drawn."""
    folder, jobs = settings.folder, plan.jobs(settings, study_plan)
    stopper = Stopper(settings.time_budget_s, settings.max_failures)
    progress = Progress(settings.goals, len(jobs), quiet=say is _nothing)
    done, front = _earlier(settings, jobs, progress)
    say(f"trials: {len(jobs)}" + (f", {len(done)} of them done already" if done else ""))
    params = results.flat_settings(settings) | {"data_hash": splits.data_hash}
    tracker.describe(params)
    books = Books(
        settings, study_plan, tracker, stopper, progress.summary, partial(_draw, folder) if report else None
    )
    has_work = len(done) < len(jobs) or bool(measuring.left(settings, study_plan))
    cluster: contextlib.AbstractContextManager[dict[str, Any] | None] = contextlib.nullcontext()
    if has_work:
        cluster = connection.joined(
            address,
            quiet=say is _nothing,
            workers=connection.first_workers(settings, len(jobs) - len(done)),
            threads=settings.cpus_per_trial,
            meanwhile=partial(interrupts.load, "emargin_train.train"),
        )
    with closed_in_the_end(books), cluster as resources:
        # The table and MLflow are completed before Ray ends, so that a fault while Ray ends cannot harm them.
        with closed(books):
            manifest.write(settings, study_plan, study_id, splits, resources, tracker.uri)
            tracker.start(params)
            opening = Opening(tracker, stopper, lambda: say(f"browse: {_to_browse(settings, tracker)}"))
            kept = claim.claimed_storage(settings, study_plan, study_id)
            search = PlanSearch(settings, study_plan, kept, done, stopper)
            if resources is not None:
                trainings, head = _trainings(stopper), connection.HeadWatch(started_here=address is None)
                with progress:
                    trainings.run(
                        settings,
                        study_plan,
                        search,
                        front=front,
                        resources=resources,
                        head=head,
                        tracker=tracker,
                        progress=progress,
                        stopper=stopper,
                        look=opening.look,
                        say=say,
                    )
            opening.complete()
            if report and not stopper.interrupted:
                interrupts.load("analysis.report")  # it takes a second, and MLflow is completed meanwhile
    complete = books.is_complete
    browse = _to_browse(settings, tracker)
    stopped = None if complete else stopper.reached or "some trials have not ended"
    interrupted = stopper.interrupted and not complete
    outcome = StudyOutcome(
        progress.counts,
        books.finished,
        len(jobs),
        stopped,
        interrupted,
        browse,
        books.not_exported,
        stopper.abandoned,
    )
    return outcome, books.report


def _trainings(stopper: Stopper) -> ModuleType:
    """`study.cluster.trainings`, which loads PyTorch and Tune; the cluster starts without them.

    A KeyboardInterrupt stops the study afterwards. It would leave half of a module behind, which the end of
    the study needs too.
    """
    name = "study.cluster.trainings"

    def load() -> None:
        import_module("emargin_train.train")  # first: a thread may be loading it (`meanwhile`)
        import_module(name)

    interrupts.finish(load, interrupted=stopper.interrupt, patience_s=math.inf)
    return import_module(name)


def _draw(folder: Path) -> Path:
    from analysis.report import build

    return build(folder)


def _to_browse(settings: StudySettings, tracker: Tracker) -> str:
    known = SyncState(settings.folder)
    return tracking_uri.to_browse(
        tracker.uri, experiment=known.experiment, study_id=known.study_id, goal=settings.goals[0]
    )


def _published(outcome: StudyOutcome, tracker: Tracker, drawn: Future[Path] | None) -> StudyOutcome:
    """The outcome with its report, and with the study's files in MLflow. An interrupt ends the wait."""
    if outcome.interrupted or outcome.is_abandoned or not outcome.counts["ok"]:
        return outcome
    try:
        if drawn is not None:
            outcome = _with_report(outcome, tracker.folder, drawn)
        if not outcome.not_exported:
            tracker.publish()
    except UserError as error:
        return replace(outcome, not_published=str(error))
    except KeyboardInterrupt:
        return replace(outcome, not_published="interrupted")
    return outcome


def _with_report(outcome: StudyOutcome, folder: Path, drawn: Future[Path]) -> StudyOutcome:
    """The outcome with its report, or with the reason why it has none: the study is done in either case."""
    try:
        return replace(outcome, report=drawn.result())
    except Exception as error:  # the boundary: whatever is wrong with files, disk or the drawing process
        with contextlib.suppress(OSError):
            (folder / "log" / "report.traceback.txt").write_text("".join(traceback.format_exception(error)))
        return replace(outcome, not_drawn=" ".join(str(error).split())[:300] or type(error).__name__)


def _nothing(_: str) -> None:
    """What a quiet study says while it runs."""


def _earlier(
    settings: StudySettings, jobs: list[plan.Job], progress: Progress
) -> tuple[records.Rows, results.Front]:
    """The rows of jobs that earlier runs of this study finished, and their front; the display counts them."""
    needed = ("method", "role", "status", *all_hyperparameters(), *settings.goals)
    done = records.finished(records.read(settings.folder), jobs, needed)
    front = results.Front(settings.goals)
    for key, rows in done.items():
        progress.add(rows[0]["method"], key, rows, earlier=True)
        front.add(key, rows)
    return done, front
