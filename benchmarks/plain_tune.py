"""A study, compared with what a user would write instead: Ray Tune, Optuna, MLflow and scikit-learn.

    python -m benchmarks.plain_tune                            # ten minutes on two cores
    python -m benchmarks.plain_tune --steps 30 --trials 4

study_vs_plain_tune        seconds of a study of 8 trials x 100 steps on simulated sleep EEG, from the command
                           to the report, full evaluation and MLflow included; baseline: the same with Tune's
                           `OptunaSearch` and `MLflowLoggerCallback`, the released loss in plain PyTorch, and
                           scikit-learn's KMeans, Silhouette, DBI, CH, logistic regression and kNN on the same
                           frames, one thread a trial (wanted: at most 0.286, 3.5 times as fast)
study_vs_plain_tune_cpu    the same in processor time of all processes together, which a busy machine does not
                           change

The data are cached before both.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.common import parser_of, report

DATASET = "sleepeeg-sim"
WORKERS = 2


def plain_trial(config: dict[str, Any]) -> None:
    """Train and measure one setting, as a user might write it."""
    import numpy as np
    import torch
    from ray import tune
    from sklearn.cluster import KMeans
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import (
        balanced_accuracy_score,
        calinski_harabasz_score,
        davies_bouldin_score,
        silhouette_score,
    )
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import StandardScaler

    from benchmarks.published import PublishedEncoder, margin_loss
    from emargin_train.config import TrainConfig
    from emargin_train.data import load
    from emargin_train.evaluation.chosen import choose

    torch.set_num_threads(1)
    splits = load(TrainConfig.from_dict({"dataset": DATASET}).data)
    x_train, rng = torch.from_numpy(splits.train.x()), np.random.default_rng(0)
    torch.manual_seed(0)
    encoder = PublishedEncoder(x_train.shape[2])
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-3)
    for _ in range(config["steps"]):
        x = x_train[torch.from_numpy(rng.permutation(len(x_train))[:8])]
        cosine = torch.nn.functional.cosine_similarity(x[:, :-1], x[:, 1:], dim=-1)
        y = torch.nn.functional.pad((cosine < config["threshold"]).float(), (0, 1)).flatten()
        h = encoder(x).flatten(0, 1)
        optimizer.zero_grad()
        loss = margin_loss(h, torch.ones_like(y), margin=config["margin"], temperature=config["temperature"])
        loss.backward()
        optimizer.step()
    encoder.eval()
    chosen = choose(splits)
    with torch.no_grad():
        h_train = encoder(x_train)[torch.from_numpy(chosen.train)].numpy()
        h = encoder(torch.from_numpy(splits.validation.x()))[torch.from_numpy(chosen.balanced)].numpy()
    y_train, y = splits.train.y[chosen.train], splits.validation.y[chosen.balanced]
    labels = KMeans(len(np.unique(y)), n_init=10, random_state=1).fit_predict(h)
    scale = StandardScaler().fit(h_train)
    linear = LogisticRegression(max_iter=1000, class_weight="balanced").fit(scale.transform(h_train), y_train)
    near = KNeighborsClassifier(15).fit(h_train, y_train)
    tune.report(
        {
            "silhouette": float(silhouette_score(h, labels)),
            "davies_bouldin": float(davies_bouldin_score(h, labels)),
            "calinski_harabasz": float(calinski_harabasz_score(h, labels)),
            "probe_balanced_accuracy": balanced_accuracy_score(y, linear.predict(scale.transform(h))),
            "knn_balanced_accuracy": balanced_accuracy_score(y, near.predict(h)),
        }
    )


def plain(trials: int, steps: int, out: Path) -> None:
    """The baseline's program."""
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # else a trial may start in a folder that is gone
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search.optuna import OptunaSearch

    ray.init("local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    uri = f"sqlite:///{out}/mlflow.db"
    tune.Tuner(
        tune.with_resources(plain_trial, {"cpu": 1}),
        param_space={
            "threshold": tune.uniform(0.2, 0.99),
            "margin": tune.loguniform(0.5, 10),
            "temperature": tune.loguniform(0.05, 1),
            "steps": steps,
        },
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(metric=["silhouette", "probe_balanced_accuracy"], mode=["max", "max"]),
            num_samples=trials,
            max_concurrent_trials=WORKERS,
        ),
        run_config=tune.RunConfig(
            storage_path=str(out / "tune"),
            verbose=0,
            callbacks=[MLflowLoggerCallback(tracking_uri=uri, experiment_name="plain")],
        ),
    ).fit()
    ray.shutdown()


def ours(trials: int, steps: int, out: Path) -> list[str]:
    words = ["-m", "study.run", "--dataset", DATASET, "--trials", str(trials), "--seeds", "0"]
    words += ["--iterations", str(steps), "--baseline", "none", "--references", "", "--address", "local"]
    return [*words, "--max-concurrent", str(WORKERS), "--out", str(out), "--name", "ours"]


def took(words: list[str]) -> tuple[float, float]:
    """Wall-clock seconds of a program, and the processor time of it and all that it starts."""
    begun, spent = time.perf_counter(), dict[int, float]()
    driver = psutil.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while driver.poll() is None:
        try:
            for one in (driver, *driver.children(recursive=True)):
                times = one.cpu_times()
                spent[one.pid] = times.user + times.system
        except psutil.Error:
            pass  # one of them has just ended
        time.sleep(0.1)
    assert driver.returncode == 0, words
    return time.perf_counter() - begun, sum(spent.values())


def main() -> None:
    parser = parser_of("plain_tune", __doc__)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)  # be the baseline, and write here
    given = parser.parse_args()
    if given.plain is not None:
        return plain(given.trials, given.steps, given.plain)
    os.environ["OMP_NUM_THREADS"] = "1"
    from emargin_train.config import TrainConfig
    from emargin_train.data import load

    load(TrainConfig.from_dict({"dataset": DATASET}).data)
    sizes = ["--trials", str(given.trials), "--steps", str(given.steps)]
    found: list[tuple[float, float]] = []
    programs: tuple[Callable[[Path], list[str]], ...] = (
        lambda out: ["-m", "benchmarks.plain_tune", *sizes, "--plain", str(out)],
        lambda out: ours(given.trials, given.steps, out),
    )
    for program in programs:
        with tempfile.TemporaryDirectory() as out:
            found.append(took(program(Path(out))))
    for name, values in zip(
        ("study_vs_plain_tune", "study_vs_plain_tune_cpu"), zip(*found, strict=True), strict=True
    ):
        report(name, values[1], f"s, {given.trials} trials x {given.steps} steps", baseline=values[0])


if __name__ == "__main__":
    main()
