"""What the driver does when a job ends: files, record, search, MLflow, display. Ray Tune calls this.

What we call a job, Ray calls a trial. Methods here that Tune calls must keep its parameter name `trial`.
"""

import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ray.tune import Callback, Checkpoint
from ray.tune.experiment import Trial as Job

from study import records
from study.cluster import checkpoints
from study.cluster.connection import GONE, HeadWatch
from study.progress import Progress
from study.results import Front
from study.retry import StorageAway
from study.search.plan_search import PlanSearch
from study.stopper import Stopper, is_full
from study.tracking.tracker import Tracker
from study.trial import failed, record, trial_records
from study.trial_folder import missing, remove_damaged
from study.trial_spec import TrialSpec


class StudyCallback(Callback):
    """Keeps a study's folder, search and MLflow up to date, trial by trial; the record comes first."""

    def __init__(
        self,
        folder: Path,
        search: PlanSearch,
        tracker: Tracker,
        progress: Progress,
        stopper: Stopper,
        front: Front | None,
        head: HeadWatch,
        max_retries: int,
    ) -> None:
        """The callback keeps all its arguments up to date.

        front: embeddings are kept only of trials on this front; None keeps those of all trials
        max_retries: how often a job runs again whose worker did not start, or whose files are damaged
        """
        self._head = head
        self._started: set[str] = set()  # jobs that have a worker now, by Tune's id
        self._max_retries, self._repeats = max_retries, Counter[str]()
        self._folder, self._search, self._tracker = folder, search, tracker
        self._progress, self._stopper, self._front = progress, stopper, front
        self._newest: dict[str, Checkpoint] = {}  # of running jobs, by Tune's id

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to pickle, since its way to restore a study is not used."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Job], trial: Job, **info: Any) -> None:
        self._started.add(trial.trial_id)
        self._progress.running = len(self._started)

    def on_trial_recover(self, iteration: int, trials: list[Job], trial: Job, **info: Any) -> None:
        self._has_left(trial)

    def _has_left(self, job: Job) -> bool:
        """Note that a job has no worker now. Return whether it had one: its node may be lost before that."""
        had_one = job.trial_id in self._started
        self._started.discard(job.trial_id)
        self._progress.running = len(self._started)
        return had_one

    def on_checkpoint(
        self, iteration: int, trials: list[Job], trial: Job, checkpoint: Checkpoint, **info: Any
    ) -> None:
        """Keep only the newest checkpoint. (Tune's `num_to_keep` writes the state of all jobs each time.)"""
        older = self._newest.get(trial.trial_id)
        if older is not None and older.filesystem is not None:
            with contextlib.suppress(OSError):  # S3 may refuse now; its folder is removed at the end
                older.filesystem.delete_dir(older.path)
        self._newest[trial.trial_id] = checkpoint

    def on_trial_complete(self, iteration: int, trials: list[Job], trial: Job, **info: Any) -> None:
        self._has_left(trial)
        spec: TrialSpec = trial.config["spec"]
        if trial.last_result.get("n_done") != len(spec.replicates):  # too late to begin, or interrupted
            self._search.end(trial.trial_id, None)
        else:
            self._close(trial, lambda work: trial_records(spec, work) if work else [], is_done=True)
        self._remove(trial)

    def on_trial_error(self, iteration: int, trials: list[Job], trial: Job, **info: Any) -> None:
        """The worker was lost more than `--max-retries` times: record unfinished replicates as `failed`.

        A worker that was lost before it started says nothing about the trial, which runs again.
        """
        had_worker = self._has_left(trial)
        spec: TrialSpec = trial.config["spec"]
        reason = str(trial.get_error() or "its worker died").strip().splitlines()[-1]
        if is_full(reason):
            self._stopper.close(f"{spec.key}: {reason}")
            self._search.end(trial.trial_id, None)
        elif self._head.has_lost_us():  # no fault of the trial, which runs again when the study is resumed
            self._stopper.close(GONE)
            self._search.end(trial.trial_id, None)
        elif not had_worker:
            self._again(trial, f"no worker could be started for {spec.key} ({reason})")
        else:

            def all_replicates(work: Path | None) -> list[dict[str, Any]]:
                ended = trial_records(spec, work) if work else []
                finished = {item["replicate"] for item in ended}
                lost = [one for one in spec.replicates if str(one) not in finished]
                return ended + [record(spec, one, failed(spec, one, reason)) for one in lost]

            self._close(trial, all_replicates)
        self._remove(trial)

    def _close(
        self, job: Job, ended: Callable[[Path | None], list[dict[str, Any]]], *, is_done: bool = False
    ) -> None:
        """Record a job, with the files of its last checkpoint. If those cannot be read, the study ends.

        is_done: whether every replicate has ended; then a replicate with damaged or missing files runs again
        """
        if self._stopper.abandoned:
            return
        try:
            with self._work(job) as work:
                spec: TrialSpec = job.config["spec"]
                lost = missing(spec, work)
                if is_done and lost:
                    self._again(
                        job, f"the files of {spec.key} ({', '.join(lost)}) were damaged again and again"
                    )
                    return
                if work is not None:
                    remove_damaged(spec, work)
                self._end(job, ended(work), work)
        except StorageAway as error:
            self._stopper.close(f"checkpoints cannot be read from --storage ({error})")
            self._search.end(job.trial_id, None)

    def _again(self, job: Job, reason: str) -> None:
        """Run a job again that is not at fault, up to `--max-retries` times; after that the study ends."""
        spec: TrialSpec = job.config["spec"]
        self._repeats[spec.key] += 1
        if self._repeats[spec.key] <= self._max_retries:
            self._search.again(job.trial_id)
        else:
            self._stopper.close(reason)
            self._search.end(job.trial_id, None)

    @contextlib.contextmanager
    def _work(self, job: Job) -> Iterator[Path | None]:
        """The job's folder at its last checkpoint (study.trial), copied from Tune's storage if necessary."""
        if job.checkpoint is None:
            yield None
        else:
            with checkpoints.fetched(job.checkpoint) as work:
                yield work

    def _remove(self, job: Job) -> None:
        """Remove the files that Tune keeps of a finished job: thousands of them would fill the disk."""
        newest = self._newest.pop(job.trial_id, None)
        if newest is not None and newest.filesystem is not None:
            with contextlib.suppress(OSError):
                newest.filesystem.delete_dir(os.path.dirname(newest.path))
        if job.local_path:
            shutil.rmtree(job.local_path, ignore_errors=True)

    def _end(self, job: Job, ended: list[dict[str, Any]], work: Path | None) -> None:
        """Record every replicate, then give the search the result. A full disk ends the study instead."""
        spec: TrialSpec = job.config["spec"]
        try:
            for item in ended:
                self._keep(spec, item, work)
        except OSError as error:
            self._stopper.close(f"{self._folder} cannot be written ({error.strerror})")
            self._search.end(job.trial_id, None)
            return
        rows = [item["row"] for item in ended]
        if self._front is not None and spec.role != "reference":
            for beaten in self._front.add(spec.trial, rows):
                for one in spec.replicates:
                    (self._folder / "embeddings" / f"{beaten}-{one}.arrow").unlink(missing_ok=True)
        self._search.end(job.trial_id, rows)
        self._progress.add(spec.method, spec.key, rows)
        if any(row["status"] == "failed" for row in rows):
            self._stopper.count_failure()
        self._tracker.note(self._progress.done, self._progress.summary.metrics())

    def _keep(self, spec: TrialSpec, item: dict[str, Any], work: Path | None) -> None:
        begun = time.perf_counter()
        name, replicate = records.key(item), item["replicate"]
        for source, target in (
            (f"{replicate}.pt", self._folder / "checkpoints" / f"{name}.pt"),
            (f"{replicate}.arrow", self._folder / "embeddings" / f"{name}.arrow"),
            (f"{replicate}.traceback.txt", self._folder / "log" / f"{name}.traceback.txt"),
        ):
            if work is not None and (work / source).exists():
                shutil.copyfile(work / source, target)
        item["row"]["study"] = self._folder.name
        item["row"]["log_seconds"] = time.perf_counter() - begun
        records.save(self._folder, item)
        self._tracker.add(name)
