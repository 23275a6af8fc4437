"""The Ray cluster that a study runs on: find one, join or start it, and know what it has."""

import contextlib
import gc
import math
import os
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import ray
import torch

from emargin_train.errors import UserError
from study.cluster import ray_private
from study.settings import StudySettings

PROBE_SECONDS = 5
HEALTH_SECONDS = 60  # starting Python and Ray to ask takes long on a busy machine


def find_cluster(address: str | None) -> str | None:
    """The address of a running cluster to join, or None to start one here.

    By default the one that this process is connected to, that RAY_ADDRESS names, or that this machine belongs
    to. Raises UserError within seconds where a named cluster does not answer (Ray itself tries for minutes).
    """
    if ray.is_initialized():
        return _connected(address)
    named = address or os.environ.get("RAY_ADDRESS")
    if named == "local":
        return None
    if named is None or named == "auto":
        here = ray_private.address_here()
        if here and _refusal(here) is None:
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


def _connected(address: str | None) -> str:
    """The cluster that this process, as a notebook may, has joined before. Raises UserError for another."""
    mine = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", mine):
        raise UserError(
            f"address is '{address}', but this process is connected to the Ray cluster at {mine}: "
            "call ray.shutdown() first, or leave the address out"
        )
    return mine


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
    try:
        asked = subprocess.run(
            ray_private.health_check(address), capture_output=True, text=True, timeout=HEALTH_SECONDS
        )
    except subprocess.TimeoutExpired:
        return nobody
    if "InvalidAuthToken" in asked.stderr:
        return (
            "the cluster there requires its token: set RAY_AUTH_MODE=token, and copy ~/.ray/auth_token from "
            "its head node or set RAY_AUTH_TOKEN"
        )
    return nobody if asked.returncode else None


@contextlib.contextmanager
def joined(address: str | None) -> Iterator[dict[str, Any]]:
    """Connect to the cluster, or start one here; yields its resources.

    A connection that this process had before is used, and kept.
    """
    if ray.is_initialized():
        yield ray.cluster_resources()
        return
    ray_private.init(address or "local")
    try:
        yield ray.cluster_resources()
    finally:
        # A reference to one of Ray's objects that is collected after the shutdown ends this very process.
        gc.collect()
        ray.shutdown()


def check_resources(settings: StudySettings) -> None:
    """Raises UserError where a trial asks for more than this machine has; a cluster elsewhere may grow."""
    has = {"cpus": os.cpu_count() or 1, "gpus": torch.cuda.device_count()}
    gpus = 1 if settings.gpus is None else settings.gpus
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

    gpus: GPUs that one trial takes
    """
    fits = resources.get("CPU", 0) // settings.cpus_per_trial
    if gpus:
        fits = min(fits, math.floor(resources.get("GPU", 0) / gpus + 1e-6))
    most = max(1, int(fits)) if started_here else max(16, int(2 * fits))
    return min(most, settings.max_concurrent or most)
