"""The files of a study as artifacts of its run in MLflow."""

from pathlib import Path

from emargin_train.errors import UserError
from study.secrets import without_password
from study.tracking.mlflow_runs import client

FILES = ("study.toml", "manifest.json", "results.parquet")
REPORT = "report"


def publish(uri: str, run: str, folder: Path) -> list[str]:
    """Upload settings, manifest, table and report with its figures; returns what there was.

    Files that were uploaded before are replaced. Raises UserError where they cannot be stored.
    """
    there = client(uri)
    found = [name for name in FILES if (folder / name).is_file()]
    try:
        for name in found:
            there.log_artifact(run, str(folder / name))
        if (folder / REPORT).is_dir():
            there.log_artifacts(run, str(folder / REPORT), REPORT)
            found.append(REPORT)
    except Exception as error:  # whatever the server, its store or the client of that store raise
        reason = without_password(" ".join(str(error).split())[:300])
        raise UserError(
            f"the runs are in MLflow, but its store takes no files ({reason}): free some space or repair it, "
            "then try again"
        ) from None
    return found
