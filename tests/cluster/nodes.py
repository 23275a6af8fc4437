"""Two nodes on one machine, with separate networks, processes and disks (Linux namespaces; needs root)."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster.conftest import wait_for

HEAD, WORKER = "10.231.77.1", "10.231.77.2"
RAY = str(Path(sys.executable).with_name("ray"))
# a node that is gone is noticed within seconds
HEALTH = {
    "RAY_health_check_initial_delay_ms": "3000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "4000",
    "RAY_health_check_failure_threshold": "3",
}


@dataclass
class Node:
    """A Ray node in namespaces of its own.

    hidden: folders of which it sees an empty one of its own instead
    """

    name: str
    ip: str
    env: dict[str, str]
    hidden: tuple[Path, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self, *ray_words: str) -> None:
        mounts = "".join(f"mount -t tmpfs none {folder} && " for folder in self.hidden)
        script = f'{mounts}exec "$@"'
        words = (
            "ip",
            "netns",
            "exec",
            self.name,
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        )
        words += ("sh", "-c", script, "sh", RAY, "start", f"--node-ip-address={self.ip}", "--num-cpus=1")
        words += ("--object-store-memory=100000000", "--disable-usage-stats", "--block", *ray_words)
        self.process = subprocess.Popen(
            words, env=os.environ | self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def inside(self, *words: str) -> tuple[str, ...]:
        """The command line that runs words on this node."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return ("nsenter", "--target", children[0], "--net", "--pid", "--mount", "--", *words)

    def titles(self) -> list[str]:
        """What runs on this node."""
        pids = subprocess.run(
            ("ip", "netns", "pids", self.name), capture_output=True, text=True
        ).stdout.split()
        titles = []
        for pid in pids:
            with contextlib.suppress(OSError):
                titles.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip())
        return titles

    def kill(self) -> None:
        """The machine is gone: its first process is killed, and with it all others."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass(frozen=True)
class Pair:
    head: Node
    worker: Node
    env: dict[str, str]


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(("ip", *words), check=check, capture_output=True)


@contextlib.contextmanager
def pair(hidden: Path, env: dict[str, str]) -> Iterator[Pair]:
    """A head and a worker joined by a cable; the worker sees nothing of `hidden`.

    env: of everything on both
    """
    for program in ("ip", "unshare", "nsenter"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (iproute2, util-linux) for two nodes on one machine")
    if os.geteuid() != 0:
        pytest.skip("needs root, to make network namespaces for two nodes on one machine")
    names = (f"emargin-{os.getpid()}-a", f"emargin-{os.getpid()}-b")
    temp = Path(tempfile.mkdtemp(prefix="ray-"))  # short: Ray's sockets lie there
    env = HEALTH | env | {"RAY_TMPDIR": str(temp), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 32}
    nodes = (Node(names[0], HEAD, env), Node(names[1], WORKER, env, (hidden, temp)))
    try:
        try:
            for name in names:
                _ip("netns", "add", name)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not allowed here: {error.stderr.decode().strip()}")
        _ip("link", "add", "em0", "netns", names[0], "type", "veth", "peer", "name", "em0", "netns", names[1])
        for node in nodes:
            _ip("-n", node.name, "addr", "add", f"{node.ip}/24", "dev", "em0")
            for device in ("lo", "em0"):
                _ip("-n", node.name, "link", "set", device, "up")
        nodes[0].start("--head", "--port=6379", "--dashboard-host=127.0.0.1", "--include-dashboard=true")
        wait_for(lambda: _alive(nodes[0]) == 1, "the head", 120)
        nodes[1].start(f"--address={HEAD}:6379")
        wait_for(lambda: _alive(nodes[0]) == 2, "the worker", 120)
        yield Pair(*nodes, env)
    finally:
        for node in reversed(nodes):
            node.kill()
        for name in names:
            _ip("netns", "delete", name, check=False)
        shutil.rmtree(temp, ignore_errors=True)


def _alive(head: Node) -> int:
    """Nodes of the cluster, as the head counts them."""
    time.sleep(1)
    program = "import ray; ray.init('auto', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
    try:
        words = head.inside(sys.executable, "-c", program)
    except IndexError:
        return 0
    ran = subprocess.run(words, env=os.environ | head.env, capture_output=True, text=True)
    return int(ran.stdout.split()[-1]) if ran.returncode == 0 and ran.stdout else 0
