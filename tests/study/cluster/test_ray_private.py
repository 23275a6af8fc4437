"""What we use beyond Ray's public interface: the checked versions, and a test of each private part."""

import os
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
import ray
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from study.cluster import ray_private

ROOT = Path(__file__).resolve().parents[3]


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

    assert tune.air_usage.tag_callbacks([object()]) is False
    assert "tag_callbacks" in tune.run.__code__.co_names


def test_no_aws_key_is_handed_to_workers():
    from ray.tune.execution import class_cache

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


@pytest.mark.slow
def test_starting_ray_keeps_the_signal_handlers_and_its_health_can_be_asked(monkeypatch):
    """Python's and, in place of the one in Ray's C++, the one that the system calls; not even for a while."""
    received, assigned, assign = [], [], signal.signal
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, lambda number, _: received.append(number))
    ours = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(signal, "signal", lambda n, handler: assigned.append(handler) or assign(n, handler))
    ray_private.init("local")
    try:
        assert assigned == [ours]
        children = [" ".join(one.cmdline()) for one in psutil.Process().children(recursive=True)]
        assert any("raylet" in words for words in children)
        assert not any("log_monitor" in words for words in children)
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
