"""The plan of a study in words: trials, settings, resources, and the time from measured steps."""

import os
import time
from dataclasses import dataclass

import torch

from emargin_train.config import TrainConfig
from emargin_train.data import load
from emargin_train.pretrain import Outcome, pretrain
from emargin_train.train import Diverged, train
from study import plan, records
from study.cluster import connection
from study.run_study import checked
from study.settings import StudySettings
from study.space import points

N_STEPS = 6


@dataclass(frozen=True)
class Steps:
    """The first steps of a method, tried on this machine.

    precision: None where the method has no such hyper-parameter
    iterations: the number of steps of each of its trainings
    step_s: seconds of one step, the first left out; 0 where the loss diverged, since nothing is trained then
    diverged: why the loss is not finite, else None
    """

    method: str
    precision: str | None
    iterations: int
    step_s: float
    diverged: str | None

    @property
    def name(self) -> str:
        return f"{self.method} in {self.precision}" if self.precision else self.method

    def told(self) -> str:
        if self.diverged is not None:
            return f"{self.name} diverges: {self.diverged}"
        return f"{self.name}: {1000 * self.step_s:.0f} ms a step"


def describe(settings: StudySettings, extend: int | None = None) -> str:
    """One line for each arm, then resources and time. To measure the time, it trains each method for a few
    steps, in each precision of the study, and evaluates once.

    extend: the number of trials that an existing study would get in addition
    Raises UserError for everything for which the study would be refused.
    """
    settings, study_plan, _ = checked(settings, extend)
    device = "cuda" if settings.gpus_per_trial and torch.cuda.is_available() else "cpu"
    n_at_once = _at_once(settings)
    config = plan.first_config(settings, study_plan)
    splits = load(config.data)
    evaluation_s = _evaluation_s(config, device)
    done = set(records.keys(settings.folder))

    lines = [f"study {settings.name}: would be written to {settings.folder}"]
    lines += [f"note: {settings.note}"] if settings.note else []
    lines += [f"data {settings.dataset}:"]
    lines += [f"  {line}" for line in splits.described]
    rows = left = 0
    work_s = 0.0
    tried: list[Steps] = []
    for arm in study_plan:
        n = len(arm.numbers) * len(arm.replicates)
        rows += n
        own = [f"{arm.trial_name(i)}-{one}" for i in arm.numbers for one in arm.replicates]
        left += (n_left := len(set(own) - done))
        steps = _steps(settings, arm, device)
        tried += [one for one in steps if one.iterations]
        costs = [one.iterations * one.step_s + evaluation_s * (one.diverged is None) for one in steps]
        work_s += n_left * sum(costs) / len(costs)
        told = arm.varied | {k: v for k, v in arm.space.items() if k in settings.hyperparameters}
        space = ", ".join(f"{name} {domain}" for name, domain in told.items())
        seeds = ",".join(map(str, dict.fromkeys(one.seed for one in arm.replicates)))
        n_splits = len({one.split_seed for one in arm.replicates})
        trials = f"{len(arm.numbers)} trial{'' if len(arm.numbers) == 1 else 's'}"
        times = f"seeds {seeds}" + (f" × {n_splits} splits" if n_splits > 1 else "")
        lines.append(f"{arm.role} {arm.method}: {trials} × {times}{'; ' + space if space else ''}")
    gpus = f"{settings.gpus_per_trial} GPU"
    if settings.gpus is None:
        gpus = "a share of a GPU that is measured at the start (here counted as a whole one)"
    lines += [
        f"goals: {', '.join(settings.goals)}; sampler {settings.sampler}; {config.iterations} steps each",
        f"rows: {rows}" + (f", {rows - left} of them done already" if left < rows else ""),
        f"a trial: {settings.cpus_per_trial} CPU, {gpus}; {n_at_once} at once here",
        f"measured here, on the {'GPU' if device == 'cuda' else 'CPU'}:",
        *(f"  {one.told()}" for one in tried),
        f"  {evaluation_s:.1f} s an evaluation",
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


def _steps(settings: StudySettings, arm: plan.Arm, device: str) -> list[Steps]:
    """The first steps of an arm at the low end of its space, once for each precision of the study."""
    if "precision" not in arm.space:
        return [_tried(plan.lowest_config(settings, arm), None, device)]
    return [
        _tried(plan.lowest_config(settings, arm, precision=value), str(value), device)
        for value in points(arm.space["precision"])
    ]


def _tried(config: TrainConfig, precision: str | None, device: str) -> Steps:
    if config.iterations == 0:
        return Steps(config.method, precision, 0, 0.0, None)
    stamps = []
    try:
        short = config.changed(iterations=N_STEPS + 1, report_every=1)
        for _ in train(short, load(config.data), device=device):
            stamps.append(time.perf_counter())
    except Diverged as error:
        return Steps(config.method, precision, config.iterations, 0.0, str(error))
    return Steps(config.method, precision, config.iterations, (stamps[-1] - stamps[0]) / N_STEPS, None)


def _evaluation_s(config: TrainConfig, device: str) -> float:
    """Seconds of one evaluation, that of an encoder without training."""
    random = TrainConfig(data=config.data, method="random", encoder=config.encoder)
    *_, outcome = pretrain(random, device=device)
    assert isinstance(outcome, Outcome)
    return float(outcome.row["eval_seconds"])
