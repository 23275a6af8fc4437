"""How fast recordings become frames, how fast cached frames open, and what memory both need.

    python -m benchmarks.framing        # two minutes; Linux

framing_rate, build_rate  seconds of 100 Hz EEG framed per second on one core, alone and with the cache's
                          files written; baseline: the goal, 2,000 times real time
open_seconds              opening 400,000 cached frames of 90 features, read from a warm page cache, with
                          checksums verified; baseline: 1 s
open_memory               resident memory that this adds; baseline: 50 MB
peak_memory               peak memory of building the frames of 50 recordings; baseline: the same for 5
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common import parser_of, report, seconds
from emargin_train.data import cache, catalogue, load
from emargin_train.data.build import build
from emargin_train.data.catalogue import Dataset
from emargin_train.data.frames import majority, spectra
from emargin_train.data.recording import Part, Recording
from emargin_train.data.settings import DataConfig

RATE_HZ = 100
NIGHT = 20_000  # frames of 178 samples: ten hours
STAGES = ("W", "N1", "N2", "N3", "REM")


def night(subject: int, frames: int = NIGHT) -> list[Recording]:
    """One recording of noise, as long as a night."""
    n = frames * 178
    signal = np.random.default_rng(subject).standard_normal((1, n), np.float32)
    labels = (np.arange(n) // 3000 % 5).astype(np.int16)
    name = f"s{subject:02d}"
    return [Recording(signal, RATE_HZ, labels, STAGES, name, name, ("EEG",), ("uV",))]


def nights(config: DataConfig) -> list[Part]:
    """As many as `subjects` says."""
    return [Part(partial(night, i), settings=f"noise {i}") for i in range(config.subjects or 20)]


DATASET = Dataset(
    name="noise-nights",
    title="20 nights of noise: 400,000 frames of 90 features",
    parts=nights,
    frame_seconds=1.78,
    hop_seconds=1.78,
    sequence_length=200,
)


def resident_mb() -> float:
    """Memory of this process that is in RAM now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_mb() -> float:
    """Highest resident memory of this process so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def opened() -> dict[str, float]:
    """In a fresh process: seconds and memory that opening the cached frames takes."""
    sets = len(list(cache.folder().glob("frames/*/SUMS")))
    before = resident_mb()
    start = time.perf_counter()
    splits = load(DataConfig(dataset=DATASET.name))
    found = {"seconds": time.perf_counter() - start, "memory_mb": resident_mb() - before}
    assert sum(frames.y.size for frames in splits.by_name().values()) == 400_000
    assert len(list(cache.folder().glob("frames/*/SUMS"))) == sets, (
        "built, not opened: was the source edited?"
    )
    return found


def built(n: int) -> dict[str, float]:
    """In a fresh process: peak memory of building the frames of n recordings."""
    config = DataConfig(dataset=DATASET.name, subjects=n)
    with tempfile.TemporaryDirectory(dir=cache.folder()) as target:
        build(Path(target), DATASET, nights(config), config)
    return {"peak_mb": peak_mb()}


def in_fresh_process(job: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.framing", job]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def rates() -> None:
    """Framing alone, then with reading and writing."""
    (recording,) = night(0)

    def frame() -> None:
        spectra(recording.signal, 178, 178)
        majority(recording.labels, 178, 178, len(recording.class_names))

    times = seconds(frame)
    report("framing_rate", [recording.seconds / t for t in times], "x real time", baseline=2000)

    config = DataConfig(dataset=DATASET.name, subjects=2)
    parts = [Part(partial(list, night(i)), settings=f"kept {i}") for i in range(2)]

    def build_again() -> None:
        with tempfile.TemporaryDirectory(dir=cache.folder()) as target:
            build(Path(target), DATASET, parts, config)

    times = seconds(build_again, repeats=3)
    report("build_rate", [2 * recording.seconds / t for t in times], "x real time", baseline=2000)


def main() -> None:
    parser_of("framing", __doc__).parse_args()
    catalogue.register(DATASET)
    jobs: dict[str, Callable[[], dict[str, float]]] = {
        "open": opened,
        "build-5": partial(built, 5),
        "build-50": partial(built, 50),
    }
    if sys.argv[1:]:
        print(json.dumps(jobs[sys.argv[1]]()))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EMARGIN_CACHE"] = folder
        os.environ["OMP_NUM_THREADS"] = "1"
        rates()
        few, many = in_fresh_process("build-5")["peak_mb"], in_fresh_process("build-50")["peak_mb"]
        load(DataConfig(dataset=DATASET.name))
        each = list(_opened_in_turn(5))
        report("open_seconds", [found["seconds"] for found in each], "s", baseline=1.0)
        report("open_memory", [found["memory_mb"] for found in each], "MB", baseline=50.0)
        report("peak_memory", many, "MB", baseline=few)


def _opened_in_turn(n: int) -> Iterator[dict[str, float]]:
    for _ in range(n):
        yield in_fresh_process("open")


if __name__ == "__main__":
    main()
