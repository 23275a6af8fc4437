"""What one of Ray's workers does for a job: run the trial in a temporary folder, and report checkpoints."""

import logging
import time
from pathlib import Path
from typing import Any

import torch
from ray import tune

from study import own_folders
from study.cluster import checkpoints, engine_actor
from study.trial_folder import remove_damaged
from study.trial_spec import TrialSpec

log = logging.getLogger(__name__)


def trainable(config: dict[str, Any]) -> None:
    """Run a job: Tune calls this in a worker.

    The worker that replaces a lost one starts from the last checkpoint. The checkpoint of a finished trial
    holds the records of all its replicates, so that the report to Tune is small. A job that gets a worker
    only after the deadline does not begin.
    """
    spec: TrialSpec = config["spec"]
    saved = tune.get_checkpoint()
    if saved is None and config["deadline"] is not None and time.time() >= config["deadline"]:
        tune.report({"n_done": 0})
        return
    torch.set_num_threads(config["threads"])
    device = "cuda" if config["gpu"] and torch.cuda.is_available() else "cpu"
    with own_folders.temporary("trial", run=config["run_name"]) as own:
        work = own / "work"
        work.mkdir()
        if saved is not None:
            _take_over(spec, saved, work)
        how = config["sharing"]
        shared = {"stacked": True, "train": engine_actor.client(how)} if how else {}
        last = time.monotonic()
        for progress in config["run"](spec, work, device=device, **shared):
            ended = progress.n_done == len(spec.replicates)
            if ended or time.monotonic() - last > config["checkpoint_every_s"]:
                checkpoints.report({"n_done": progress.n_done}, work, patience_s=config["patience_s"])
                last = time.monotonic()


def _take_over(spec: TrialSpec, saved: tune.Checkpoint, work: Path) -> None:
    """Fetch the checkpoint of a lost worker. Replicates with missing or damaged files are trained again.

    Raises OSError for a store that does not answer, so that Tune starts the trial again.
    """
    try:
        saved.to_directory(work)
    except FileNotFoundError as error:
        log.warning("the checkpoint of %s is gone (%s): the trial starts from the beginning", spec.key, error)
    if damaged := remove_damaged(spec, work):
        log.warning("files of %s were damaged: replicates %s are trained again", spec.key, ", ".join(damaged))
