"""What the driver does when a trial ends: record, files, MLflow, display. Tune calls it."""

import shutil
import time
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from study.plan import TrialSpec
from study.progress import Progress
from study.results import save_record
from study.tracking import Tracker
from study.trial import failed, record


class Bookkeeper(Callback):
    """Keeps a study's folder and MLflow up to date, trial by trial."""

    def __init__(self, folder: Path, tracker: Tracker, progress: Progress) -> None:
        self._folder, self._tracker, self._progress = folder, tracker, progress

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for its own restore, which we do not use."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._progress.running += 1

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._progress.running -= 1
        assert trial.checkpoint is not None
        with trial.checkpoint.as_directory() as work:
            self._finish(trial.config["spec"], trial.last_result["records"], Path(work))
        if trial.local_path:
            shutil.rmtree(trial.local_path, ignore_errors=True)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The worker was lost more often than `--max-retries`: every seed is recorded as failed."""
        self._progress.running -= 1
        spec: TrialSpec = trial.config["spec"]
        reason = str(trial.get_error() or "its worker died").strip().splitlines()[-1]
        self._finish(spec, [record(spec, failed(spec, seed, reason)) for seed in spec.seeds], None)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._progress.running -= 1

    def _finish(self, spec: TrialSpec, records: list[dict[str, Any]], work: Path | None) -> None:
        for item in records:
            begun = time.perf_counter()
            name = f"{spec.trial}-{item['seed']}"
            kept = []
            for source, target in (
                (f"{item['seed']}.pt", self._folder / "checkpoints" / f"{name}.pt"),
                (f"{item['seed']}.arrow", self._folder / "embeddings" / f"{name}.arrow"),
                (f"{item['seed']}.traceback.txt", self._folder / "log" / f"{name}.traceback.txt"),
            ):
                if work is not None and (work / source).exists():
                    shutil.copyfile(work / source, target)
                    if target.suffix != ".arrow":
                        kept.append(target)
            item["row"]["study"] = self._folder.name
            item["row"]["mlflow_run_id"] = self._tracker.log_trial(item, kept)
            item["row"]["log_seconds"] = time.perf_counter() - begun
            save_record(self._folder, item)
        self._progress.add(spec.objective, spec.trial, [item["row"] for item in records])
        self._tracker.note(self._progress.counts)
