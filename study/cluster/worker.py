"""What one of Ray's workers does for a job: run the trial in a folder of its own, and report checkpoints."""

import logging
import time
from pathlib import Path
from typing import Any

import torch
from ray import tune

from emargin_train.cost import use_tf32
from study import own_folders
from study.cluster import checkpoints, engine_actor
from study.plan import TrialSpec
from study.trial_folder import remove_damaged

log = logging.getLogger(__name__)


def trainable(config: dict[str, Any]) -> None:
    """Run a job: Tune calls this in a worker.

    A lost worker's successor starts from the last checkpoint. The checkpoint of a finished trial holds the
    records of all its replicates, so that the report to Tune is small. A job that waited for a worker
    until after the deadline does not begin.
    """
    spec: TrialSpec = config["spec"]
    saved = tune.get_checkpoint()
    if saved is None and config["deadline"] is not None and time.time() >= config["deadline"]:
        tune.report({"n_done": 0})
        return
    torch.set_num_threads(config["threads"])
    use_tf32(config["tf32"])
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
    """Fetch what a lost worker left. What is missing or damaged there is trained anew.

    Raises OSError for a store that does not answer, so that the trial is tried again.
    """
    try:
        saved.to_directory(work)
    except FileNotFoundError as error:
        log.warning("the checkpoint of %s is gone (%s): it starts anew", spec.key, error)
    if damaged := remove_damaged(spec, work):
        log.warning("files of %s were damaged: replicates %s start anew", spec.key, ", ".join(damaged))
