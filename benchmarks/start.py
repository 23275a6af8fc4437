"""What a user waits for before the first training and after the last one.

    python -m benchmarks.start

import_seconds    `import emargin_train` in a new process (wanted: at most 1.5); baseline: a process that
                  imports nothing
help_seconds      `python -m study.run --help` (wanted: at most 0.5); baseline: the same
first_trial_s     a small study on cached data, from its command until the first training begins (wanted: at
                  most 5); baseline: until a task of Ray alone runs
last_trial_s      the same study, from the end of its last training until its command ends: the table, MLflow,
                  the end of Ray, and the report; baseline: none
report_seconds    `python -m analysis.report` on that study (wanted: at most 3); baseline: as above
"""

import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

from benchmarks.common import parser_of, report, seconds
from emargin_train.config import TrainConfig
from emargin_train.data import load

REPEATS = 3
DATASET = "sleepeeg-sim"
BARE_RAY = """
import time
import ray
ray.init("local", num_cpus=2, log_to_driver=False, include_dashboard=False)
print(ray.get(ray.remote(lambda: time.time()).remote()))
"""
STUDY = [
    "-m", "study.run", "--dataset", DATASET, "--trials", "4", "--seeds", "0", "--iterations", "20",
    "--baseline-trials", "1", "--references", "raw", "--evaluation-frames", "500", "--address", "local",
]  # fmt: skip


def python(*words: str) -> str:
    """Run a program of this environment, and return what it prints."""
    ran = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    return ran.stdout


def around_trainings(out: Path, name: str) -> tuple[float, float]:
    """Seconds from the command of a study to its first training, and from the end of its last one."""
    begun = time.time()
    python(*STUDY, "--out", str(out), "--name", name)
    ended = time.time()
    rows = pq.read_table(out / name / "results.parquet").to_pylist()
    starts = [datetime.timestamp(row["started_at"]) for row in rows]
    ends = [
        start + sum(row[cost] or 0.0 for cost in ("data_seconds", "train_seconds", "eval_seconds"))
        for start, row in zip(starts, rows, strict=True)
    ]
    return min(starts) - begun, ended - max(ends)


def main() -> None:
    parser_of("start", __doc__).parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    bare = median(seconds(lambda: python("-c", "pass"), REPEATS))
    imported = seconds(lambda: python("-c", "import emargin_train"), REPEATS)
    report("import_seconds", imported, "s", baseline=bare)
    report("help_seconds", seconds(lambda: python("-m", "study.run", "--help"), REPEATS), "s", baseline=bare)
    with tempfile.TemporaryDirectory() as folder:
        out, found, of_ray = Path(folder), [], []
        load(TrainConfig.from_dict({"dataset": DATASET}).data)  # and caches them
        for number in range(REPEATS):
            found.append(around_trainings(out, f"study-{number}"))
            begun = time.time()
            of_ray.append(float(python("-c", BARE_RAY)) - begun)
        first, last = ([one[i] for one in found] for i in (0, 1))
        report("first_trial_s", first, "s", baseline=median(of_ray))
        report("last_trial_s", last, "s")
        drawn = seconds(lambda: python("-m", "analysis.report", str(out / "study-0")), REPEATS)
        report("report_seconds", drawn, "s", baseline=bare)


if __name__ == "__main__":
    main()
