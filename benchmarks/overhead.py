"""What a study costs beyond training: a trial's overhead, thousands of trials, resuming them, the search.

python -m benchmarks.overhead           # small sizes, two minutes
python -m benchmarks.overhead --long    # 200 trials of a second, 10,000 that do nothing: half an hour

trial_overhead_<n>_s        seconds of a worker per trial beyond its training, in a study of n trials of a
                            second, with the start and the end of its workers (wanted: at most 0.15);
                            baseline: Ray Tune alone, without loggers or search, its actors reused
steady_trial_overhead_<n>_s the same without start and end, from trials after the first tenth
ten_thousand_trials         seconds per trial in the last tenth of a study of trials that do nothing, one at a
                            time (with more, Tune keeps starting workers that it has no use for once they are
                            up: docs/log.md); baseline: in the first tenth (wanted: a ratio of at most 1.25)
ten_thousand_trials_mb      growth of the driver's memory per 100 of these trials (wanted: under 1)
resume_ten_thousand_s       resuming that study: reading all, running two trials, writing the table (under 30)
tpe_ask_ms_<n>              TPE with two goals: choosing one setting after n trials; baseline: random
"""

import os
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import optuna
import ray
from ray import tune
from ray.tune.experiment import Trial

from benchmarks.common import parser_of, report
from emargin_train.evaluation.evaluate import Embeddings
from emargin_train.evaluation.metrics import METRICS
from emargin_train.files import write_whole
from emargin_train.pretrain import Outcome, settings_row
from study import records, run_study
from study.cluster import tune_loop
from study.search.samplers import make_sampler
from study.settings import StudySettings
from study.trial import Progress, embeddings_file, record
from study.trial_spec import TrialSpec

SLOTS = 2


def leave_files(folder: Path, replicate: object) -> None:
    """What a training leaves beside its record, as small as can be: a checkpoint, embeddings of one frame."""
    one, text = np.zeros(1, np.int64), np.array([""])
    frame = Embeddings(np.zeros((1, 2), np.float32), one, one, text, text, one)
    write_whole(folder / f"{replicate}.arrow", embeddings_file(frame))
    with zipfile.ZipFile(folder / f"{replicate}.pt", "w") as archive:
        archive.writestr("weights", "none")


def trivial_trial(spec: TrialSpec, folder: Path, *, device: str, seconds: float) -> Iterator[Progress]:
    """In place of `study.trial.run_trial`: wait, then leave the records of a training with all metrics."""
    import json

    for number, one in enumerate(spec.replicates):
        time.sleep(seconds)
        row = settings_row(spec.config(one)) | {"status": "ok", "data_hash": "none", "device": device}
        row |= dict.fromkeys(METRICS, row["temperature"])
        leave_files(folder, one)
        losses = [1 / (step + 1) for step in range(600)]
        write_whole(folder / f"{one}.json", json.dumps(record(spec, one, Outcome(row, losses))).encode())
        yield Progress(number + 1, 0, None)


def settings(out: Path, n_trials: int, at_once: int = 1) -> StudySettings:
    return StudySettings(
        dataset="sleepeeg-sim",
        subjects=3,
        name="bench",
        out=str(out),
        trials=n_trials,
        baseline_trials=0,
        references=(),
        seeds=(0,),
        sampler="random",
        address="local",
        max_concurrent=at_once,
    )


class Watch:
    """Stands for `study.records.save`: when each trial was recorded, and the driver's memory at that time."""

    def __init__(self) -> None:
        self.stamps: list[float] = []
        self.memory_mb: list[float] = []
        self._save = records.save

    def __call__(self, folder: Path, item: dict[str, Any]) -> Path:
        self.stamps.append(time.perf_counter())
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory_mb.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        return self._save(folder, item)


def timed_study(study: StudySettings, seconds: float, **more: Any) -> tuple[Watch, float]:
    """Run it with trials that take so long; what was seen, and seconds from Tune's start to the end."""
    watch = Watch()
    began = time.perf_counter()
    run_trials = tune_loop.run_trials

    def timed(*args: Any, **given: Any) -> None:
        nonlocal began
        began = time.perf_counter()
        run_trials(*args, **given)

    with (
        patch.object(tune_loop, "run_trial", partial(trivial_trial, seconds=seconds)),
        patch.object(tune_loop, "run_trials", timed),
        patch.object(records, "save", watch),
    ):
        run_study.run_study(study, **more)
    return watch, time.perf_counter() - began


class Stamps(tune.Callback):
    """When each trial ended."""

    def __init__(self) -> None:
        self.stamps: list[float] = []

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.stamps.append(time.perf_counter())


