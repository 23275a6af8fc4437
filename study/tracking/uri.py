"""Where a study is tracked: on an MLflow server, in a database, or in the SQLite file of all studies."""

import contextlib
import os
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import requests
import sqlalchemy

from emargin_train.declarations import declarations
from emargin_train.errors import UserError
from emargin_train.program import pasted
from study import secrets
from study.secrets import without_password
from study.tracking import sqlite_file

PROBE_SECONDS = 5


def resolve(uri: str | None, out: Path) -> str:
    """The tracking URI: the given one, or MLFLOW_TRACKING_URI, or the SQLite file of all studies in `out`.

    The password comes from the environment (`study.secrets`). Raises UserError for a URI to which MLflow
    cannot write.
    """
    uri = secrets.whole("tracking_uri", uri) if uri else os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return local(out)
    secrets.check("tracking_uri", uri)
    kind = urlsplit(uri).scheme
    if kind in ("http", "https", "sqlite") or kind.startswith(("postgresql", "mysql", "mssql")):
        return uri
    raise UserError(
        f"--tracking-uri is '{without_password(uri)}', but that is neither a tracking server nor a database: "
        "give http://HOST:PORT, sqlite:///FILE or postgresql://..."
    )


def local(out: Path) -> str:
    """The SQLite file of all studies in `out`."""
    return f"sqlite:///{(out / 'mlflow.db').resolve()}"


def to_browse(uri: str, *, experiment: str, study_id: str, goal: str) -> str:
    """How to open MLflow at a study's trials: an address, in a line after a command where it needs one.

    experiment: its id; "" where it is not known, since MLflow was never reached
    goal: the metric by which the trials are sorted, the best one first
    """
    if "://" not in uri:
        return uri
    shown = {
        "workflowType": "machine_learning",  # without it, MLflow may show its pages for language models
        "searchFilter": f"tags.study_id = '{study_id}' and tags.kind = 'trial'",
        "orderByKey": f"metrics.`{goal}`",
        "orderByAsc": "true" if declarations().metrics[goal].best == "min" else "false",
    }
    place = f"/#/experiments/{experiment}/runs?{urlencode(shown)}" if experiment else ""
    if uri.startswith("http"):
        return without_password(uri.rstrip("/")) + place
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and uri == local(file.parent):
        command = pasted("study.server", "--out", os.path.relpath(file.parent))
    else:
        command = pasted("mlflow", "ui", "--backend-store-uri", without_password(uri))
    return f"{command}\n  then open http://127.0.0.1:5000{place}"


def check_answers(uri: str) -> None:
    """Raises UserError where no server or database answers within seconds (MLflow tries for minutes)."""
    shown = without_password(uri)
    try:
        knock(uri)
    except requests.RequestException as error:
        raise UserError(
            f"--tracking-uri is {shown}, but no MLflow server answers there ({type(error).__name__}): "
            "start one, or leave the flag out to use a local file"
        ) from None
    except ModuleNotFoundError as error:
        raise UserError(
            f"--tracking-uri is {shown}, but {error.name} is not installed: pip install '.[cluster]'"
        ) from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = without_password(str(error.__cause__ or error).strip().splitlines()[0])
        raise UserError(
            f"--tracking-uri is {shown}, but that database cannot be opened ({reason}): "
            "start it, put its password into PGPASSWORD, or leave the flag out to use a local file"
        ) from None


def knock(uri: str) -> None:
    """Send the server or database one quick request."""
    if uri.startswith("http"):
        requests.get(uri.rstrip("/") + "/health", timeout=PROBE_SECONDS).raise_for_status()
    elif uri.startswith("sqlite:///"):
        sqlite_file.check(Path(uri.removeprefix("sqlite:///")))
    else:
        engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": PROBE_SECONDS})
        with contextlib.closing(engine.connect()):
            pass
        engine.dispose()
