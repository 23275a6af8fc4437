"""Trials with a fault, which Ray's workers run in place of `study.trial.run_trial`."""

import errno
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray

from benchmarks.overhead import leave_files
from study.trial import Progress, failed, record, run_trial
from study.trial_spec import TrialSpec


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_engine() -> None:
    """Of this study, on this machine."""
    (named,) = [n for n in ray.util.list_named_actors(all_namespaces=True) if n["name"].startswith("engine-")]
    os.kill(ray.get(ray.get_actor(**named).pid.remote()), signal.SIGKILL)


def no_memory() -> None:
    raise MemoryError("the machine has no more")


def no_disk() -> None:
    raise OSError(errno.EIO, "the disk does not answer")


def begun(note: Path, spec: TrialSpec) -> int:
    """Write down that a trial begins, on which node and with which files; how often it has begun."""
    node = ray.get_runtime_context().get_node_id()
    with note.open("a") as file:
        file.write(f"{spec.key} {node}\n")
    return [line.split()[0] for line in note.read_text().splitlines()].count(spec.key)


def faulty(
    spec: TrialSpec,
    folder: Path,
    *,
    key: str,
    times: int,
    fault: Callable[[], None],
    note: Path,
    **more: Any,
) -> Iterator[Progress]:
    """A real trial; the one named `key` meets a fault after its first checkpoint, so many times."""
    found = sorted(path.name for path in folder.iterdir())
    n = begun(note, spec)
    note.with_name(f"{spec.key}.{n}").write_text(" ".join(found))
    for number, progress in enumerate(run_trial(spec, folder, **more)):
        yield progress
        if number == 0 and spec.key == key and n <= times:
            fault()


def pretended(
    spec: TrialSpec, folder: Path, *, device: str, note: Path, seconds: float = 0.0, fails: str = ""
) -> Iterator[Progress]:
    """No training: a record with goals made of the setting; the trial named `fails` fails the first time."""
    n = begun(note, spec)
    time.sleep(seconds)
    for number, one in enumerate(spec.replicates):
        outcome = failed(spec, one, "RuntimeError: on purpose")
        if spec.key != fails or n > 1:
            row = outcome.row | {"status": "ok", "error": None, "silhouette": 0.1 + one.seed / 10}
            outcome.row.clear()
            outcome.row.update(row | {"probe_balanced_accuracy": row["temperature"]})
            leave_files(folder, one)
        else:
            (folder / f"{one}.traceback.txt").write_text("Traceback: on purpose")
        (folder / f"{one}.json").write_text(json.dumps(record(spec, one, outcome)))
        yield Progress(number + 1, 0, None)
