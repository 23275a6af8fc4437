"""Where Ray begins: the cluster, the trainable, and Tune's loop over a plan."""

import contextlib
import gc
import itertools
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

# Ray reads these when imported or started: no calls home, no loggers of its own.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
# Tune's own state of all trials, for a restore that we do not use: written at the end only.
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1000000000")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import psutil  # noqa: E402
import ray  # noqa: E402
import torch  # noqa: E402
from ray import tune  # noqa: E402
from ray._private.authentication.authentication_token_setup import (  # noqa: E402
    maybe_enable_token_auth_if_token_available,
)
from ray._private.services import find_bootstrap_address  # noqa: E402
from ray.air._internal import usage  # noqa: E402
from ray.tune import Callback  # noqa: E402

from emargin_train.cost import use_tf32  # noqa: E402
from emargin_train.errors import UserError  # noqa: E402
from study import checkpoints, sharing  # noqa: E402
from study.engine import Sharing  # noqa: E402
from study.plan import TrialSpec  # noqa: E402
from study.search import PlanSearch  # noqa: E402
from study.settings import StudySettings  # noqa: E402
from study.trial import run_trial  # noqa: E402

# Counting callbacks for Ray's statistics, off unless asked for, would load MLflow: two seconds.
usage.tag_callbacks = lambda callbacks: False

PROBE_SECONDS = 5
HEALTH_SECONDS = 60  # starting Python and Ray to ask; long on a busy machine
CHECKPOINT_EVERY_S = 20.0
PART_TRIALS, PART_WAVES = (
    500,
    25,
)  # of one of Tune's experiments: trials, or so many for each that runs at once


def find_cluster(address: str | None) -> str | None:
    """The address of a running cluster to join, or None to start one here.

    By default the one that RAY_ADDRESS names or that this machine belongs to. Raises UserError within seconds
    where a named cluster does not answer (Ray itself tries for minutes).
    """
    named = address or os.environ.get("RAY_ADDRESS")
    if named == "local":
        return None
    if named is None or named == "auto":
        here = find_bootstrap_address(None)
        if here:
            maybe_enable_token_auth_if_token_available(warn_if_disabled=False)  # as `ray start` here did
            if _refusal(here) is None:
                return here
        if named is None:
            return None
        raise UserError(
            "--address is 'auto', but this machine belongs to no running cluster: "
            "start one with 'ray start --head', or leave the flag out"
        )
    if named.startswith("ray://"):
        raise UserError(
            f"--address is {named}, but Tune's loop does not run through a Ray client: "
            "run on the head node with --address auto, or use 'ray job submit'"
        )
    refusal = _refusal(named)
    if refusal is not None:
        raise UserError(f"--address is {named}, but {refusal}")
    return named


def _refusal(address: str) -> str | None:
    """Why no Ray head answers at host:port, and what to do; None where one passes Ray's own health check."""
    nobody = (
        "no Ray cluster answers there: check 'ray status' on its head node, or leave the flag out to start "
        "one here"
    )
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=PROBE_SECONDS):
            pass
    except (OSError, ValueError, OverflowError):
        return nobody
    ask = (sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address)
    try:
        asked = subprocess.run(ask, capture_output=True, text=True, timeout=HEALTH_SECONDS)
    except subprocess.TimeoutExpired:
        return nobody
    if "InvalidAuthToken" in asked.stderr:
        return (
            "the cluster there asks for its token: set RAY_AUTH_MODE=token, and copy ~/.ray/auth_token from "
            "its head node or set RAY_AUTH_TOKEN"
        )
    return nobody if asked.returncode else None


@contextlib.contextmanager
def joined(address: str | None) -> Iterator[dict[str, Any]]:
    """Ray, connected or started; yields the cluster's resources."""
    dashboard = None if address else False  # of a cluster of our own: nobody would look
    ray.init(address or "local", log_to_driver=False, configure_logging=False, include_dashboard=dashboard)
    try:
        yield ray.cluster_resources()
    finally:
        # A reference to one of Ray's objects that is collected after the shutdown ends this very process.
        gc.collect()
        ray.shutdown()


def check_resources(settings: StudySettings) -> None:
    """Raises UserError where a trial asks for more than this machine has; a cluster elsewhere may grow."""
    has = {"cpus": os.cpu_count() or 1, "gpus": torch.cuda.device_count()}
    gpus = 1 if settings.gpus_per_trial == "auto" else settings.gpus_per_trial
    for name, asked in (("cpus", settings.cpus_per_trial), ("gpus", gpus)):
        if asked > has[name]:
            raise UserError(
                f"--{name}-per-trial is {asked:g}, but this machine has {has[name]}: "
                "give less, or join a cluster"
            )


