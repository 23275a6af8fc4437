"""Stacked trainings, evaluation and a study on a GPU. Without a GPU it prints so and ends.

    python -m benchmarks.gpu               # under ten minutes

gpu_member_step_us        a step of K = 64 members at the sleep shape, for each (wanted: at most 100); _tf32:
                          products in TensorFloat-32; baseline: one plain training with the released loss
gpu_trials_per_hour_vs_one_process
                          600 steps of the 64 members from their start to the last State, _tf32 likewise;
                          baseline: the plain training's steps (wanted: 20 times as many)
gpu_evaluation_s          everything on validation, 5,000 x 320, 15,000 training frames, by a process that has
                          evaluated before (wanted: at most 0.2)
gpu_thousand_trainings_min
                          a study whose trials share the GPU by its engine, trained, evaluated, logged: what
                          two more waves of trials take, extrapolated to 1,000 trainings (wanted: at most 5)
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial

import torch

from benchmarks.common import parser_of, report, seconds
from benchmarks.evaluation import made_split
from benchmarks.published import PublishedEncoder, margin_loss
from emargin_train.config import TrainConfig
from emargin_train.data import load
from emargin_train.data.frames import Splits
from emargin_train.data.settings import DataConfig
from emargin_train.encode import encode
from emargin_train.evaluation.chosen import choose
from emargin_train.evaluation.evaluate import evaluate
from emargin_train.train import start
from emargin_train.train_many import train_many

STEPS = 600
SEEDS = 4
DATASET = "sleepeeg-sim"


def stacked(members: int, **more: object) -> list[TrainConfig]:
    return [TrainConfig.from_dict({"dissimilar_share": 0.3, "seed": k} | more) for k in range(members)]


def member_step_seconds(
    splits: Splits, members: int, device: str, every: int = 10, precision: str = "float32"
) -> list[float]:
    """Of each report after the first, for each member and step."""
    configs = stacked(members, iterations=4 * every, report_every=every, precision=precision)
    times, last, at = [], time.perf_counter(), 0
    for _, state in train_many(configs, [splits] * members, device=device):
        if state.step > at:
            at, now = state.step, time.perf_counter()
            times.append((now - last) / every / members)
            last = now
    return times[1:]


def trainings_seconds(splits: Splits, members: int, device: str, precision: str) -> float:
    """Of all members, from the first line to the last State."""
    configs = stacked(members, iterations=STEPS, report_every=STEPS, precision=precision)
    start = time.perf_counter()
    for _, state in train_many(configs, [splits] * members, device=device):
        assert state.step == STEPS
    return time.perf_counter() - start


def plain_step_seconds(splits: Splits, device: str, steps: int = 50) -> float:
    encoder = PublishedEncoder(splits.train.shape[2]).to(device)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-3, weight_decay=0.0)
    x, times = torch.from_numpy(splits.train.x(slice(8))).to(device), []
    for _ in range(steps):
        start = time.perf_counter()
        h = encoder(x).flatten(0, 1)
        optimizer.zero_grad()
        loss = margin_loss(h, torch.ones(len(h), device=device), margin=5.0, temperature=0.1)
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the device
        times.append(time.perf_counter() - start)
    return statistics.median(times[5:])


def evaluation_seconds(splits: Splits, device: str) -> list[float]:
    method = start(TrainConfig.from_dict({"method": "random"}), splits, device).method
    encoding, chosen = partial(encode, method), choose(splits)
    evaluate(encoding, splits, chosen, device=device)  # libraries set themselves up, once a process
    return seconds(lambda: evaluate(encoding, splits, chosen, device=device), 5)


def study_seconds(n_trials: int, gpus: float, steps: int) -> float:
    """Of a study of so many trials, from the command to the report; its data are there already."""
    load(DataConfig(dataset=DATASET))
    thresholds = ",".join(f"{0.2 + 0.7 * i / n_trials:.4f}" for i in range(n_trials))
    seeds = ",".join(map(str, range(SEEDS)))
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "study.run", "--dataset", DATASET, "--design", "grid"]
        command += [f"--threshold={thresholds}", "--margin", "5", "--temperature", "0.1", "--references", ""]
        command += ["--iterations", str(steps), "--seeds", seeds, "--baseline-trials", "0"]
        command += ["--gpus-per-trial", str(gpus), "--address", "local", "--out", out]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"the study failed: {done.stderr.strip()}")
        return time.perf_counter() - start


def main() -> None:
    parser = parser_of("gpu", __doc__)
    parser.add_argument("--members", type=int, default=64, metavar="K", help="trainings in the stack")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU here: nothing measured", file=sys.stderr)
        return
    small = Splits(
        made_split(24, "abcdef", 0), made_split(8, "gh", 1), None, tuple("01234"), "none", 1.0, {}, ()
    )
    plain = plain_step_seconds(small, "cuda")
    for suffix, precision in (("", "float32"), ("_tf32", "tf32")):
        times = member_step_seconds(small, args.members, "cuda", every=50, precision=precision)
        report(f"gpu_member_step_us{suffix}", [1e6 * t for t in times], "us", baseline=1e6 * plain)
        whole = [trainings_seconds(small, args.members, "cuda", precision) for _ in range(3)]
        per_hour = [3600 * args.members / t for t in whole]
        name = f"gpu_trials_per_hour_vs_one_process{suffix}"
        report(name, per_hour, "1/h", baseline=3600 / (STEPS * plain))
    large = Splits(
        made_split(180, "abcdef", 0), made_split(60, "gh", 1), None, tuple("01234"), "none", 1.0, {}, ()
    )
    report("gpu_evaluation_s", evaluation_seconds(large, "cuda"), "s", baseline=0.2)
    at_once = min(16, os.cpu_count() or 1)
    one = study_seconds(at_once, 1 / at_once, STEPS)
    two = study_seconds(3 * at_once, 1 / at_once, STEPS)  # the difference leaves out what happens once
    minutes = (one + (1000 / SEEDS - at_once) * (two - one) / (2 * at_once)) / 60
    report("gpu_thousand_trainings_min", minutes, "min", baseline=5.0)


if __name__ == "__main__":
    main()
