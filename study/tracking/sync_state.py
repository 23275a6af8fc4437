"""The sync state says what MLflow has of a study: runs/NAME/mlflow.jsonl, a line for each exported run.

The first line names the study by an id of its own, so that studies of the same name on one server stay apart.
"""

import json
import uuid
from pathlib import Path

from emargin_train.files import write_whole

NAME = "mlflow.jsonl"


class SyncState:
    """Keys "<trial>-<replicate>" of the records that were delivered, and the runs that they are in MLflow.

    study_id: in the tags of all runs of the study
    study_run: of the study itself, on the server that the other lines are about
    runs: run of each delivered record
    void: runs of records that were forgotten since, to be deleted
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self.study_id, self.study_run = uuid.uuid4().hex, ""
        self.runs: dict[str, str] = {}
        self.void: dict[str, str] = {}
        if self._path.exists():
            self._read()
        else:
            self.begin("", {})

    def _read(self) -> None:
        head, *lines, last = self._path.read_text().split("\n")
        self.study_id, self.study_run = json.loads(head)["study_id"], json.loads(head)["study_run"]
        for line in lines:
            entry = json.loads(line)
            if "void" in entry:
                self.void[entry["key"]] = entry["void"]
                self.runs.pop(entry["key"], None)
            else:
                self.runs[entry["key"]] = entry["run"]
                self.void.pop(entry["key"], None)
        if last:  # cut short when the power went: that run is found again by its key
            self._path.write_text("\n".join([head, *lines, ""]))

    def begin(self, study_run: str, runs: dict[str, str]) -> None:
        """Start anew for another server: its run of the study, and what it has of the study's records."""
        self.study_run, self.runs, self.void = study_run, dict(runs), {}
        head = {"study_id": self.study_id, "study_run": study_run}
        entries = [head, *({"key": key, "run": run} for key, run in runs.items())]
        write_whole(self._path, "".join(json.dumps(entry) + "\n" for entry in entries).encode())

    def add(self, key: str, run: str) -> None:
        """The record is in this run."""
        self.runs[key] = run
        self.void.pop(key, None)
        self._append({"key": key, "run": run})

    def forget(self, key: str) -> None:
        """The record is gone, and there will be another of the same key."""
        if key in self.runs:
            self.void[key] = self.runs.pop(key)
            self._append({"key": key, "void": self.void[key]})

    def _append(self, entry: dict[str, str]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def delivered(folder: Path) -> dict[str, str]:
    """Run id by key, as the study's folder knows them."""
    return SyncState(folder).runs if (folder / NAME).exists() else {}
