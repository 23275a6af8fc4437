"""The Ray cluster on which a study runs: find one and join it, or start one, and know its resources."""

import contextlib
import gc
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import ray

from emargin_train.errors import UserError
from study import interrupts, own_folders
from study.cluster import ray_private
from study.secrets import without_password
from study.settings import StudySettings

PROBE_SECONDS = 5
LEAVE_S = 8.0  # for ray.shutdown, which waits for Ray's processes
KEEP_EVERY_S = 0.02  # for so long a SIGTERM may end the process while Ray shuts down
MAX_PARENT = 107 - 65 - len("/emargin-ray-12345678-12345678")
HEALTH_SECONDS = 60  # the health check starts Python and Ray, which takes long on a busy machine


def find_cluster(address: str | None) -> str | None:
    """The address of a running cluster to join, or None to start one here.

    By default it is the cluster that this process is connected to, that RAY_ADDRESS names, or that this
    machine belongs to, in this order. Raises UserError within seconds where a named cluster does not answer
    (Ray itself would try for minutes).
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
    """The cluster that this process, such as a notebook, has joined before. Raises UserError for another."""
    mine = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", mine):
        raise UserError(
            f"address is '{address}', but this process is connected to the Ray cluster at {mine}: "
            "call ray.shutdown() first, or leave the address out"
        )
    return mine


def _refusal(address: str) -> str | None:
    """Why no Ray head answers at host:port, and what to do; None where one passes Ray's health check."""
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
def joined(
    address: str | None,
    *,
    quiet: bool = False,
    workers: int = 0,
    threads: int = 1,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[dict[str, Any]]:
    """Connect to the cluster, or start one here; yields its resources.

    If this process is already connected, that connection is used, and kept afterwards.

    workers: so many workers of a cluster that is started here prepare themselves while it starts
    threads: of these workers
    meanwhile: called once this process waits for a cluster that starts here; it must return at once
    """
    if ray.is_initialized():
        if not quiet:
            print(f"ray: joined {address}", file=sys.stderr)
        yield ray.cluster_resources()
        return
    if not quiet:
        print(f"ray: {f'joined {address}' if address else 'starts here'}", file=sys.stderr)
    with contextlib.ExitStack() as stack:
        folder = (
            None
            if address
            else str(stack.enter_context(own_folders.temporary("ray", parent=_short_parent())))
        )
        stack.callback(own_folders.remove_all)  # workers that were killed here leave folders
        before, started = _family(), set[psutil.Process]()
        stack.callback(_leave, started)
        try:
            try:
                ray_private.init(
                    address or "local", folder, workers=workers, threads=threads, meanwhile=meanwhile
                )
                resources = ray.cluster_resources()
            finally:  # a signal may come in the middle
                started |= _family() - before
        except Exception as error:  # the boundary: Ray raises plain Exception for a node that does not start
            reason = without_password(" ".join(str(error).split())[:300])
            what = f"join the Ray cluster at {address}" if address else "start Ray here"
            raise UserError(
                f"this study could not {what} ({type(error).__name__}: {reason}): "
                "free memory, disk or processes, or give another --address"
            ) from error
        yield resources


def _family() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def _leave(started: set[psutil.Process]) -> None:
    """Disconnect, and end the cluster that was started here.

    started: its first processes. They start others later, such as Ray's agents; where one of them has died or
        does not answer, Ray may leave others behind
    """
    family = set(started)
    for process in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            family |= set(process.children(recursive=True))

    def shut_down() -> None:
        # If one of Ray's objects is collected as garbage after the shutdown, Ray ends this process.
        gc.collect()
        ray.shutdown()

    keep_sigterm = ray_private.sigterm_keeper()

    def is_lost() -> bool:
        keep_sigterm()
        return False

    interrupts.finish(
        shut_down, is_lost=is_lost, patience_s=LEAVE_S, at_most_s=LEAVE_S, look_every_s=KEEP_EVERY_S
    )
    keep_sigterm()
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=1)


def _short_parent() -> str:
    """A parent for Ray's folder. Its path is short: a socket's path has at most 107 bytes, Ray adds some 65.

    Raises UserError where no such folder can be written.
    """
    asked = [os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]
    for parent in filter(None, asked):
        is_short = len(os.fsencode(os.path.abspath(parent))) <= MAX_PARENT
        if is_short and os.path.isdir(parent) and os.access(parent, os.W_OK):
            own_folders.note_parent(Path(parent))
            return os.path.abspath(parent)
    raise UserError(
        f"TMPDIR is '{tempfile.gettempdir()}', but Ray needs a folder that can be written, with a path of at "
        f"most {MAX_PARENT} bytes: set RAY_TMPDIR to such a folder"
    )


GONE = "Ray does not answer any more: its head, or its process on this machine, has ended"


class HeadWatch:
    """Notices that the cluster's head, or Ray on this machine, has gone; a driver would wait for ever.

    started_here: whether this process started the cluster; such a cluster never comes back, whereas the head
        of another one may be restarted
    """

    def __init__(self, *, started_here: bool) -> None:
        self._host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        self._port, self._raylet = int(port), ray_private.raylet()
        self._node = ray.get_runtime_context().get_node_id()
        self.started_here = started_here
        self._patience_s = 3.0 if started_here else 20.0
        self._answered = time.monotonic()

    def is_lost(self) -> bool:
        """Whether either of them has not answered for some seconds; call this about every second."""
        if self._is_there():
            self._answered = time.monotonic()
        return time.monotonic() - self._answered > self._patience_s

    def has_lost_us(self) -> bool:
        """Whether either is gone now, or the head takes this machine for dead: then every trial fails."""
        if not self._is_there() or not ray.is_initialized():
            return True
        return self._node not in {node["NodeID"] for node in ray.nodes() if node["Alive"]}

    def _is_there(self) -> bool:
        if self._raylet is None or _runs(self._raylet):
            with contextlib.suppress(OSError):
                socket.create_connection((self._host, self._port), timeout=1).close()
                return True
        return False


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def check_resources(settings: StudySettings) -> None:
    """Raises UserError where a trial needs more than this machine has. (Another cluster may grow.)"""
    gpus = 1 if settings.gpus is None else settings.gpus
    has = {"cpus": os.cpu_count() or 1, "gpus": _gpus_here() if gpus else 0}
    for name, asked in (("cpus", settings.cpus_per_trial), ("gpus", gpus)):
        if asked > has[name]:
            shown = "auto" if name == "gpus" and settings.gpus is None else f"{asked:g}"
            raise UserError(
                f"--{name}-per-trial is {shown}, but this machine has {has[name]}: "
                "give less, or join a cluster"
            )


def _gpus_here() -> int:
    import torch  # it takes a second to load, for which a study on CPUs need not wait

    return torch.cuda.device_count()


def first_workers(settings: StudySettings, n_jobs: int) -> int:
    """How many workers of a cluster that starts here can prepare themselves before they get their first jobs.

    Workers of GPUs cannot: Ray says which GPU is theirs when they get a job.
    """
    if settings.gpus != 0:
        return 0
    here = {"CPU": os.cpu_count() or 1}
    return min(n_jobs, concurrency(settings, here, gpus=0, started_here=True))


def concurrency(
    settings: StudySettings, resources: dict[str, Any], *, gpus: float, started_here: bool
) -> int:
    """How many trials run at once; on a cluster twice as many as fit now, so that an autoscaler adds nodes.

    gpus: GPUs that one trial takes
    """
    fits = resources.get("CPU", 0) // settings.cpus_per_trial
    if gpus:
        fits = min(fits, math.floor(resources.get("GPU", 0) / gpus + 1e-6))
    most = max(1, int(fits)) if started_here else max(16, int(2 * fits))
    return min(most, settings.max_concurrent or most)
