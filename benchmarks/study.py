"""A study on a CPU, compared with the same trainings one after another in plain PyTorch.

    python -m benchmarks.study             # parts of both, timed and extrapolated; three minutes on two cores
    python -m benchmarks.study --long      # the study itself is run: 8 trials x 3 seeds, an hour on two cores

cpu_study_vs_sequential
    seconds of 8 trials x 3 seeds, 600 steps each, simulated sleep EEG, full evaluation and (--long) logging,
    one worker a core; baseline: the released loss, encoder and evaluation (KMeans, Silhouette, DBI, CH by
    scikit-learn; a probe that encodes its data anew in each epoch), timed on two trainings and extrapolated
    to 24. Wanted: 2.4 times as fast.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score
from torch.nn import functional as F

from benchmarks.common import report
from benchmarks.published import PublishedEncoder, margin_loss
from emargin_train.config import TrainConfig
from emargin_train.data import load
from emargin_train.data.frames import Splits
from emargin_train.encode import encode
from emargin_train.evaluation.chosen import choose
from emargin_train.evaluation.evaluate import evaluate
from emargin_train.train import train

TRIALS, SEEDS, STEPS = 8, 3, 600
TIMED_STEPS = 20
DATASET = "sleepeeg-sim"


def published_step(splits: Splits, encoder: PublishedEncoder) -> list[float]:
    """Seconds of each of so many steps, the first few left out."""
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-3, weight_decay=0.0)
    rng, times = np.random.default_rng(0), []
    for _ in range(TIMED_STEPS):
        start = time.perf_counter()
        x = torch.from_numpy(splits.train.x(rng.permutation(len(splits.train))[:8]))
        h = encoder(x).flatten(0, 1)
        optimizer.zero_grad()
        margin_loss(h, torch.ones(len(h)), margin=5.0, temperature=0.1).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return times[3:]


def published_evaluation(splits: Splits, encoder: PublishedEncoder) -> None:
    encoder.eval()
    masks, k = choose(splits), len(splits.class_names)
    with torch.no_grad():
        h = encoder(torch.from_numpy(splits.validation.x()))[torch.from_numpy(masks.balanced)].numpy()
    labels = KMeans(k, n_init=10, random_state=1).fit_predict(h)
    for score in (silhouette_score, davies_bouldin_score, calinski_harabasz_score):
        score(h, labels)
    probe = torch.nn.Linear(h.shape[1], k)
    optimizer = torch.optim.Adam(probe.parameters(), lr=1e-3)
    for _ in range(10):
        for which in np.array_split(np.arange(len(splits.train)), len(splits.train) // 8):
            with torch.no_grad():
                h_train = encoder(torch.from_numpy(splits.train.x(which)))
            optimizer.zero_grad()
            y = torch.from_numpy(splits.train.y[which])
            F.cross_entropy(probe(h_train).flatten(0, 1), y.flatten(), ignore_index=-1).backward()
            optimizer.step()


def sequential_seconds(splits: Splits) -> list[float]:
    """Of 24 trainings, from each of two."""
    totals = []
    for _ in range(2):
        encoder = PublishedEncoder(splits.train.shape[2])
        steps = STEPS * statistics.median(published_step(splits, encoder))
        start = time.perf_counter()
        published_evaluation(splits, encoder)
        totals.append(TRIALS * SEEDS * (steps + time.perf_counter() - start))
    return totals


def seed_seconds(splits: Splits, config: TrainConfig) -> float:
    """Of one training with its evaluation on one thread."""
    last, times = time.perf_counter(), []
    for state in train(config, splits):
        times.append((time.perf_counter() - last) / config.report_every)
        last = time.perf_counter()
        method = state.method
    evaluate(partial(encode, method), splits, choose(splits))
    return STEPS * statistics.median(times[1:]) + time.perf_counter() - last


def study_seconds() -> float:
    """Of the whole study, from the command to the report."""
    grid = "--threshold=0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.95"
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "study.run", "--dataset", DATASET, "--design", "grid", grid]
        command += ["--margin", "5", "--temperature", "0.1", "--iterations", str(STEPS), "--seeds", "0,1,2"]
        command += ["--references", "", "--baseline-trials", "0", "--address", "local", "--out", out]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--long", action="store_true", help="run the study instead of extrapolating it")
    long = parser.parse_args().long
    config = TrainConfig.from_dict(
        {"dataset": DATASET, "iterations": TIMED_STEPS, "report_every": 5, "dissimilar_share": 0.3}
    )
    splits = load(config.data)
    baseline = sequential_seconds(splits)
    if long:
        ours = [study_seconds()]
    else:
        torch.set_num_threads(1)  # as a worker, of which there is one a core
        workers = os.cpu_count() or 1
        ours = [TRIALS * SEEDS * seed_seconds(splits, config) / workers for _ in range(2)]
    report("cpu_study_vs_sequential", ours, "s", baseline=statistics.median(baseline))


if __name__ == "__main__":
    main()
