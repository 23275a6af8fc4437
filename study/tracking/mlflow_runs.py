"""MLflow as a view of a study: one run for the study, under it one for each replicate of a trial.

Everything is made from the study's records. A run is found again by its key, and writing it a second time
changes nothing. `study.tracking.exporter` calls this, beside the driver, and again after a
failure.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from emargin_train.evaluation.metrics import METRICS
from study import records
from study.tracking import uri as tracking_uri
from study.tracking.sync_state import SyncState

# MLflow reads these when it is imported or called: no usage statistics, no progress bars, and single tries of
# ten seconds, since the exporter waits and tries again by itself.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

import mlflow  # noqa: E402
from mlflow.entities import Metric, Param, RunTag  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

MAX_ENTITIES, MAX_PARAMS, MAX_TEXT = 1000, 100, 6000  # MLflow's limits of one batch, and of a parameter
COST = ("data_seconds", "train_seconds", "eval_seconds", "peak_memory_mb", "final_loss")
KIND = {"mlflow.experimentKind": "custom_model_development"}  # MLflow then shows the pages for training
STATUS = {"ok": "FINISHED", "diverged": "FAILED", "failed": "FAILED"}


def client(uri: str) -> mlflow.MlflowClient:
    """An MLflow client; a new SQLite file is made by one process at a time, since its migrations race."""
    if not uri.startswith("sqlite:///"):
        tracking_uri.knock(uri)
        return mlflow.MlflowClient(uri)
    file = Path(uri.removeprefix("sqlite:///"))
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        return mlflow.MlflowClient(uri)


class StudyRuns:
    """One study's runs in one MLflow server or database.

    Every method may raise what MLflow, its database or its artifact store raise, and may then be called again
    on a new StudyRuns: what was half done is found and completed.
    """

    def __init__(self, uri: str, sync_state: SyncState, *, out: Path, dataset: str, study: str) -> None:
        self._client, self._sync_state, self._study = client(uri), sync_state, study
        artifacts = (out / "mlartifacts").resolve().as_uri() if uri.startswith("sqlite:") else None
        self._experiment_id = self._experiment(dataset, artifacts)
        mine = f"tags.study_id = '{sync_state.study_id}'"
        found = self._client.search_runs([self._experiment_id], f"{mine} and tags.kind = 'study'")
        self._study_run = found[0].info.run_id if found else self._begin_study()
        ended, self._begun = self._found(mine) if found else ({}, {})
        sync_state.agree_with(self._study_run, ended)

    def _experiment(self, name: str, artifacts: str | None) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        try:
            return self._client.create_experiment(name, artifact_location=artifacts, tags=KIND)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return self._experiment(name, artifacts)  # another study was quicker

    def _begin_study(self) -> str:
        tags = self._tags("study") | {"mlflow.runName": self._study}
        return self._client.create_run(self._experiment_id, tags=tags).info.run_id

    def _tags(self, kind: str) -> dict[str, str]:
        return {"study": self._study, "study_id": self._sync_state.study_id, "kind": kind}

    def _found(self, mine: str) -> tuple[dict[str, str], dict[str, str]]:
        """Run id by key of what MLflow has of the study: runs that ended, and runs that were only begun.

        The latter are of a driver that was killed, or of a request whose answer was lost. MLflow is asked
        each time, since the sync state is a file that may have lost lines.
        """
        ended: dict[str, str] = {}
        begun: dict[str, str] = {}
        token = None
        void = set(self._sync_state.void.values())
        while True:
            page = self._client.search_runs(
                [self._experiment_id], f"{mine} and tags.kind = 'trial'", max_results=1000, page_token=token
            )
            for run in page:
                if run.info.run_id not in void:
                    of = begun if run.info.status == "RUNNING" else ended
                    of[run.data.tags["key"]] = run.info.run_id
            token = page.token
            if not token:
                return ended, {key: run for key, run in begun.items() if key not in ended}

    def start(self, params: dict[str, str]) -> None:
        """Mark the study's run as RUNNING, and write the parameters that it lacks: earlier ones stay."""
        known = self._client.get_run(self._study_run).data.params
        self._log(self._study_run, [], {k: v for k, v in params.items() if k not in known})
        self._client.update_run(self._study_run, status="RUNNING")

    def lacks(self, key: str) -> bool:
        """Whether no run holds the record of this key, or only an incomplete one."""
        return key not in self._sync_state.runs or key in self._begun

    def export(self, record: dict[str, Any], artifacts: list[Path]) -> None:
        """Write one replicate (`study.trial.record`) in one batch: parameters, loss curve, metrics, files."""
        row, key = record["row"], records.key(record)
        if not self.lacks(key):
            return
        if key in self._sync_state.void:  # of a trial that failed and was run again
            with contextlib.suppress(MlflowException):  # deleted already, by the try before
                self._client.delete_run(self._sync_state.void[key])
        started = _milliseconds(row["started_at"])
        took = sum(row.get(name) or 0.0 for name in ("data_seconds", "train_seconds", "eval_seconds"))
        ended = started + int(took * 1000)
        run = self._begun.get(key) or self._create(record, key, started)
        self._begun[key] = run
        values = {name: row.get(name) for name in (*METRICS, *COST)}
        metrics = [Metric(name, float(value), ended, 0) for name, value in values.items() if _finite(value)]
        metrics += [Metric("loss", loss, ended, step) for step, loss in record["curve"] if _finite(loss)]
        apart = {*METRICS, *COST, "started_at", "log_seconds", "mlflow_run_id"}
        self._log(run, metrics, {k: str(v) for k, v in row.items() if v is not None and k not in apart})
        for path in artifacts:
            self._client.log_artifact(run, str(path))
        if key not in self._sync_state.runs:
            self._sync_state.add(key, run)
        self._client.set_terminated(run, STATUS[row["status"]], end_time=ended)
        del self._begun[key]

    def export_model(self, key: str, registered: str | None, checkpoints: Path) -> None:
        """Make an MLflow model of a replicate's encoder, and a version of the registered model that is named.

        A replicate without a run or a checkpoint has none.
        """
        from study.tracking import models  # loads torch

        path, run = checkpoints / f"{key}.pt", self._sync_state.runs.get(key)
        if run is None or not path.exists():
            return
        tags = {"study": self._study, "study_id": self._sync_state.study_id, "key": key}
        model = models.log(self._client, self._experiment_id, run, path, tags)
        if registered is not None:
            models.register(self._client, registered, model, run, tags)

    def _create(self, record: dict[str, Any], key: str, started: int) -> str:
        row = record["row"]
        tags = self._tags("trial") | {
            "mlflow.parentRunId": self._study_run,
            "mlflow.runName": key,
            "key": key,
            "trial": record["trial"],
            "method": row["method"],
            "role": record["role"],
            "status": row["status"],
        }
        return self._client.create_run(self._experiment_id, start_time=started, tags=tags).info.run_id

    def note(self, time_ms: int, n_done: int, values: dict[str, float]) -> None:
        """Write the study's summary, once `n_done` trials are done, to its own run."""
        self._log(self._study_run, [Metric(k, float(v), time_ms, n_done) for k, v in values.items()], {})

    def finish(self, status: str) -> None:
        """Close the study's run: FINISHED, or KILLED where it was interrupted."""
        self._client.log_batch(self._study_run, tags=[RunTag("outcome", status)])
        self._client.set_terminated(self._study_run, status)

    def _log(self, run: str, metrics: list[Metric], params: dict[str, str]) -> None:
        for some_metrics, some_params in batches(metrics, params):
            self._client.log_batch(run, metrics=some_metrics, params=some_params)


def batches(metrics: list[Metric], params: dict[str, str]) -> Iterator[tuple[list[Metric], list[Param]]]:
    """As few batches as MLflow's limits allow; a parameter's text is cut where it is too long."""
    left = [Param(name, value[:MAX_TEXT]) for name, value in params.items()]
    while metrics or left:
        n_params = min(len(left), MAX_PARAMS)
        n_metrics = min(len(metrics), MAX_ENTITIES - n_params)
        yield metrics[:n_metrics], left[:n_params]
        metrics, left = metrics[n_metrics:], left[n_params:]


def _milliseconds(iso: str) -> int:
    return int(datetime.fromisoformat(iso).timestamp() * 1000)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
