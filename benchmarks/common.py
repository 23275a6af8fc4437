"""What all benchmarks share: they measure times, and print one JSON line for each result."""

import argparse
import ctypes
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def parser_of(name: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m benchmarks.NAME`, which shows the module's text as its help."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def seconds(run: Callable[[], Any], repeats: int = 5) -> list[float]:
    """Wall-clock seconds of each of so many runs, after one that does not count."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def processor_seconds(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of the processor that each run takes, all threads together, after a round that does not count.

    The runs take turns, so that a ratio of two of them says the same on a busy machine as on an idle one.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if number:
                times[name].append(time.process_time() - start)
    return times


def peak_growth(run: Callable[[], object]) -> int:
    """Highest resident memory while it runs less that before, in bytes (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)  # memory that was freed and kept would hide as much growth
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # starts VmHWM anew
    run()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    """Bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def machine() -> str:
    """Processor, its count of cores, Python's version, and the GPU where there is one."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux, or a processor without a name
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}{gpu}"


def report(name: str, values: list[float] | float, unit: str, *, baseline: float | None = None) -> None:
    """Print the median of `values`, its ratio to the baseline, and their spread (highest less lowest)."""
    values = values if isinstance(values, list) else [values]
    value = statistics.median(values)
    line = {
        "name": name,
        "value": round(value, 6),
        "unit": unit,
        "baseline": None if baseline is None else round(baseline, 6),
        "ratio": None if not baseline else round(value / baseline, 4),
        "spread": round(max(values) - min(values), 6) if len(values) > 1 else None,
        "machine": machine(),
    }
    print(json.dumps(line), flush=True)
