"""The trials of `benchmarks.scale`: they wait, and leave the files of a training."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from ray import tune


def nothing(*_: object) -> None:
    """In place of `study.trial.run_trial`, which a worker would load PyTorch for."""


def waits(config: dict[str, Any], given: dict[str, Any]) -> None:
    """In place of `study.cluster.worker.trainable`."""
    spec, started = config["spec"], Path(given["started"])
    (started / spec.trial).touch()
    while len(list(started.iterdir())) < given["at_once"]:  # the first wave
        time.sleep(0.5)
    time.sleep(given["seconds"])
    record = given["template"]["record"]
    row = record["row"] | {"trial": spec.trial}
    row |= {name: value for name, value in spec.settings.items() if name in row}
    with tempfile.TemporaryDirectory() as work:
        for name, content in given["template"]["files"].items():
            (Path(work) / name).write_bytes(content)
        text = json.dumps(record | {"trial": spec.trial, "row": row})
        (Path(work) / f"{record['replicate']}.json").write_text(text)
        tune.report({"n_done": 1}, checkpoint=tune.Checkpoint.from_directory(work))
