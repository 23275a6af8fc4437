"""A cluster grows from zero workers for a study, and shrinks afterwards (with Ray's fake node provider)."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from study import records
from tests.cluster.conftest import free_port, wait_for
from tests.study.conftest import command, small

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WORKER, MOST = "worker", 2
HERE = "127.0.0.1"


def config(address: str) -> dict:
    """As cluster.yaml: workers from none, taken back once idle."""
    return {
        "cluster_name": "fake",
        "max_workers": MOST,
        "idle_timeout_minutes": 0.05,
        "upscaling_speed": 100,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": address,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "head": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            WORKER: {
                "resources": {"CPU": 1, "object_store_memory": 100_000_000},
                "node_config": {},
                "min_workers": 0,
                "max_workers": MOST,
            },
        },
        "head_node_type": "head",
        "auth": {},
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "setup_commands": [],
        "initialization_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
    }


@pytest.fixture
def growing(tmp_path, monkeypatch) -> Iterator[str]:
    """The address of a head without CPUs; its folder is not the one in which Ray looks for clusters."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # short: Ray's sockets lie there
    env = {"RAY_TMPDIR": folder, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 32}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    port = free_port()
    (tmp_path / "fake.json").write_text(json.dumps(config(f"{HERE}:{port}")))
    head = subprocess.Popen(
        (sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=0")
        + (f"--node-ip-address={HERE}", f"--port={port}", "--include-dashboard=false")
        + (f"--autoscaling-config={tmp_path / 'fake.json'}",),
        env=os.environ | {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"{HERE}:{port}"
    finally:
        for process in (*psutil.Process(head.pid).children(recursive=True), head):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        head.wait()
        shutil.rmtree(folder, ignore_errors=True)


def workers(address: str) -> int:
    """Of the cluster, alive now."""
    program = (
        f"import ray; ray.init('{address}', log_to_driver=False)\n"
        "print(sum(n['Alive'] and n['Resources'].get('CPU', 0) > 0 for n in ray.nodes()))"
    )
    ran = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True)
    return int(ran.stdout.split()[-1]) if ran.returncode == 0 and ran.stdout else -1


def test_workers_come_for_a_study_and_go_after_it(growing, tmp_path: Path):
    wait_for(lambda: workers(growing) == 0, "the head", 120)
    flags = ("--trials", "4", "--baseline-trials", "0", "--references", "raw", "--seeds", "0")
    where = ("--out", str(tmp_path), "--name", "grown", "--address", growing)
    ran = command(*small(), *flags, *where, timeout=400)
    assert ran.returncode == 0, ran.stderr
    assert f"ray: joined {growing}" in ran.stderr
    assert len(records.load(tmp_path / "grown")) == 5
    nodes = json.loads((tmp_path / "grown" / "manifest.json").read_text())["hardware"]["cluster"]
    assert nodes.get("CPU", 0) == 0, "the study began before there was any worker"
    wait_for(lambda: workers(growing) == 0, "the workers to be taken back", 120)
