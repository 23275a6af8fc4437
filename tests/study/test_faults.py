"""Faults of a machine: after the study is resumed, its books equal those of an undisturbed study."""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.study.books import NAME, Books, begin, descendants, n_records, stable, wait_until
from tests.study.conftest import command

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(600)]


def end(driver: subprocess.Popen[str], timeout_s: float = 400) -> tuple[int, str]:
    told, _ = driver.communicate(timeout=timeout_s)
    return driver.returncode, told


def trainings(driver: subprocess.Popen[str]) -> list[int]:
    """Ray's workers of this driver that hold a trial."""
    return [pid for pid, title in descendants(driver.pid).items() if title.startswith("ray::Implicit")]


def test_workers_killed(tmp_path):
    """Three times, a random while after a worker holds a trial; the study never stops."""
    rng = random.Random(0)
    driver = begin(tmp_path, "--address", "local", "--max-retries", "3")
    for n in (1, 4, 7):
        wait_until(lambda n=n: n_records(tmp_path) >= n and bool(trainings(driver)), driver)
        time.sleep(rng.uniform(0, 0.5))
        for process in trainings(driver):
            os.kill(process, signal.SIGKILL)
    code, told = end(driver)
    assert code == 0, told
    Books.of(tmp_path).check("three workers killed", stable(tmp_path))


def test_nodes_removed(tmp_path):
    """Each of the two nodes of a cluster in turn, a fresh one in its place."""
    from ray._common.utils import reset_ray_address
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    reset_ray_address()  # nobody else on this machine shall join it
    try:
        there = [nodes.add_node(num_cpus=1) for _ in range(2)]
        driver = begin(tmp_path, "--address", nodes.address, "--max-retries", "4")
        for n, node in zip((2, 6), there, strict=True):
            wait_until(lambda n=n: n_records(tmp_path) >= n, driver)
            nodes.add_node(num_cpus=1)
            nodes.remove_node(node, allow_graceful=False)
        code, told = end(driver)
    finally:
        nodes.shutdown()
    assert code == 0, told
    Books.of(tmp_path).check("two nodes removed", stable(tmp_path))


@pytest.fixture
def small_disk(tmp_path):
    """48 MB of memory as a disk."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk))
    ran = subprocess.run(mount, capture_output=True, text=True)
    if ran.returncode:
        pytest.skip(f"no disk can be mounted here: {ran.stderr.strip()}")
    yield disk
    subprocess.run(("umount", "--lazy", str(disk)), check=True)


def fill(disk: Path) -> Path:
    """Leave no byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size) == size:
                    pass
    return ballast


def test_a_full_disk(small_disk):
    driver = begin(small_disk)
    wait_until(lambda: n_records(small_disk) >= 3, driver)
    ballast = fill(small_disk)
    code, told = end(driver, timeout_s=120)
    assert code in (1, 2) and "Traceback" not in told, told
    last = told.strip().splitlines()[-1]
    assert "No space left" in told and f"--resume {small_disk / NAME}" in last, told
    ballast.unlink()
    ran = command("--resume", str(small_disk / NAME), timeout=400)
    assert ran.returncode == 0, ran.stderr
    Books.of(small_disk).check("a full disk", stable(small_disk))