def concurrency(
    settings: StudySettings, resources: dict[str, Any], *, gpus: float, started_here: bool
) -> int:
    """How many trials run at once; on a cluster twice what fits now, so that an autoscaler sees demand.

    gpus: of a trial
    """
    fits = resources.get("CPU", 0) // settings.cpus_per_trial
    if gpus:
        fits = min(fits, math.floor(resources.get("GPU", 0) / gpus + 1e-6))
    most = max(1, int(fits)) if started_here else max(16, int(2 * fits))
    return min(most, settings.max_concurrent or most)


def trainable(config: dict[str, Any]) -> None:
    """A Tune trial: `run_trial` in a folder of its own, checkpointed to Tune's storage.

    A lost worker's successor starts from the last checkpoint; a finished trial's holds the records of all
    seeds, and the report is small. A trial that waited for a worker until after the deadline does not begin.
    """
    spec: TrialSpec = config["spec"]
    saved = tune.get_checkpoint()
    if saved is None and config["deadline"] is not None and time.time() >= config["deadline"]:
        tune.report({"n_done": 0})
        return
    torch.set_num_threads(config["threads"])
    use_tf32(config["tf32"])
    device = "cuda" if config["gpu"] and torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory(prefix="emargin-trial-") as name:
        work = Path(name)
        if saved is not None:
            saved.to_directory(work)
        how = config["sharing"]
        shared = {"stacked": True, "train": sharing.client(how)} if how else {}
        last = time.monotonic()
        for progress in config["run"](spec, work, device=device, **shared):
            ended = progress.n_done == len(spec.seeds)
            if ended or time.monotonic() - last > config["checkpoint_every_s"]:
                checkpoints.report({"n_done": progress.n_done}, work, patience_s=config["patience_s"])
                last = time.monotonic()


def run_trials(
    settings: StudySettings,
    search: PlanSearch,
    callbacks: list[Callback],
    *,
    gpus: float,
    n_at_once: int,
    deadline: float | None = None,
) -> None:
    """Tune's loop; returns when every trial is finished, or failed, or none is begun any more.

    Tune keeps every trial that it has seen and looks through all of them at each step, so a long study is
    several of its experiments, one after another.
    gpus: of a trial
    deadline: seconds since the epoch after which a worker begins no trial
    A first Ctrl-C ends the loop, a second one the process.
    """
    place = checkpoints.place(settings)  # removed at the end
    fit_one_gpu = int(1 / gpus + 1e-6) if gpus else 1
    shared = None
    if fit_one_gpu > 1:
        shared = Sharing(fit_one_gpu, CHECKPOINT_EVERY_S, settings.cpus_per_trial, settings.tf32)
    param_space = {
        "run": run_trial,
        "threads": settings.cpus_per_trial,
        "gpu": gpus > 0,
        "tf32": settings.tf32,
        "sharing": shared,
        "checkpoint_every_s": CHECKPOINT_EVERY_S,
        "deadline": deadline,
        "patience_s": place.patience_s,
    }
    part = max(PART_TRIALS, PART_WAVES * n_at_once)
    before = signal.getsignal(signal.SIGINT)
    at_once = partial(_end_at_once, settings.folder)
    interrupted = False
    try:
        for number in itertools.count():
            if interrupted or not search.has_more:
                break
            signal.signal(signal.SIGINT, at_once)  # Tune sets its own, and puts this back at the first Ctrl-C
            resources = {"cpu": settings.cpus_per_trial, "gpu": gpus}
            tune.Tuner(
                tune.with_resources(trainable, resources),
                param_space=param_space,
                tune_config=tune.TuneConfig(
                    search_alg=search,
                    num_samples=part,
                    max_concurrent_trials=n_at_once,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=tune.RunConfig(
                    name=f"part-{number}",
                    storage_path=place.path,
                    storage_filesystem=place.filesystem,
                    verbose=0,
                    callbacks=[*callbacks],  # Tune adds its own, which hold all trials of the part
                    failure_config=tune.FailureConfig(max_failures=settings.max_retries),
                ),
            ).fit()
            interrupted = signal.getsignal(signal.SIGINT) is at_once
            gc.collect()  # an experiment refers to itself in circles
    finally:
        if not interrupted:
            signal.signal(signal.SIGINT, before)
        if shared is not None:
            sharing.end_all(shared)
        place.clear()


def _end_at_once(folder: Path, *_: Any) -> None:
    """This process and all that it started: some of Ray's would look for their parent for a minute."""
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    print(f"{show_cursor}ended at once; to go on: python -m study.run --resume {folder}", file=sys.stderr)
    sys.stderr.flush()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(130)
