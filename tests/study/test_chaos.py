"""Random faults at random times (seeded): after `--resume` the books of the study are exact.

    python -m tests.study.test_chaos 0:20          # seeds 0 to 19, by hand; a line for each
    python -m pytest tests/study/test_chaos.py     # one seed

Signals are sent to real processes, and real files are damaged. docs/log.md lists seeds that found a fault.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.study.books import NAME, Books, begin, descendants, n_records, stable
from tests.study.conftest import command

PROCESSES = {
    "worker": "ImplicitFunc",
    "exporter": "tracking.exporter",
    "raylet": "raylet/raylet",
    "GCS": "gcs_server",
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
FILES = ("records/*.json", "mlflow.jsonl", "optuna.log", "study.toml", "identity.json", "manifest.json",
         "evaluation_frames/*", "results.parquet")  # fmt: skip
RESUMES = 4


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def duplicate(path: Path) -> None:
    shutil.copy(path, path.with_name(f"{path.stem} copy{path.suffix}"))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": cut,
    "emptied": lambda path: path.write_bytes(b""),
    "removed": lambda path: path.unlink(),
    "duplicated": duplicate,
    "a bad byte": lambda path: path.write_bytes(b"\xff" + path.read_bytes()),
    "a list": lambda path: path.write_text("[]\n"),
}


def signalled(driver: "subprocess.Popen[str]", rng: random.Random) -> str:
    """Send a signal to the driver, or kill or freeze one of its processes."""
    name = rng.choice(("driver", *PROCESSES))
    if name == "driver":
        how = rng.choice(SIGNALS)
        driver.send_signal(how)
        return f"{how.name} to the driver"
    found = [pid for pid, title in descendants(driver.pid).items() if PROCESSES[name] in title]
    if not found:
        return f"no {name} to kill"
    os.kill(rng.choice(found), signal.SIGKILL)
    return f"{name} killed"


def damaged(folder: Path, rng: random.Random) -> str:
    """Damage a file of the study."""
    found = [path for pattern in FILES for path in sorted(folder.glob(pattern))]
    if not found:
        return "no file to damage"
    path, how = rng.choice(found), rng.choice(tuple(DAMAGES))
    DAMAGES[how](path)
    return f"{path.name} {how}"


def end(driver: "subprocess.Popen[str]") -> None:
    """Kill the driver and what it started."""
    family = psutil.Process(driver.pid).children(recursive=True) if driver.poll() is None else []
    driver.kill()
    driver.wait()
    for process in family:
        with_name = process.is_running() and process
        if with_name:
            with_name.kill()
    psutil.wait_procs(family, timeout=10)


def drill(out: Path, seed: int) -> str:
    """One study, one fault at one moment, then `--resume`; returns what was done. Raises AssertionError."""
    rng = random.Random(seed)
    moment, seconds = rng.randrange(11), rng.uniform(0, 1)
    driver = begin(out)
    while driver.poll() is None and n_records(out) < moment:
        time.sleep(0.05)
    time.sleep(seconds)
    if rng.random() < 0.5:
        done = signalled(driver, rng)
        try:
            driver.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"seed {seed}: {done} at {moment} records: it neither ends nor goes on"
            ) from None
    else:
        end(driver)
        done = f"the driver killed, {damaged(out / NAME, rng)}"
    done = f"seed {seed}: {done} at {moment} records"
    said = []
    for _ in range(RESUMES):
        resumed = out / NAME if (out / NAME / "study.toml").exists() else None
        ran = command("--resume", str(resumed), timeout=900) if resumed else None
        if ran is None:
            again = begin(out)
            said.append(again.communicate(timeout=900)[0])
            code = again.returncode
        else:
            said.append(ran.stderr)
            code = ran.returncode
        assert not any("Traceback" in text for text in said), (done, said)
        if code == 0:
            break
    else:
        raise AssertionError((done, said))
    Books.of(out).check(done, stable(out))
    return done


@pytest.mark.faults
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", [1])
def test_a_fault_at_a_moment_leaves_exact_books(tmp_path, seed):
    drill(tmp_path, seed)


def main() -> None:
    first, _, last = sys.argv[1].partition(":")
    bad = []
    for seed in range(int(first), int(last or int(first) + 1)):
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            try:
                print(drill(Path(folder), seed), flush=True)
            except AssertionError as error:
                bad.append(seed)
                print(f"seed {seed}: NOT EXACT: {str(error)[:2000]}", flush=True)
    print(f"not exact: {bad}")


if __name__ == "__main__":
    main()
