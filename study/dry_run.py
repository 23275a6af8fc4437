"""The plan of a study in words: trials, settings, resources, and the time from measured steps."""

import os
import time

import torch

from emargin_train.config import TrainConfig
from emargin_train.data import load
from emargin_train.pretrain import Outcome, pretrain
from emargin_train.train import train
from study import plan, results, split_seeds
from study.cluster import connection
from study.settings import StudySettings

N_STEPS = 6


def describe(settings: StudySettings) -> str:
    """One line for each arm, then resources and time. To measure the time, it trains a few steps and
    evaluates once.
    """
    settings = plan.resolved(results.as_stored(settings), split_seeds.by_default(settings))
    study_plan = plan.arms(settings)
    for arm in study_plan:
        arm.check(settings)
    n_at_once = _at_once(settings)
    config = plan.first_config(settings, study_plan)
    splits = load(config.data)
    step_s, measure_s = _measure(config)

    lines = [f"study {settings.name}: would be written to {settings.folder}"]
    lines += [f"note: {settings.note}"] if settings.note else []
    lines += [f"data {settings.dataset}:"]
    lines += [f"  {line}" for line in splits.described]
    rows = 0
    work_s = 0.0
    for arm in study_plan:
        n = len(arm.numbers) * len(arm.replicates)
        rows += n
        iterations = (
            plan.spec(settings, plan.Job(arm, 0, arm.replicates), arm.listed()[0])
            .config(arm.replicates[0])
            .iterations
        )
        work_s += n * (measure_s + iterations * step_s)
        told = arm.varied | {k: v for k, v in arm.space.items() if k in settings.hyperparameters}
        space = ", ".join(f"{name} {domain}" for name, domain in told.items())
        seeds = ",".join(map(str, dict.fromkeys(one.seed for one in arm.replicates)))
        n_splits = len({one.split_seed for one in arm.replicates})
        trials = f"{len(arm.numbers)} trial{'' if len(arm.numbers) == 1 else 's'}"
        times = f"seeds {seeds}" + (f" × {n_splits} splits" if n_splits > 1 else "")
        lines.append(f"{arm.role} {arm.method}: {trials} × {times}{'; ' + space if space else ''}")
    lines += [
        f"goals: {', '.join(settings.goals)}; sampler {settings.sampler}; {config.iterations} steps each",
        f"rows: {rows}",
        f"a trial: {settings.cpus_per_trial} CPU, {settings.gpus_per_trial} GPU; {n_at_once} at once here",
        f"measured here: {1000 * step_s:.0f} ms a step, {measure_s:.1f} s an evaluation",
        f"expected time: about {work_s / n_at_once / 60:.1f} min",
    ]
    return "\n".join(lines)


def _at_once(settings: StudySettings) -> int:
    """How many trials run at once on this machine. Raises UserError where one asks for more than it has."""
    if connection.find_cluster(settings.address) is None:
        connection.check_resources(settings)
    has = {"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()}
    gpus = 1 if settings.gpus is None else settings.gpus  # auto: how many share one is measured at the start
    return connection.concurrency(settings, has, gpus=gpus, started_here=True)


def _measure(config: TrainConfig) -> tuple[float, float]:
    """Seconds of one training step (the first left out) and of one evaluation."""
    short = config.changed(iterations=N_STEPS + 1, report_every=1)
    stamps = []
    for _ in train(short, load(config.data)):
        stamps.append(time.perf_counter())
    *_, outcome = pretrain(TrainConfig(data=config.data, method="random", encoder=config.encoder))
    assert isinstance(outcome, Outcome)
    return (stamps[-1] - stamps[0]) / N_STEPS, outcome.row["eval_seconds"]
