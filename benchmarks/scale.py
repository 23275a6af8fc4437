"""What one driver costs for each trial, with many trials running at once.

    python -m benchmarks.scale --at-once 10
    python -m benchmarks.scale --at-once 10,100,1000

The trials only wait, on one node that claims as many cores as trials run at once. The first wave waits until
all of its trials run; then every trial waits for some seconds and leaves the files of a training. All else is
a study's: Optuna (random sampler), records, files of checkpoints and embeddings, MLflow on SQLite. A worker
takes one to two seconds of a processor to start. Costs are processor time after the first wave, which
shows what a machine of its own would spend, however busy this one is.

driver_ms_<n>      milliseconds of the driver for each trial, all threads together
exporter_ms_<n>    of the process that writes to MLflow, for each run that it has written; it has a low
                   priority, and on a busy machine it is far behind the trials
ray_ms_<n>         the same of Ray's head and raylet on this machine
driver_mb_<n>      memory of the driver at the end
"""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import ray

from benchmarks.common import parser_of, report
from benchmarks.scale_trial import nothing, waits

WAVES = 3
REGISTER_S = "900"  # hundreds of workers that start on few cores take longer than Ray waits for one


def run(at_once: int, seconds: float, folder: Path) -> None:
    from benchmarks.overhead import leave_files
    from emargin_train.evaluation.metrics import METRICS
    from emargin_train.pretrain import Outcome, settings_row
    from study import plan, records, run_study
    from study.cluster import tune_loop
    from study.settings import StudySettings
    from study.trial import record

    settings = StudySettings(
        dataset="sleepeeg-sim",
        subjects=3,
        name="scale",
        out=str(folder),
        trials=WAVES * at_once,
        baseline_trials=0,
        references=(),
        seeds=(0,),
        sampler="random",
    )
    arms = plan.arms(plan.resolved(settings))
    example = plan.spec(plan.resolved(settings), plan.trials(arms)[0], {"threshold": 0.5, "margin": 1.0})
    row = settings_row(example.config(example.replicates[0])) | {"status": "ok", "data_hash": "none"}
    row |= dict.fromkeys(METRICS, 0.5) | {"device": "none"}
    losses = [1 / (step + 1) for step in range(600)]
    files = folder / "files"
    files.mkdir(parents=True)
    leave_files(files, example.replicates[0])
    template = {
        "record": record(example, example.replicates[0], Outcome(row, losses)),
        "files": {path.name: path.read_bytes() for path in files.iterdir()},
    }
    started = folder / "started"
    started.mkdir()
    given = {"template": template, "started": str(started), "at_once": at_once, "seconds": seconds}
    stamps: list[dict[str, float]] = []
    save = records.save

    def watched(target: Path, item: dict[str, Any]) -> Path:
        runs = (target / "mlflow.jsonl").read_bytes().count(b'"run"')
        stamps.append(spent() | {"runs": runs, "trials": len(stamps)})
        return save(target, item)

    os.environ.setdefault("RAY_worker_register_timeout_seconds", REGISTER_S)
    ray.init("local", num_cpus=at_once, log_to_driver=False, configure_logging=False, include_dashboard=False)
    try:
        with (
            patch.object(tune_loop, "trainable", lambda config: waits(config, given)),
            patch.object(tune_loop, "run_trial", nothing),
            patch.object(records, "save", watched),
        ):
            run_study.run_study(settings, quiet=True)
    finally:
        ray.shutdown()
    assert len(stamps) == WAVES * at_once, len(stamps)
    first, last = stamps[at_once - 1], stamps[-1]
    for name, count in (("driver", "trials"), ("exporter", "runs"), ("ray", "trials")):
        number = last[count] - first[count]
        if number:
            report(f"{name}_ms_{at_once}", 1000 * (last[name] - first[name]) / number, "ms")
    report(f"driver_mb_{at_once}", psutil.Process().memory_info().rss / 2**20, "MB")


def spent() -> dict[str, float]:
    """Seconds of a processor so far, by part."""
    found = {"driver": time.process_time(), "exporter": 0.0, "ray": 0.0}
    for one in psutil.Process().children(recursive=True):
        try:
            words, times = " ".join(one.cmdline()), one.cpu_times()
        except psutil.Error:
            continue
        part = "exporter" if "study.tracking.exporter" in words else "ray"
        if part == "exporter" or "gcs_server" in words or "/raylet/raylet" in words:
            found[part] += times.user + times.system
    return found


def main() -> None:
    parser = parser_of("scale", __doc__)
    parser.add_argument("--at-once", default="10", metavar="N,N", help="trials at once (default 10)")
    parser.add_argument("--seconds", type=float, default=10.0, help="that a trial waits (default 10)")
    given = parser.parse_args()
    for text in given.at_once.split(","):
        folder = Path(tempfile.mkdtemp(prefix="emargin-scale-"))
        try:
            run(int(text), given.seconds, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
