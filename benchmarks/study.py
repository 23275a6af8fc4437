"""A study on a CPU, compared with the same trainings one after another in plain PyTorch.

    python -m benchmarks.study             # parts of both, timed and extrapolated; two minutes
    python -m benchmarks.study --long      # the study itself is run: 8 trials x 3 seeds, an hour on two cores

All times are of the processor, with one thread, as a worker has. The parts of both take turns, so that the
ratio is the same on a busy machine; its baseline was 1,563 s of wall-clock time on one day and 3,531 s on
another.

cpu_study_vs_sequential
    seconds of 8 trials x 3 seeds, 600 steps each, simulated sleep EEG, full evaluation and (--long) all of
    the study's processes; baseline: the released loss, encoder and evaluation (KMeans, Silhouette, DBI, CH by
    scikit-learn; a probe that encodes its data anew in each epoch), timed in parts and extrapolated to 24.
    Wanted: 5 times as fast.
"""

import statistics
import tempfile
import time
from functools import partial

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score
from torch.nn import functional as F

from benchmarks.common import parser_of, report
from benchmarks.plain_tune import took
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
        start = time.process_time()
        x = torch.from_numpy(splits.train.x(rng.permutation(len(splits.train))[:8]))
        h = encoder(x).flatten(0, 1)
        optimizer.zero_grad()
        margin_loss(h, torch.ones(len(h)), margin=5.0, temperature=0.1).backward()
        optimizer.step()
        times.append(time.process_time() - start)
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


def published_seconds(splits: Splits) -> float:
    """Of one training with its evaluation, as published."""
    encoder = PublishedEncoder(splits.train.shape[2])
    step = statistics.median(published_step(splits, encoder))
    start = time.process_time()
    published_evaluation(splits, encoder)
    return STEPS * step + time.process_time() - start


def our_seconds(splits: Splits, config: TrainConfig) -> float:
    """Of one training with its evaluation, as a worker of a study does them."""
    last, times = time.process_time(), []
    for state in train(config, splits):
        times.append((time.process_time() - last) / config.report_every)
        last = time.process_time()
        method = state.method
    evaluate(partial(encode, method), splits, choose(splits))
    return STEPS * statistics.median(times[1:]) + time.process_time() - last


def study_seconds() -> float:
    """Of all processes of the whole study, from the command to the report."""
    grid = "--threshold=0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.95"
    with tempfile.TemporaryDirectory() as out:
        command = ["-m", "study.run", "--dataset", DATASET, "--design", "grid", grid]
        command += ["--margin", "5", "--temperature", "0.1", "--iterations", str(STEPS), "--seeds", "0,1,2"]
        command += ["--references", "", "--baseline-trials", "0", "--address", "local", "--out", out]
        return took(command)[1]


def main() -> None:
    parser = parser_of("study", __doc__)
    parser.add_argument("--long", action="store_true", help="run the study instead of extrapolating it")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="of both, in turns (default 2)")
    given = parser.parse_args()
    config = TrainConfig.from_dict(
        {"dataset": DATASET, "iterations": TIMED_STEPS, "report_every": 5, "dissimilar_share": 0.3}
    )
    splits = load(config.data)
    torch.set_num_threads(1)
    baseline, ours = [], []
    for _ in range(given.rounds):
        baseline.append(TRIALS * SEEDS * published_seconds(splits))
        ours.append(TRIALS * SEEDS * our_seconds(splits, config))
    if given.long:
        ours = [study_seconds()]
    report("cpu_study_vs_sequential", ours, "s", baseline=statistics.median(baseline))


if __name__ == "__main__":
    main()
