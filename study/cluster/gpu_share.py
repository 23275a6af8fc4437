"""`--gpus-per-trial auto`: how many trials should share a GPU, measured on one before the study begins.

Trials on a GPU are trained in one stack (`study.cluster.engine`). A stack of twice as many trials is worth it
if it lowers the time of a trial's step and fits into the memory.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import ray
import torch

from emargin_train.config import TrainConfig
from emargin_train.data import load
from emargin_train.errors import UserError
from emargin_train.train_many import can_stack, train_many

MOST = 16  # trials on a GPU at most; each also has a process on a CPU
STEPS = 20  # steps of warm-up, and then as many that are timed
PAYS = 0.9  # a trial's step must take at most this share of its time in a stack of half the size
ROOM = 0.8  # this share of the memory may be used; the rest is left for torch
PROCESS_MB = 2100  # an evaluating process took this on an H200: its CUDA context, libraries and embeddings


@dataclass(frozen=True)
class Measured:
    """Measurements of a stack of trials. step_s: seconds of its step; peak_mb: its peak memory on the GPU"""

    step_s: float
    peak_mb: float


def trials_per_gpu(measure: Callable[[int], Measured], total_mb: float) -> int:
    """The largest of 1, 2, 4, 8, 16 that fits and is worth it. Larger ones are not measured after that."""
    n, best = 1, measure(1)
    while 2 * n <= MOST:
        if 2 * best.peak_mb + (2 * n + 1) * PROCESS_MB > ROOM * total_mb:
            break
        twice = measure(2 * n)
        if twice.step_s / (2 * n) > PAYS * best.step_s / n:
            break
        n, best = 2 * n, twice
    return n


def measure(config: TrainConfig, seeds: tuple[int, ...], device: str, n_trials: int) -> Measured:
    """Train a stack of so many trials, each with all seeds, for a few steps."""
    short = config.changed(iterations=2 * STEPS, report_every=STEPS)
    configs = [replace(short, seed=seed) for seed in seeds] * n_trials
    splits = [load(config.data)] * len(configs)
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    stamps: dict[int, float] = {}
    for _, item in train_many(configs, splits, device=device):
        stamps.setdefault(getattr(item, "step", -1), time.perf_counter())
    if not {STEPS, 2 * STEPS} <= stamps.keys():
        raise UserError(
            "--gpus-per-trial is auto, but the training that is measured diverges: give a share such as 0.25"
        )
    peak_mb = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else 0.0
    return Measured((stamps[2 * STEPS] - stamps[STEPS]) / STEPS, peak_mb)


def _probe(config: TrainConfig, seeds: tuple[int, ...]) -> int:
    if not torch.cuda.is_available():
        raise UserError(
            "--gpus-per-trial is auto, but torch finds no GPU on its node: give a share such as 0.25"
        )
    total_mb = torch.cuda.get_device_properties(0).total_memory / 2**20
    return trials_per_gpu(lambda n: measure(config, seeds, "cuda", n), total_mb)


def measured_share(config: TrainConfig, seeds: tuple[int, ...]) -> float:
    """1/n for the n trials that should share a GPU, measured on a GPU of the cluster once it has one.

    A trial of a method that cannot be stacked takes a whole GPU. Raises UserError where the cluster has no
    GPU that torch can use.
    """
    if not can_stack(config):
        return 1.0
    probe = ray.remote(num_cpus=1, num_gpus=1, max_retries=2)(_probe)
    try:
        return 1 / ray.get(probe.remote(config, seeds))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise
