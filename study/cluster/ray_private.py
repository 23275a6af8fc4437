"""What this project uses of Ray beyond its public interface: environment, private functions, one patch.

All of it is here, so that a new version of Ray has to be checked in one place only. The test of this file
fails for a version outside CHECKED, and says what to do.
"""

import contextlib
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

CHECKED = ">=2.60,<2.61"  # versions of Ray with which the tests of this file were run

# Ray and Tune read these when they are imported or started. What the user has set stays as it is.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no usage statistics are sent
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a thread that outlives the cluster does not start another one
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # Tune's state of all trials is not used
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
# The first workers of a cluster of our own load this while Ray starts.
LOADED_FIRST = "study.cluster.loaded_first"
for name, value in ENVIRONMENT.items():
    os.environ.setdefault(name, value)

import psutil  # noqa: E402
import ray  # noqa: E402
from ray._private import parameter, services, utils, worker  # noqa: E402
from ray._private.authentication.authentication_token_setup import (  # noqa: E402
    maybe_enable_token_auth_if_token_available,
)
from ray._private.services import find_bootstrap_address  # noqa: E402
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # noqa: E402

AWS_SECRETS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}


def prepare_tune() -> None:
    """Change what Tune does before its first trial. (Tune takes a second to load, and Ray starts without it.)

    Ray counts a study's callbacks for its usage statistics even where these are off. For this it loads
    MLflow, which takes two seconds.

    Tune would give the driver's AWS keys to its workers, and Ray would log them; every node has its own keys.
    It would also give them a variable for PyTorch Lightning. Workers that run already do not have it, so that
    a worker would have to be started anew for each trial.
    """
    from ray.air._internal import usage
    from ray.tune.execution import class_cache

    usage.tag_callbacks = lambda callbacks: False
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(AWS_SECRETS)
    class_cache.DEFAULT_ENV_VARS.clear()


def address_here() -> str | None:
    """The address of the cluster that this machine belongs to, or None. Its token, if any, is loaded."""
    address = find_bootstrap_address(None)
    if address:
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)  # `ray start` does the same
    return address


def health_check(address: str) -> tuple[str, ...]:
    """The command that exits with 0 if a Ray head at host:port is healthy."""
    return (sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address)


def raylet() -> psutil.Process | None:
    """The process of Ray's on this machine that serves this driver; None where it cannot be seen."""
    node = worker.global_worker.node
    assert node is not None
    served = f"--raylet_socket_name={node.raylet_socket_name}"
    for process in psutil.process_iter(["cmdline"]):
        if served in (process.info["cmdline"] or ()):
            return process
    return None


def sigterm_keeper() -> Callable[[], None]:
    """A function that sets SIGTERM's handler again to what it is now; only the main thread can do so.

    Where Ray shuts down, its C++ code lets SIGTERM end the process again, which Python does not notice.
    """
    handler = signal.getsignal(signal.SIGTERM)

    def keep() -> None:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)

    return keep


def init(
    address: str,
    folder: str | None = None,
    *,
    workers: int = 0,
    threads: int = 1,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Connect to a cluster, or start one here if the address is "local". Signal handlers stay as they are.

    folder: where a cluster that is started here keeps its files
    workers: so many workers of a cluster that is started here load what trials need while Ray starts
    threads: of these workers, where the environment does not say how many
    meanwhile: called once the last process of a cluster of ours has been started, for which Ray then waits

    `ray.init` sets two handlers of SIGTERM that end the process, one in Python and one in C++, but only the
    command line may end it (`study.signals`).
    """
    keep_sigterm = sigterm_keeper()
    dashboard = False if address == "local" else None  # nobody would look at our own cluster's dashboard
    token = AuthenticationTokenLoader.instance()
    token.reset_cache()  # Ray keeps the token of an earlier cluster, whatever the environment says now
    if address == "local" and not token.has_token(ignore_auth_mode=True):
        # Ray would write one into the home folder, which is not always there and writable.
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    here = _own_cluster(workers, threads, meanwhile) if address == "local" else contextlib.nullcontext()
    with here, _replaced(utils, "set_sigterm_handler", lambda handler: None):
        try:
            ray.init(
                address,
                log_to_driver=False,
                configure_logging=False,
                include_dashboard=dashboard,
                _temp_dir=folder,
            )
        finally:
            keep_sigterm()  # in place of the one in C++


@contextlib.contextmanager
def _own_cluster(workers: int, threads: int, meanwhile: Callable[[], object]) -> Iterator[None]:
    """Inside, Ray starts without programs that nobody uses here, and its first workers load what they need.

    The programs take a second each to start. They are the log monitor, since nobody reads what it sends
    (log_to_driver=False), the autoscaler's monitor, the dashboard's server, which Ray starts for its usage
    statistics even where both are off, and most of the dashboard's agent, for which Ray waits.
    """
    without = partial(parameter.RayParams, include_log_monitor=False, no_monitor=True)  # type: ignore[arg-type]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_replaced(parameter, "RayParams", without))
        stack.enter_context(_replaced(services, "start_api_server", lambda *_, **__: (None, None)))
        stack.enter_context(
            _replaced(utils, "get_dashboard_dependency_error", lambda: ImportError("not wanted"))
        )
        made, flag = services.start_ray_process, "--num_prestart_python_workers="

        def start(command: list[str], *args: Any, **more: Any) -> Any:
            is_last = any(word.startswith(flag) for word in command)  # the raylet, which starts workers
            if workers:
                command = [f"{flag}{workers}" if word.startswith(flag) else word for word in command]
            process = made(command, *args, **more)
            if is_last:
                meanwhile()
            return process

        stack.enter_context(_replaced(services, "start_ray_process", start))
        if workers:
            stack.enter_context(_environment("RAY_preload_python_modules", LOADED_FIRST))
            # Ray ends workers that are idle for a second, and the driver needs longer until the first trials.
            stack.enter_context(_environment("RAY_idle_worker_killing_time_threshold_ms", "60000"))
            # Ray sets it when a trial comes, which is too late for libraries that are loaded then.
            stack.enter_context(_environment("OMP_NUM_THREADS", str(threads)))
        yield


@contextlib.contextmanager
def _replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    """Inside, a name of a module stands for this value."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Inside, processes that are started get this variable, unless the user has set it."""
    is_set = name in os.environ
    os.environ.setdefault(name, value)
    try:
        yield
    finally:
        if not is_set:
            del os.environ[name]
