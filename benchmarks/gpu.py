"""Stacked trainings and evaluation on a GPU. Ends with a word where there is none.

    python -m benchmarks.gpu               # a few minutes

gpu_member_step_us        a step of K = 64 members at the sleep shape, for each (wanted: at most 100)
gpu_trials_per_hour_vs_one_process
                          baseline: one plain training with the released loss (wanted: 20 times as many)
gpu_thousand_trainings_min
                          1,000 trainings of 600 steps, extrapolated from those members (wanted: at most 5)
"""

import argparse
import statistics
import sys
import time

import torch

from benchmarks.common import report
from benchmarks.evaluation import side
from benchmarks.published import PublishedEncoder, margin_loss
from emargin_train.config import TrainConfig
from emargin_train.data.frames import Splits
from emargin_train.train_many import train_many

STEPS = 600


def member_step_seconds(splits: Splits, members: int, device: str) -> list[float]:
    """Of each report after the first, for each member and step."""
    every = 10
    more = {"iterations": 4 * every, "report_every": every}
    configs = [TrainConfig.from_dict({"dissimilar_share": 0.3, "seed": k} | more) for k in range(members)]
    times, last, at = [], time.perf_counter(), 0
    for _, state in train_many(configs, [splits] * members, device=device):
        if state.step > at:
            at, now = state.step, time.perf_counter()
            times.append((now - last) / every / members)
            last = now
    return times[1:]


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


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--members", type=int, default=64, metavar="K", help="trainings in the stack")
    parser.add_argument("--device", default="cuda", help="cuda (default); cpu only tries the program out")
    args = parser.parse_args()
    if args.device != "cpu" and not torch.cuda.is_available():
        print("no GPU here: nothing measured", file=sys.stderr)
        return
    splits = Splits(side(24, "abcdef", 0), side(8, "gh", 1), None, tuple("01234"), "none", 1.0, {}, ())
    plain = plain_step_seconds(splits, args.device)
    member = member_step_seconds(splits, args.members, args.device)
    report("gpu_member_step_us", [1e6 * t for t in member], "us", baseline=1e6 * plain)
    per_hour = [3600 / (STEPS * t) for t in member]
    report("gpu_trials_per_hour_vs_one_process", per_hour, "1/h", baseline=3600 / (STEPS * plain))
    report("gpu_thousand_trainings_min", [1000 * STEPS * t / 60 for t in member], "min", baseline=5.0)


if __name__ == "__main__":
    main()
