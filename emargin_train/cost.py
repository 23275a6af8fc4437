"""What a training cost, and where it ran.

The process that writes to MLflow asks for the revision alone, so PyTorch is loaded where it is needed.
"""

import platform
import subprocess
import time
from functools import cache
from pathlib import Path

PARTS = ("data_seconds", "train_seconds", "eval_seconds")


class Clock:
    """Wall-clock seconds of each part of the work; a part that was not reached has 0."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Add the time since the last lap to `part`."""
        now = time.perf_counter()
        self.seconds[part] += now - self._last
        self._last = now


class PeakMemory:
    """Peak resident memory of this process since the object was made (on Linux; elsewhere it is unknown).

    Writing 5 to clear_refs resets the kernel's high-water mark (man 5 proc), so that a worker that runs many
    trials reports the peak of each trial.
    """

    def __init__(self) -> None:
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self._known = True
        except OSError:
            self._known = False

    def peak_mb(self) -> float | None:
        if not self._known:
            return None
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return None


def device_name(device: str) -> str:
    """The hardware in use: the GPU's name, or the CPU's architecture and threads."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(torch.device(device))
    return f"cpu {platform.machine()} x{torch.get_num_threads()}"


def processor() -> str:
    """The model of the processor, as Linux names it; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


@cache
def git_revision() -> str | None:
    """The commit of this source tree, with + if there are uncommitted changes; None outside a checkout."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(
            ("git", "-C", str(here), *words), capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if not git("ls-files", "cost.py"):
            return None  # the package is installed inside the checkout of another project
        return git("rev-parse", "HEAD") + (
            "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None
