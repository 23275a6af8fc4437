"""The time of writing one finished training to MLflow on SQLite, compared with Ray Tune's own way.

    python -m benchmarks.tracking        # half a minute

mlflow_run_ms    a whole run with 40 parameters, all metrics, a loss curve of 100 points and tags (wanted:
                 at most 40 ms). The baseline writes the same parameters and metrics through the helper of Ray
                 Tune's MLflow callback, one request for each key, and no curve.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

from ray.air._internal.mlflow import _MLflowLoggerUtil

from benchmarks.common import parser_of, report
from emargin_train.evaluation.metrics import METRICS
from study.tracking import mlflow_runs
from study.tracking import uri as tracking_uri
from study.tracking.sync_state import SyncState

N_PARAMS, CURVE = 40, [(6 * (i + 1), 3.0 / (i + 1)) for i in range(100)]


def record(seed: int) -> dict[str, Any]:
    """What `study.trial.record` keeps of one training, as large as in a real study."""
    row: dict[str, Any] = {f"setting_{i}": f"value {i}" for i in range(N_PARAMS - 4)}
    row |= {"method": "emargin", "status": "ok", "seed": seed, "split_seed": 0, "trial": "emargin-0000"}
    row |= {name: 0.1 + seed for name in METRICS}
    row |= {"started_at": "2026-01-01T00:00:00+00:00", "train_seconds": 60.0}
    return {"trial": "emargin-0000", "role": "searched", "replicate": f"0-{seed}", "row": row, "curve": CURVE}


def ours(folder: Path) -> mlflow_runs.StudyRuns:
    (folder / "study").mkdir()
    runs = mlflow_runs.StudyRuns(
        tracking_uri.local(folder),
        SyncState(folder / "study"),
        out=folder,
        dataset="benchmark",
        study="study",
    )
    runs.start({"trials": "64"})
    return runs


def theirs(folder: Path) -> _MLflowLoggerUtil:
    logger = _MLflowLoggerUtil()
    logger.setup_mlflow(tracking_uri.local(folder), experiment_name="benchmark")
    return logger


def key_by_key(logger: _MLflowLoggerUtil, item: dict[str, Any]) -> None:
    row = item["row"]
    run = logger.start_run(run_name=item["replicate"]).info.run_id
    logger.log_params({k: v for k, v in row.items() if k not in METRICS}, run_id=run)
    logger.log_metrics(0, {name: row[name] for name in METRICS}, run_id=run)
    logger.end_run(run_id=run, status="FINISHED")


def main() -> None:
    parser = parser_of("tracking", __doc__)
    parser.add_argument("--repeats", type=int, default=30, help="runs of each, in turns (default 30)")
    repeats = parser.parse_args().repeats
    batched_ms, single_ms = [], []
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        runs, logger = ours(Path(a)), theirs(Path(b))
        for seed in range(repeats + 2):
            item = record(seed)
            begun = time.perf_counter()
            runs.export(item, [])
            between = time.perf_counter()
            key_by_key(logger, item)
            if seed >= 2:  # the first ones open connections
                batched_ms.append(1000 * (between - begun))
                single_ms.append(1000 * (time.perf_counter() - between))
    report("mlflow_run_ms", batched_ms, "ms", baseline=sorted(single_ms)[len(single_ms) // 2])


if __name__ == "__main__":
    main()
