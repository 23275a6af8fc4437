"""What we use beyond Ray's public interface: the checked versions, and a test of each private part."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
import ray
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ray._private import parameter, services, utils
from ray.util.placement_group import placement_group

from study.cluster import ray_private

ROOT = Path(__file__).resolve().parents[3]
REPLACED = (
    (parameter, "RayParams"),
    (services, "start_api_server"),
    (services, "start_ray_process"),
    (utils, "set_sigterm_handler"),
    (utils, "get_dashboard_dependency_error"),
)


def test_this_version_of_ray_was_checked():
    installed = version("ray")
    assert installed in SpecifierSet(ray_private.CHECKED), (
        f"Ray is {installed}, but study/cluster/ray_private.py was checked with {ray_private.CHECKED}. "
        "Run this file, tests/study and tests/cluster with it. Where a test fails, look up in Ray's source "
        "what replaced the private part. When all pass, widen CHECKED and pyproject.toml."
    )


def test_pip_installs_no_other_version():
    """Ray 2.49, which was allowed once, has no module of tokens: nothing of `study` could be imported."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = [Requirement(text) for extra in extras.values() for text in extra if text.startswith("ray[")]
    assert len(asked) == 2 and {one.specifier for one in asked} == {SpecifierSet(ray_private.CHECKED)}


def test_counting_callbacks_would_load_mlflow_and_is_replaced():
    """Tune calls the function through its module, so that the replacement is what it calls."""
    from ray.tune import tune

    ray_private.prepare_tune()
    assert tune.air_usage.tag_callbacks([object()]) is False
    assert "tag_callbacks" in tune.run.__code__.co_names


def test_no_aws_key_is_handed_to_workers():
    from ray.tune.execution import class_cache

    ray_private.prepare_tune()
    assert not {name for name in class_cache.ENV_VARS_TO_PROPAGATE if name in ray_private.AWS_SECRETS}
    assert "AWS_SECURITY_TOKEN" in ray_private.AWS_SECRETS


@pytest.mark.parametrize("name", ray_private.ENVIRONMENT)
def test_the_environment_is_set_and_ray_knows_the_name(name):
    assert name in os.environ
    ours = ("grep", "-rlqF", "--include=*.py", name, os.path.dirname(ray.__file__))
    assert subprocess.run(ours).returncode == 0, f"no file of Ray reads {name} any more"


def test_what_the_user_has_set_in_the_environment_stays():
    program = "import os, study.cluster; print(os.environ['TUNE_GLOBAL_CHECKPOINT_S'])"
    env = os.environ | {"TUNE_GLOBAL_CHECKPOINT_S": "7"}
    ran = subprocess.run((sys.executable, "-c", program), env=env, capture_output=True, text=True)
    assert ran.stdout.strip() == "7", ran.stderr


@ray.remote(num_cpus=1)
class Asked:
    """An actor, as a trial is one."""

    def pid(self):
        return os.getpid()

    def loaded(self):
        return ray_private.LOADED_FIRST in sys.modules, os.environ["OMP_NUM_THREADS"]


def workers() -> dict[int, float]:
    """The workers of the cluster that was started here, with the processor time that each has used."""
    here = psutil.Process().children(recursive=True)
    return {one.pid: sum(one.cpu_times()[:2]) for one in here if one.name().startswith("ray::")}


@pytest.mark.slow
def test_a_worker_that_waits_for_its_first_trial_is_kept():
    """Ray ends workers that are idle for a second while no processor is free.

    None is free once Tune has reserved those of its first trials, before it asks for workers. A study would
    then wait for new ones, and run one short trial at a time meanwhile.
    """
    ray_private.init("local", workers=1)
    try:
        deadline = time.monotonic() + 60
        while len(workers()) < 3 and time.monotonic() < deadline:  # with both agents
            time.sleep(0.1)
        before = set(workers())
        group = placement_group([{"CPU": os.cpu_count()}])
        ray.get(group.ready())
        time.sleep(3)
        assert len(before) == 3 and before <= set(workers())
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_workers_load_while_ray_starts_and_trials_use_them(monkeypatch):
    """Only as many as are asked for, with the threads of a trial; a second cluster starts none."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    agents = 2
    for asked, n_loading in ((1, 1), (0, os.cpu_count())):
        ray_private.init("local", workers=asked, threads=3)
        try:
            deadline = time.monotonic() + 60
            while len(workers()) < n_loading + agents and time.monotonic() < deadline:
                time.sleep(0.1)
            before = workers()
            assert len(before) == n_loading + agents
            actor = Asked.remote()
            assert ray.get(actor.pid.remote()) in before, "Tune's trials would wait for new workers"
            is_loaded, threads = ray.get(actor.loaded.remote())
            assert is_loaded or not asked
            assert threads == ("3" if asked else "1")
        finally:
            ray.shutdown()
        assert "RAY_preload_python_modules" not in os.environ and "OMP_NUM_THREADS" not in os.environ


def test_tune_starts_trials_in_the_environment_of_every_worker():
    """With variables of its own, a trial would need a worker that is started for it."""
    from ray.tune.execution import class_cache

    ray_private.prepare_tune()
    made = class_cache._ActorClassCache().get(type("Trial", (), {}))
    assert not made._default_options["runtime_env"]


@pytest.mark.slow
def test_starting_ray_keeps_the_signal_handlers_and_its_health_can_be_asked(monkeypatch):
    """Python's and, in place of the one in Ray's C++, the one that the system calls; not even for a while."""
    received, assigned, assign = [], [], signal.signal
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, lambda number, _: received.append(number))
    ours = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(signal, "signal", lambda n, handler: assigned.append(handler) or assign(n, handler))
    known = {(module, name): getattr(module, name) for module, name in REPLACED}
    environment = dict(os.environ) | {"RAY_AUTH_TOKEN": None}
    waiting = []
    ray_private.init("local", meanwhile=lambda: waiting.append(ray.is_initialized()))
    try:
        assert waiting == [False], "it is called once, and Ray is not there yet"
        assert assigned == [ours]
        assert known == {(module, name): getattr(module, name) for module, name in REPLACED}
        assert environment == dict(os.environ) | {"RAY_AUTH_TOKEN": None}
        children = [" ".join(one.cmdline()) for one in psutil.Process().children(recursive=True)]
        assert any("raylet" in words for words in children)
        unused = ("log_monitor", "monitor.py", "dashboard.py")
        assert not [words for words in children for name in unused if name in words]
        for number in before:
            os.kill(os.getpid(), number)
        assert received == [signal.SIGTERM, signal.SIGHUP]
        raylet = ray_private.raylet()
        assert raylet is not None and raylet.name() == "raylet" and psutil.Process() in raylet.parents()
        address = ray.get_runtime_context().gcs_address
        assert subprocess.run(ray_private.health_check(address), capture_output=True).returncode == 0
    finally:
        ray.shutdown()
        for number, handler in before.items():
            assign(number, handler)
    assert not raylet.is_running()
    assert subprocess.run(ray_private.health_check(address), capture_output=True, timeout=60).returncode != 0
