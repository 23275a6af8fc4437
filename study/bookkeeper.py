"""What the driver does when a trial ends: record, files, search, MLflow, display. Tune calls it."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ray.tune import Callback, Checkpoint
from ray.tune.experiment import Trial

from study import checkpoints, records
from study.limits import Limits, is_full
from study.plan import TrialSpec
from study.progress import Progress
from study.results import Front
from study.search import PlanSearch
from study.storage import StorageAway
from study.tracking import Tracker
from study.trial import failed, record, trial_records


class Bookkeeper(Callback):
    """Keeps a study's folder, search and MLflow up to date, trial by trial; the record comes first."""

    def __init__(
        self,
        folder: Path,
        search: PlanSearch,
        tracker: Tracker,
        progress: Progress,
        limits: Limits,
        front: Front | None,
    ) -> None:
        """front: only embeddings of trials on it stay; None = all of them"""
        self._folder, self._search, self._tracker = folder, search, tracker
        self._progress, self._limits, self._front = progress, limits, front
        self._newest: dict[str, Checkpoint] = {}  # of running trials

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for its own restore, which we do not use."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._progress.running += 1

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._progress.running -= 1

    def on_checkpoint(
        self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Checkpoint, **info: Any
    ) -> None:
        """The newest is kept. (Tune's own `num_to_keep` writes the state of all trials each time.)"""
        older = self._newest.get(trial.trial_id)
        if older is not None and older.filesystem is not None:
            with contextlib.suppress(OSError):  # S3 refuses: it goes with the study's folder there
                older.filesystem.delete_dir(older.path)
        self._newest[trial.trial_id] = checkpoint

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._progress.running -= 1
        spec: TrialSpec = trial.config["spec"]
        if trial.last_result.get("n_done") != len(spec.seeds):  # came too late to begin, or was interrupted
            self._search.end(trial.trial_id, None)
        else:
            self._close(trial, lambda work: trial_records(spec, work) if work else [])
        self._remove(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The worker was lost more often than `--max-retries`: seeds that were not finished are `failed`."""
        self._progress.running -= 1
        spec: TrialSpec = trial.config["spec"]
        reason = str(trial.get_error() or "its worker died").strip().splitlines()[-1]
        if is_full(reason):
            self._limits.close(f"{spec.key}: {reason}")
            self._search.end(trial.trial_id, None)
        else:

            def all_seeds(work: Path | None) -> list[dict[str, Any]]:
                ended = trial_records(spec, work) if work else []
                seeds = {item["seed"] for item in ended}
                lost = [seed for seed in spec.seeds if seed not in seeds]
                return ended + [record(spec, failed(spec, seed, reason)) for seed in lost]

            self._close(trial, all_seeds)
        self._remove(trial)

    def _close(self, trial: Trial, ended: Callable[[Path | None], list[dict[str, Any]]]) -> None:
        """Record a trial, with the files of its last checkpoint; where those stay away, the study ends."""
        try:
            with self._work(trial) as work:
                self._end(trial, ended(work), work)
        except StorageAway as error:
            self._limits.close(f"checkpoints cannot be read from --storage ({error})")
            self._search.end(trial.trial_id, None)

    @contextlib.contextmanager
    def _work(self, trial: Trial) -> Iterator[Path | None]:
        """The trial's folder at its last checkpoint (study.trial), fetched from Tune's storage if need be."""
        if trial.checkpoint is None:
            yield None
        else:
            with checkpoints.fetched(trial.checkpoint) as work:
                yield work

    def _remove(self, trial: Trial) -> None:
        """What Tune still holds of a trial that is over: with thousands of them, it would fill the disk."""
        newest = self._newest.pop(trial.trial_id, None)
        if newest is not None and newest.filesystem is not None:
            with contextlib.suppress(OSError):
                newest.filesystem.delete_dir(os.path.dirname(newest.path))
        if trial.local_path:
            shutil.rmtree(trial.local_path, ignore_errors=True)

    def _end(self, trial: Trial, ended: list[dict[str, Any]], work: Path | None) -> None:
        """Record every seed, then tell the search. A full disk records nothing and ends the study."""
        spec: TrialSpec = trial.config["spec"]
        try:
            for item in ended:
                self._keep(spec, item, work)
        except OSError as error:
            self._limits.close(f"{self._folder} cannot be written ({error.strerror})")
            self._search.end(trial.trial_id, None)
            return
        rows = [item["row"] for item in ended]
        if self._front is not None and spec.role != "reference":
            for beaten in self._front.add(spec.trial, rows):
                for seed in spec.seeds:
                    (self._folder / "embeddings" / f"{beaten}-{seed}.arrow").unlink(missing_ok=True)
        self._search.end(trial.trial_id, rows)
        self._progress.add(spec.objective, spec.key, rows)
        if any(row["status"] == "failed" for row in rows):
            self._limits.count_failure()
        self._tracker.note(self._progress.done, self._progress.standing.metrics())

    def _keep(self, spec: TrialSpec, item: dict[str, Any], work: Path | None) -> None:
        begun = time.perf_counter()
        name = f"{spec.trial}-{item['seed']}"
        for source, target in (
            (f"{item['seed']}.pt", self._folder / "checkpoints" / f"{name}.pt"),
            (f"{item['seed']}.arrow", self._folder / "embeddings" / f"{name}.arrow"),
            (f"{item['seed']}.traceback.txt", self._folder / "log" / f"{name}.traceback.txt"),
        ):
            if work is not None and (work / source).exists():
                shutil.copyfile(work / source, target)
        item["row"]["study"] = self._folder.name
        item["row"]["log_seconds"] = time.perf_counter() - begun
        records.save(self._folder, item)
        self._tracker.add(name)
