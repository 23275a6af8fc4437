"""A long study of real trainings, measured from outside: does anything grow with the number of trials?

    python -m tests.study.leaks 1000     # by hand; prints a table, and what each 100 trials added

Each trial is a training of two steps on simulated noise with its whole evaluation, its files, its record and
its run in MLflow. What the last half of the trials added is what counts: Tune keeps up to 500 jobs, and
caches fill.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from tests.study.books import NAME, descendants
from tests.tiny import write

MB = 2**20
COLUMNS = ("trials", "seconds", "driver MB", "descriptors", "threads", "exporter MB", "workers MB",
           "processes", "TMPDIR files", "TMPDIR MB", "/dev/shm MB", "not in MLflow")  # fmt: skip


def measured(driver: subprocess.Popen[bytes], folder: Path, sandbox: Path) -> list[float]:
    """A row of the table but for its first two columns; memory is what only that process has (USS)."""
    family, process = descendants(driver.pid), psutil.Process(driver.pid)

    def uss_mb(words: str) -> float:
        found = [
            psutil.Process(pid).memory_full_info().uss for pid, title in family.items() if words in title
        ]
        return sum(found) / MB

    files = [path for path in sandbox.rglob("*") if path.is_file() and not path.is_symlink()]
    n_records = len(list((folder / "records").glob("*.json")))
    state = folder / "mlflow.jsonl"
    n_exported = max(0, len(state.read_text().splitlines()) - 1) if state.exists() else 0
    return [
        process.memory_full_info().uss / MB,
        process.num_fds(),
        process.num_threads(),
        uss_mb("tracking.exporter"),
        uss_mb("ray::ImplicitFunc"),
        len(family),
        len(files),
        sum(path.stat().st_size for path in files if path.exists()) / MB,
        shutil.disk_usage("/dev/shm").used / MB,
        n_records - n_exported,
    ]


def rows(n_trials: int, out: Path, sandbox: Path) -> Iterator[list[float]]:
    """Run the study; a row each time another twentieth of the trials is recorded."""
    data = out / "data"
    data.mkdir(parents=True)
    flags = ("--dataset", str(write(data)), "--iterations", "2", "--trials", str(n_trials), "--seeds", "0",
             "--baseline", "none", "--references", "raw", "--sampler", "random", "--name", NAME,
             "--out", str(out), "--address", "local")  # fmt: skip
    env = os.environ | {
        "TMPDIR": str(sandbox),
        "RAY_TMPDIR": str(sandbox),
        "EMARGIN_CACHE": str(out / "cache"),
    }
    driver = subprocess.Popen((sys.executable, "-m", "study.run", *flags), env=env, process_group=0)
    begun, step, wanted, records = time.monotonic(), max(1, n_trials // 20), 0, out / NAME / "records"
    try:
        while driver.poll() is None:
            n = len(list(records.glob("*.json")))
            if n > wanted:
                try:
                    yield [n, time.monotonic() - begun, *measured(driver, out / NAME, sandbox)]
                except (psutil.NoSuchProcess, FileNotFoundError):  # just ended; again at the next look
                    continue
                wanted = (n // step + 1) * step
            time.sleep(0.2)
        assert driver.returncode == 0, f"exit code {driver.returncode}"
    finally:
        driver.kill()


def main() -> None:
    n_trials = int(sys.argv[1])
    out = Path(tempfile.mkdtemp(prefix="leaks-"))
    sandbox = Path(tempfile.mkdtemp(prefix="l-", dir="/tmp"))
    try:
        print(" | ".join(COLUMNS))
        table = []
        for row in rows(n_trials, out, sandbox):
            table.append(row)
            print(" | ".join(f"{value:.0f}" for value in row), flush=True)
        settled = np.array([row for row in table if n_trials / 2 < row[0] < n_trials])
        for name, values in zip(COLUMNS[1:], settled[:, 1:].T, strict=True):
            slope = np.polyfit(settled[:, 0], values, 1)[0] * 100
            print(f"{name}: {slope:+.2f} for each 100 trials, from {values[0]:.1f} to {values[-1]:.1f}")
        print(f"left in TMPDIR: {sorted(os.listdir(sandbox))}")
    finally:
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(sandbox, ignore_errors=True)


if __name__ == "__main__":
    main()
