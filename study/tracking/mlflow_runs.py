"""A study in MLflow: a run for the study, below it one for each trial, and below that one for each replicate.

Everything is made from the study's records. A run is found again by its key, and writing it a second time
changes nothing. `study.tracking.exporter` calls this, and calls it again after a failure.
"""

import contextlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from emargin_train.declarations import declarations
from study import records
from study.settings import OPERATIONAL
from study.tracking import trial_run
from study.tracking import uri as tracking_uri
from study.tracking.sync_state import SyncState
from study.tracking.trial_run import COST

# MLflow reads these when it is imported or called. They turn off usage statistics and progress bars, and
# allow a single attempt of ten seconds, since the exporter itself waits and tries again.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

import mlflow  # noqa: E402
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

MAX_ENTITIES, MAX_PARAMS, MAX_TEXT = 1000, 100, 6000  # MLflow's limits of one batch, and of a parameter
KIND = {"mlflow.experimentKind": "custom_model_development"}  # MLflow then shows the pages for training
# Columns that are no parameters of a run.
APART = {*declarations().metrics, *COST, "started_at", "log_seconds", "mlflow_experiment_id", "mlflow_run_id"}
CHANGING = ("trials", *OPERATIONAL)  # settings that may differ when a study is resumed
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
    """The runs of a study in one MLflow server or database.

    Every method may raise what MLflow, its database or its artifact store raise. It may then be called again
    on a new StudyRuns, which finds and completes what was half done.
    """

    def __init__(self, uri: str, sync_state: SyncState, *, out: Path, dataset: str, study: str) -> None:
        self._client, self._uri, self._sync_state = client(uri), uri, sync_state
        self._study, self._dataset = study, dataset
        artifacts = (out / "mlartifacts").resolve().as_uri() if uri.startswith("sqlite:") else None
        self._experiment_id = self._experiment(dataset, artifacts)
        mine = f"tags.study_id = '{sync_state.study_id}'"
        found = self._client.search_runs([self._experiment_id], f"{mine} and tags.kind = 'study'")
        self._study_run = found[0].info.run_id if found else self._begin_study()
        ended, self._begun = self._found(mine) if found else ({}, {})
        sync_state.agree_with(self._study_run, ended, self._experiment_id)
        self._trials = self._trials_found(mine) if found else {}
        self._stale = self._not_written()
        self._params: dict[str, str] = {}

    def _experiment(self, name: str, artifacts: str | None) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        try:
            return self._client.create_experiment(name, artifact_location=artifacts, tags=KIND)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return self._experiment(name, artifacts)  # another study has made it meanwhile

    def _begin_study(self) -> str:
        tags = self._tags("study") | {"mlflow.runName": self._study} | trial_run.source()
        return self._client.create_run(self._experiment_id, tags=tags).info.run_id

    def _tags(self, kind: str) -> dict[str, str]:
        return {"study": self._study, "study_id": self._sync_state.study_id, "kind": kind}

    def _found(self, mine: str) -> tuple[dict[str, str], dict[str, str]]:
        """Run ids by key of the study's runs in MLflow: those that ended, and those that only began.

        The latter remain from a driver that was killed, or from a request whose answer was lost. MLflow is
        asked each time, since the sync state is a file that may have lost lines.
        """
        ended: dict[str, str] = {}
        begun: dict[str, str] = {}
        void = set(self._sync_state.void.values())
        for run in self._search(f"{mine} and tags.key LIKE '%'"):
            if run.info.run_id not in void:
                of = begun if run.info.status == "RUNNING" else ended
                of[run.data.tags["key"]] = run.info.run_id
        return ended, {key: run for key, run in begun.items() if key not in ended}

    def _search(self, condition: str) -> Iterator[Run]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], condition, max_results=1000, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _trials_found(self, mine: str) -> dict[str, Run]:
        """The trials' own runs, by trial. In version 1, a run of that kind was a replicate's, with a key."""
        own = self._search(f"{mine} and tags.kind = 'trial'")
        return {run.data.tags["trial"]: run for run in own if "key" not in run.data.tags}

    def _not_written(self) -> set[str]:
        """Trials whose own run does not hold the means over their replicates, as after a killed driver."""
        n = Counter(trial_of(key) for key in (*self._sync_state.runs, *self._begun))
        written = {
            trial: run.data.tags.get("replicates")
            for trial, run in self._trials.items()
            if run.info.status != "RUNNING"
        }
        return {trial for trial in n if written.get(trial) != str(n[trial])}

    def stale(self) -> dict[str, list[str]]:
        """Trials whose own run is to be written, with the keys of the replicates that MLflow has of each."""
        keys: dict[str, list[str]] = {}
        for key in self._sync_state.runs if self._stale else ():
            if trial_of(key) in self._stale and key not in self._begun:
                keys.setdefault(trial_of(key), []).append(key)
        return keys

    def start(self, params: dict[str, str]) -> None:
        """Mark the study's run as RUNNING, and write the parameters that it lacks. Existing ones stay.

        Values that may change when a study is resumed or extended are written as tags, which can be changed.
        """
        self._params = params
        known = self._client.get_run(self._study_run).data.params
        self._log(self._study_run, [], {k: v for k, v in params.items() if k not in {*known, *CHANGING}})
        tags = [RunTag(name, params[name]) for name in CHANGING if name in params]
        tags.append(RunTag("mlflow.note.content", trial_run.study_description(params)))
        self._client.log_batch(self._study_run, tags=tags)
        self._log_dataset(self._study_run)
        self._client.update_run(self._study_run, status="RUNNING")

    def lacks(self, key: str) -> bool:
        """Whether MLflow has no complete run of this key's record."""
        return key not in self._sync_state.runs or key in self._begun

    def export(self, record: dict[str, Any], artifacts: list[Path]) -> None:
        """Write one replicate (`study.trial.record`) in one batch: parameters, loss curve, metrics, files."""
        row, key = record["row"], records.key(record)
        if not self.lacks(key):
            return
        if key in self._sync_state.void:  # the run of a failed replicate, which was trained again
            with contextlib.suppress(MlflowException):  # an earlier attempt has deleted it
                self._client.delete_run(self._sync_state.void[key])
        started = _milliseconds(row["started_at"])
        ended = started + _took_ms(row)
        run = self._begun.get(key) or self._create(record, key, started)
        self._begun[key] = run
        values = {name: row.get(name) for name in (*declarations().metrics, *COST)}
        metrics = [Metric(name, float(value), ended, 0) for name, value in values.items() if _finite(value)]
        metrics += [Metric("loss", loss, ended, step) for step, loss in record["curve"] if _finite(loss)]
        self._log(run, metrics, {k: str(v) for k, v in row.items() if v is not None and k not in APART})
        for path in artifacts:
            self._client.log_artifact(run, str(path))
        if key not in self._sync_state.runs:
            self._sync_state.add(key, run)
        self._client.set_terminated(run, STATUS[row["status"]], end_time=ended)
        del self._begun[key]
        self._stale.add(record["trial"])

    def export_trial(self, trial: str, found: list[dict[str, Any]]) -> None:
        """Write a trial's own run from the records of the replicates that MLflow has.

        It is written again when another replicate has come; the step of a mean counts its replicates.
        """
        rows = [record["row"] for record in found]
        run = self._trial(found[0], min(_milliseconds(row["started_at"]) for row in rows))
        ended = max(_milliseconds(row["started_at"]) + _took_ms(row) for row in rows)
        status, values = trial_run.status(rows), trial_run.means(rows)
        known = self._client.get_run(run).data.params
        self._log(
            run,
            [Metric(name, v, ended, len(rows)) for name, v in values.items() if _finite(v)],
            {k: v for k, v in trial_run.params(rows[0]).items() if k not in known},
        )
        text = trial_run.description(self._params, rows)
        tags = {"status": status, "replicates": str(len(rows)), "mlflow.note.content": text}
        self._client.log_batch(run, tags=[RunTag(name, value) for name, value in tags.items()])
        self._client.set_terminated(run, STATUS[status], end_time=ended)
        self._stale.discard(trial)

    def _trial(self, record: dict[str, Any], started: int) -> str:
        """The id of a trial's own run, which is begun where there is none."""
        trial = record["trial"]
        if trial not in self._trials:
            tags = self._tags("trial") | {
                "mlflow.parentRunId": self._study_run,
                "mlflow.runName": trial,
                "trial": trial,
                "method": record["row"]["method"],
                "role": record["role"],
                "config_hash": record["row"].get("config_hash", ""),
            }
            run = self._client.create_run(
                self._experiment_id, start_time=started, tags=tags | trial_run.source()
            )
            self._trials[trial] = run
            self._log_dataset(run.info.run_id)
        return self._trials[trial].info.run_id

    def _log_dataset(self, run: str) -> None:
        """Name the dataset as an input of the run; its digest is the hash of the data."""
        digest = self._params.get("data_hash")
        if digest:
            where = {name: self._params.get(name) for name in ("dataset", "data_dir")}
            own = Dataset(self._dataset, digest, "local", json.dumps(where))
            used = InputTag("mlflow.data.context", "training")
            self._client.log_inputs(run, [DatasetInput(own, [used])])

    def export_model(self, key: str, registered: str | None, checkpoints: Path) -> None:
        """Make an MLflow model of a replicate's encoder, and a version of the registered model that is named.

        A replicate without a run or a checkpoint has none.
        """
        from study.tracking import models  # loads torch

        path, run = checkpoints / f"{key}.pt", self._sync_state.runs.get(key)
        if run is None or not path.exists():
            return
        tags = {"study": self._study, "study_id": self._sync_state.study_id, "key": key}
        before = os.environ.get("MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(self._uri)  # MLflow's registry looks for models where this says
        try:
            model = models.log(self._client, self._experiment_id, run, path, tags)
            if registered is not None:
                models.register(self._client, registered, model, run, tags)
        finally:
            # It is a setting of the process, and of those that it starts; None takes it back.
            mlflow.set_tracking_uri(before)  # type: ignore[arg-type]

    def _create(self, record: dict[str, Any], key: str, started: int) -> str:
        row = record["row"]
        tags = (
            self._tags("replicate")
            | trial_run.source()
            | {
                "mlflow.parentRunId": self._trial(record, started),
                "mlflow.runName": key,
                "key": key,
                "trial": record["trial"],
                "method": row["method"],
                "role": record["role"],
                "status": row["status"],
            }
        )
        return self._client.create_run(self._experiment_id, start_time=started, tags=tags).info.run_id

    def note(self, time_ms: int, n_done: int, values: dict[str, float]) -> None:
        """Write the study's summary, after `n_done` trials, to the study's run."""
        self._log(self._study_run, [Metric(k, float(v), time_ms, n_done) for k, v in values.items()], {})

    def finish(self, status: str) -> None:
        """Close the study's run: FINISHED, or KILLED where it was interrupted."""
        self._client.log_batch(self._study_run, tags=[RunTag("outcome", status)])
        self._client.set_terminated(self._study_run, status)

    def _log(self, run: str, metrics: list[Metric], params: dict[str, str]) -> None:
        for some_metrics, some_params in batches(metrics, params):
            self._client.log_batch(run, metrics=some_metrics, params=some_params)


def batches(metrics: list[Metric], params: dict[str, str]) -> Iterator[tuple[list[Metric], list[Param]]]:
    """As few batches as MLflow's limits allow. A parameter's text is cut where it is too long."""
    left = [Param(name, value[:MAX_TEXT]) for name, value in params.items()]
    while metrics or left:
        n_params = min(len(left), MAX_PARAMS)
        n_metrics = min(len(metrics), MAX_ENTITIES - n_params)
        yield metrics[:n_metrics], left[:n_params]
        metrics, left = metrics[n_metrics:], left[n_params:]


def trial_of(key: str) -> str:
    """The trial of `<trial>-<split seed>-<seed>`."""
    return key.rsplit("-", 2)[0]


def _took_ms(row: dict[str, Any]) -> int:
    seconds = sum(row.get(name) or 0.0 for name in ("data_seconds", "train_seconds", "eval_seconds"))
    return int(1000 * seconds)


def _milliseconds(iso: str) -> int:
    return int(datetime.fromisoformat(iso).timestamp() * 1000)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
