"""Links from trials to their runs in MLflow, as far as the study's folder knows them."""

import html
from collections.abc import Iterable
from urllib.parse import urlsplit

import pandas as pd

from analysis.tables import Study

LOCAL = "http://127.0.0.1:5000"  # where `emargin-study server` shows the studies of a folder
DATABASE = "mlflow.db"  # of all studies in a folder
EXPERIMENT = "mlflow_experiment_id"  # a column; studies of earlier versions lack it
VIEW = "?workflowType=machine_learning"  # without it, MLflow shows its pages for language models
MOST = 10  # runs of a trial that are linked one by one


def server(study: Study) -> str:
    """The address of the MLflow server that the study wrote to, else of the local one; without a password."""
    uri = str(study.settings.get("tracking_uri") or study.manifest.get("tracking_uri") or "")
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return LOCAL
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def runs(study: Study) -> "pd.Series[str]":
    """Addresses of runs by trial, one for each replicate that MLflow has, in the order of the replicates.

    Empty where no server is known that shows them: neither the one that the study wrote to, nor the one of
    the database beside the study.
    """
    elsewhere = study.settings.get("tracking_uri") or study.manifest.get("tracking_uri")
    is_there = server(study) != LOCAL or (not elsewhere and (study.folder.parent / DATABASE).exists())
    if "mlflow_run_id" not in study.rows or not is_there:
        return pd.Series(dtype=str)
    order = study.rows.sort_values(["split_seed", "seed"], kind="stable")
    known = order[order["mlflow_run_id"].notna()].set_index("trial")
    ids = known["mlflow_run_id"].astype(str)
    short = f"{server(study)}/#/runs/" + ids
    if EXPERIMENT not in known:
        return short
    whole = f"{server(study)}/#/experiments/" + known[EXPERIMENT].astype(str) + "/runs/" + ids + VIEW
    return whole.where(known[EXPERIMENT].notna(), short)


def first_runs(study: Study, trials: Iterable[str]) -> dict[str, str]:
    """The address of the first replicate of each of these trials that MLflow has."""
    known, wanted = runs(study), set(trials)
    known = known[~known.index.duplicated()]
    return {str(trial): run for trial, run in known.items() if trial in wanted}


def links_html(study: Study, trial: str) -> str:
    """A numbered link for each replicate of a trial that MLflow has; a dash where it has none."""
    known = runs(study)
    own = known[known.index == trial]
    links = [f'<a href="{html.escape(run, quote=True)}">{i}</a>' for i, run in enumerate(own[:MOST], 1)]
    more = f" and {len(own) - MOST} more" if len(own) > MOST else ""
    return " ".join(links) + more if links else "–"


def note(study: Study) -> str:
    """Where the links lead; empty where MLflow has no run of the study."""
    if runs(study).empty:
        return ""
    where = server(study)
    shown = f", which emargin-study server --out {study.folder.parent} shows" if where == LOCAL else ""
    return f"Links to runs open in MLflow at {where}{shown}."
