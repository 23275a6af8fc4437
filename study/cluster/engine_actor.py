"""Trials that share a GPU (`--gpus-per-trial 0.25`): a Ray actor runs the engine of each GPU.

The actor is detached, and runs on the GPU's node (`study.cluster.engine`). It trains for the trials. They do
everything else themselves (data, evaluation, files, reports to Tune), in parallel, while the actor trains the
next stack; so Tune and Optuna see single trials. If a stack raises an error, each of its trials continues
alone (`study.trial`). If an engine dies, its machine is taken to be at fault. Engines end with the study, or
by themselves when the study was killed.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from emargin_train import checkpoint
from emargin_train.config import TrainConfig
from emargin_train.data.frames import Splits
from emargin_train.train import Diverged, State, start
from emargin_train.train_many import TrainMany, stack_key
from study.cluster.engine import Broken, Engine, Sharing

BEGIN_S = 300.0  # starting Python, torch and CUDA on a busy machine


class EngineLost(OSError):
    """The engine ended while it trained, or its machine failed."""


def client(sharing: Sharing) -> TrainMany:
    """A function like `train_many`, which lets the engine of this process's GPU do the training."""

    def train(
        configs: Sequence[TrainConfig],
        splits: Sequence[Splits],
        *,
        resume: Sequence[Path | bytes | None] | None = None,
        device: str,
    ) -> Iterator[tuple[int, State | Diverged]]:
        states = [start(c, s, device) for c, s in zip(configs, splits, strict=True)]
        key = stack_key(states[0])
        saved = [
            path.read_bytes() if isinstance(path, Path) else path for path in resume or [None] * len(states)
        ]
        try:
            engine = _engine(sharing, device)
            for reference in engine.train.remote(key, configs, saved):
                i, item, together = ray.get(reference)
                if isinstance(item, Broken):
                    raise (EngineLost if item.is_machine else RuntimeError)(item.text)
                if isinstance(item, bytes):
                    states[i].restore(checkpoint.load(item))
                    states[i].together = together
                yield i, states[i] if isinstance(item, bytes) else Diverged(item, together)
        except RayActorError as error:
            raise EngineLost(f"the engine of this GPU ended: {error}") from error

    return train


def _end_self() -> None:
    ray.kill(ray.get_runtime_context().current_actor)


def _engine(sharing: Sharing, device: str) -> Any:
    """The engine of this process's GPU, once it answers. It is started if there is none."""
    node, gpu = ray.get_runtime_context().get_node_id(), str(ray.get_gpu_ids()[0])
    actor: Any = ray.remote(Engine).options(
        name=f"engine-{node}-{gpu}",
        namespace=sharing.run,
        get_if_exists=True,
        lifetime="detached",  # belongs to no trial; ends by itself
        num_cpus=0,
        num_gpus=0,  # Ray counts the GPU for the trials; so that Ray leaves the variable alone:
        runtime_env={"env_vars": {"CUDA_VISIBLE_DEVICES": gpu, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}},
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        max_concurrency=2 * sharing.n_trials + 2,  # threads: each trial's, and those that dead trials left
    )
    deadline = time.monotonic() + BEGIN_S
    while True:
        engine = actor.remote(sharing, device, _end_self)
        try:
            ray.get(engine.pid.remote(), timeout=BEGIN_S)
            return engine
        except RayActorError:  # an actor that is just ending keeps its name for a moment
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def end_all(sharing: Sharing) -> None:
    """End the engines of a run of a study; its driver calls this."""
    for named in ray.util.list_named_actors(all_namespaces=True):
        if named["namespace"] == sharing.run:
            with contextlib.suppress(ValueError):  # it has ended by itself
                ray.kill(ray.get_actor(**named))