def bare_tune(n_trials: int, seconds: float, storage: Path) -> tuple[Stamps, float]:
    """When the trials ended of Ray Tune alone, and seconds that it takes."""

    def waits(config: dict[str, Any]) -> None:
        time.sleep(seconds)
        tune.report({"loss": config["x"]})

    seen = Stamps()
    ray.init("local", num_cpus=SLOTS, log_to_driver=False, configure_logging=False, include_dashboard=False)
    try:
        tuner = tune.Tuner(
            waits,
            param_space={"x": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(num_samples=n_trials, max_concurrent_trials=SLOTS, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=str(storage), verbose=0, callbacks=[seen]),
        )
        began = time.perf_counter()
        tuner.fit()
        return seen, time.perf_counter() - began
    finally:
        ray.shutdown()


def overhead(n_trials: int, seconds: float, folder: Path) -> None:
    seen, bare = bare_tune(n_trials, seconds, folder / "bare")
    watch, ours = timed_study(settings(folder, n_trials, SLOTS), seconds)
    ours_s, bare_s = (took * SLOTS / n_trials - seconds for took in (ours, bare))
    report(f"trial_overhead_{n_trials}_s", ours_s, "s", baseline=bare_s)
    waves = n_trials * 9 // 10 // SLOTS
    ours_s, bare_s = (
        (stamps[-1] - stamps[-1 - waves * SLOTS]) / waves - seconds for stamps in (watch.stamps, seen.stamps)
    )
    report(f"steady_trial_overhead_{n_trials}_s", ours_s, "s", baseline=bare_s)


def many(n_trials: int, folder: Path) -> None:
    study = settings(folder, n_trials)
    watch, _ = timed_study(study, 0.0)
    tenth = n_trials // 10
    for at in range(tenth, n_trials + 1, tenth):
        seconds = (watch.stamps[at - 1] - watch.stamps[at - tenth]) / (tenth - 1)
        print(f"{at} trials: {seconds:.3f} s a trial, {watch.memory_mb[at - 1]:.0f} MB", file=sys.stderr)
    first = (watch.stamps[tenth] - watch.stamps[0]) / tenth
    last = (watch.stamps[-1] - watch.stamps[-1 - tenth]) / tenth
    report("ten_thousand_trials", last, f"s, of {n_trials}", baseline=first)
    grown = watch.memory_mb[-1] - watch.memory_mb[tenth]
    report("ten_thousand_trials_mb", grown / (n_trials - tenth) * 100, "MB per 100 trials")
    began = time.perf_counter()
    timed_study(study, 0.0, extend=2)
    report("resume_ten_thousand_s", time.perf_counter() - began, f"s, of {n_trials}")


def tpe(sizes: tuple[int, ...]) -> None:
    """Milliseconds for one setting of three hyper-parameters."""
    kinds = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("a", "b", "c")}
    for n in sizes:
        took: dict[str, list[float]] = {}
        for name in ("tpe", "random"):
            study = optuna.create_study(directions=["maximize", "maximize"])
            sampler = make_sampler("random", 0, 0, kinds)
            for _ in range(n):
                params = {
                    key: sampler.sample_independent(study, None, key, kind) for key, kind in kinds.items()
                }
                values = [params["a"], 1 - params["a"] + 0.1 * params["b"]]
                study.add_trial(optuna.create_trial(params=params, distributions=kinds, values=values))
            for number in range(5):
                study.sampler = make_sampler(name, 0, n + number, kinds)
                began = time.perf_counter()
                study.ask(kinds)
                took.setdefault(name, []).append(1000 * (time.perf_counter() - began))
        report(f"tpe_ask_ms_{n}", took["tpe"], "ms", baseline=median(took["random"]))


def main() -> None:
    parser = parser_of("overhead", __doc__)
    parser.add_argument("--long", action="store_true", help="the sizes that the figures are promised for")
    parser.add_argument("--trials", type=int, metavar="N", help="of the overhead (default 20, long 200)")
    parser.add_argument("--only", choices=("overhead", "many", "tpe"), help="this part")
    parser.add_argument(
        "--many", type=int, metavar="N", help="trials that do nothing (default 300, long 10000)"
    )
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="emargin-bench-"))
    try:
        if given.only in (None, "overhead"):
            overhead(given.trials or (200 if given.long else 20), 1.0, folder / "overhead")
        if given.only in (None, "many"):
            many(given.many or (10_000 if given.long else 300), folder / "many")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if given.only in (None, "tpe"):
        tpe((100, 1000, 4000) if given.long else (100, 500))


if __name__ == "__main__":
    main()
