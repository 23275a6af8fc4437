"""MLflow as a view of the study: one run for the study, under it one run per trial and seed.

Written by the driver alone, in batches. A trial's run is written when the trial has finished, whole, so a
killed driver leaves no trial RUNNING; its key (study, trial, seed) makes writing it again a no-op.
"""

import math
import os
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from emargin_train.errors import UserError
from emargin_train.evaluation import METRICS

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

import mlflow  # noqa: E402
from mlflow.entities import Metric, Param, RunTag  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

PROBE_SECONDS = 5
COST = ("data_seconds", "train_seconds", "eval_seconds", "peak_memory_mb", "final_loss")
STATUS = {"ok": "FINISHED", "diverged": "FAILED", "failed": "FAILED"}


def resolve(uri: str | None, out: Path) -> str:
    """The tracking URI: as given, else a SQLite file for all studies in `out`.

    Raises UserError where a server does not answer within seconds (the client itself retries for minutes).
    """
    if uri is None:
        return f"sqlite:///{(out / 'mlflow.db').resolve()}"
    kind = urlsplit(uri).scheme
    if kind in ("http", "https"):
        try:
            requests.get(uri.rstrip("/") + "/health", timeout=PROBE_SECONDS).raise_for_status()
        except requests.RequestException as error:
            raise UserError(
                f"--tracking-uri is {uri}, but no MLflow server answers there ({type(error).__name__}): "
                "start one, or leave the flag out to use a local file"
            ) from None
        return uri
    if kind == "sqlite" or kind.startswith(("postgresql", "mysql", "mssql")):
        return uri
    raise UserError(
        f"--tracking-uri is '{uri}', which is no tracking server or database: "
        "give http://HOST:PORT, sqlite:///FILE or postgresql://..."
    )


class Tracker:
    """Writes one study to MLflow. Every method may be called again with the same arguments."""

    def __init__(self, uri: str, *, out: Path, dataset: str, study: str) -> None:
        self.uri, self.study = uri, study
        try:
            self._client = mlflow.MlflowClient(uri)
            self._experiment_id = self._experiment(dataset, out)
        except MlflowException as error:
            raise UserError(f"--tracking-uri {uri} cannot be used ({error}): give another") from None
        self._study_run = self._find(f"tags.study = '{study}' and tags.kind = 'study'")

    def _experiment(self, dataset: str, out: Path) -> str:
        found = self._client.get_experiment_by_name(dataset)
        if found is not None:
            return found.experiment_id
        local = self.uri.startswith("sqlite:")
        artifacts = (out / "mlartifacts").resolve().as_uri() if local else None
        return self._client.create_experiment(dataset, artifact_location=artifacts)

    def _find(self, query: str) -> str | None:
        runs = self._client.search_runs([self._experiment_id], query, max_results=1)
        return runs[0].info.run_id if runs else None

    def start(self, params: dict[str, Any]) -> None:
        """The study's own run, RUNNING until `finish`."""
        if self._study_run is None:
            tags = {"study": self.study, "kind": "study", "mlflow.runName": self.study}
            self._study_run = self._client.create_run(self._experiment_id, tags=tags).info.run_id
            self._log(self._study_run, params, {}, [])
        else:
            self._client.update_run(self._study_run, status="RUNNING")

    def log_trial(self, record: dict[str, Any], artifacts: list[Path]) -> str:
        """One trial × seed (`study.trial.record`): parameters, loss curve, metrics, files. Returns its id."""
        row = record["row"]
        key = f"{record['trial']}-{record['seed']}"
        known = self._find(f"tags.study = '{self.study}' and tags.key = '{key}'")
        if known is not None:
            if self._client.get_run(known).info.status != "RUNNING":
                return known
            self._client.delete_run(known)  # half written by a driver that was killed: written anew
        started = int(datetime.fromisoformat(row["started_at"]).timestamp() * 1000)
        took = sum(row.get(name) or 0.0 for name in ("data_seconds", "train_seconds", "eval_seconds"))
        tags = {
            "mlflow.parentRunId": str(self._study_run),
            "mlflow.runName": key,
            "study": self.study,
            "kind": "trial",
            "key": key,
            "trial": record["trial"],
            "objective": row["objective"],
            "role": record["role"],
            "status": row["status"],
        }
        run = self._client.create_run(self._experiment_id, start_time=started, tags=tags).info.run_id
        params = {k: v for k, v in row.items() if k not in METRICS and k not in COST and k != "started_at"}
        values = {name: row.get(name) for name in (*METRICS, *COST)}
        self._log(run, params, values, record["curve"])
        for path in artifacts:
            self._client.log_artifact(run, str(path))
        self._client.set_terminated(run, STATUS[row["status"]], end_time=started + int(took * 1000))
        return run

    def forget(self, keys: list[str]) -> None:
        """Delete the runs of these records, `<trial>-<seed>`: they are run again."""
        for key in keys:
            run = self._find(f"tags.study = '{self.study}' and tags.key = '{key}'")
            if run is not None:
                self._client.delete_run(run)

    def _log(
        self, run: str, params: dict[str, Any], values: dict[str, Any], curve: list[tuple[int, float]]
    ) -> None:
        """One batch: MLflow takes 1000 metrics and 100 parameters at a time."""
        now = int(datetime.now().timestamp() * 1000)
        metrics = [
            Metric(k, float(v), now, 0) for k, v in values.items() if v is not None and math.isfinite(v)
        ]
        metrics += [Metric("loss", loss, now, step) for step, loss in curve if math.isfinite(loss)]
        written = [Param(k, str(v)[:6000]) for k, v in params.items() if v is not None]
        self._client.log_batch(run, metrics=metrics, params=written)

    def note(self, counts: dict[str, int]) -> None:
        """How the study stands, on its own run: counts by status."""
        assert self._study_run is not None
        now = int(datetime.now().timestamp() * 1000)
        step = sum(counts.values())
        self._client.log_batch(
            self._study_run,
            metrics=[Metric(f"trials_{name}", float(n), now, step) for name, n in counts.items()],
        )

    def finish(self, status: str) -> None:
        """Close the study's run: FINISHED, or KILLED where it was interrupted."""
        assert self._study_run is not None
        self._client.log_batch(self._study_run, tags=[RunTag("outcome", status)])
        self._client.set_terminated(self._study_run, status)
