"""The sync state says which runs of a study MLflow has: runs/NAME/mlflow.jsonl, a line for each exported run.

The first line names the study by its id (`study.identity`), so that studies of the same name on one server
stay apart.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from emargin_train.files import write_whole
from study import identity
from study.own_files import put_aside

NAME = "mlflow.jsonl"
NOTHING: Mapping[str, str] = {}


class SyncState:
    """The keys "<trial>-<replicate>" of exported records, and the ids of their runs in MLflow.

    study_id: the id in the tags of all runs of the study
    study_run: the run of the study itself, on the same server as the other runs
    experiment: the experiment of that run; "" = not known
    runs: the run of each exported record, by key
    void: runs of records that were removed after the export; these runs must be deleted
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self.study_id, self.study_run, self.experiment = identity.of(folder), "", ""
        self.runs: dict[str, str] = {}
        self.void: dict[str, str] = {}
        if not self._path.exists():
            return self.begin("", {})
        try:
            self._read()
        except (ValueError, TypeError, LookupError, AttributeError, IsADirectoryError):
            put_aside(self._path, "is damaged", "the study's runs are found again by their keys")
            self.begin("", {})

    def _read(self) -> None:
        head, *lines, last = self._path.read_text().split("\n")
        said = json.loads(head)
        if said["study_id"] != self.study_id:  # another study's file
            return self.begin("", {})
        self.study_run, self.experiment = str(said["study_run"]), str(said.get("experiment", ""))
        for line in lines:
            entry = json.loads(line)
            key, is_void = str(entry["key"]), "void" in entry
            of, other = (self.void, self.runs) if is_void else (self.runs, self.void)
            of[key] = str(entry["void" if is_void else "run"])
            other.pop(key, None)
        if last:  # a line that a crash cut short: its run is found again by its key
            self._path.write_text("\n".join([head, *lines, ""]))

    def agree_with(self, study_run: str, runs: dict[str, str], experiment: str) -> None:
        """Take over what the server has: its run of the study, and the runs of the study's records.

        Runs that are void stay void, unless this is a different server.
        """
        is_new, self.experiment = experiment != self.experiment, experiment
        if study_run != self.study_run:
            self.begin(study_run, runs)
        elif runs != self.runs or is_new:
            self.begin(study_run, runs, self.void)

    def begin(self, study_run: str, runs: dict[str, str], void: Mapping[str, str] = NOTHING) -> None:
        """Start anew with the study's run, and with the runs of its records."""
        self.study_run, self.runs, self.void = study_run, dict(runs), dict(void)
        head = {"study_id": self.study_id, "study_run": study_run, "experiment": self.experiment}
        entries = [head, *({"key": key, "run": run} for key, run in runs.items())]
        entries += [{"key": key, "void": run} for key, run in self.void.items()]
        write_whole(self._path, "".join(json.dumps(entry) + "\n" for entry in entries).encode())

    def add(self, key: str, run: str) -> None:
        """Note that the record is in this run."""
        self.runs[key] = run
        self.void.pop(key, None)
        self._append({"key": key, "run": run})

    def forget(self, key: str) -> None:
        """Note that the record was removed, and that a new one with the same key will come."""
        if key in self.runs:
            self.void[key] = self.runs.pop(key)
            self._append({"key": key, "void": self.void[key]})

    def _append(self, entry: dict[str, str]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def exported(folder: Path) -> tuple[str | None, dict[str, str]]:
    """The id of the experiment (None: not known) and run ids by key, from a study's sync state."""
    if not (folder / NAME).exists():
        return None, {}
    known = SyncState(folder)
    return known.experiment or None, known.runs
