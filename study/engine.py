"""The engine of a GPU: a process that trains the waiting trials of a study in one stack.

Trials that share a GPU (`--gpus-per-trial 0.25`) hand their trainings to its engine and get back their own
States, as from `train_many`; all else (data, evaluation, files, reports to Tune) they do themselves, side by
side, while the engine trains the next stack. So Tune and Optuna see single trials. An engine waits until as
many trials wait as fit the GPU, or WAIT_S; who comes later joins the next stack.

An engine is Ray's, detached and on the trial's node; it ends with the study, or by itself once nobody has
asked for IDLE_S. A stack that raises is each of its trials' to take apart (`study.trial`); an engine that
died is the fault of its machine.
"""

import contextlib
import os
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from emargin_train import checkpoint
from emargin_train.config import DataConfig, TrainConfig
from emargin_train.cost import use_tf32
from emargin_train.data import load
from emargin_train.data.frames import Splits
from emargin_train.train import Diverged, State, start
from emargin_train.train_many import TrainMany, shapes, train_many
from study.trial import MACHINE

WAIT_S = 2.0
IDLE_S = 60.0
BEGIN_S = 300.0  # starting Python, torch and CUDA on a busy machine
MOST_TRIALS = 1000  # that may wait at an engine


class EngineLost(OSError):
    """The engine ended while it trained, or its machine failed it."""


@dataclass(frozen=True)
class Sharing:
    """How the trials of one run of a study share GPUs.

    n_trials: that fit one GPU; hand_out_s: a State on the way is handed out that often, the last always
    threads, tf32: of an engine, as of a trial
    """

    n_trials: int
    hand_out_s: float
    threads: int
    tf32: bool
    wait_s: float = WAIT_S
    idle_s: float = IDLE_S
    namespace: str = field(default_factory=lambda: f"emargin-{uuid.uuid4().hex[:12]}")


@dataclass(frozen=True)
class Broken:
    """What a stack raised, in place of the rest. is_machine: of the machine, not of a setting"""

    is_machine: bool
    text: str


Item = tuple[
    int, bytes | list[float] | Broken, int
]  # member; checkpoint, or losses until it diverged; together


@dataclass(eq=False)
class Waiting:
    """A trial that has handed in its trainings. key: what trainings of one stack have in common"""

    key: Hashable
    configs: Sequence[TrainConfig]
    resume: Sequence[bytes | None]
    since: float
    items: "SimpleQueue[Item | None]" = field(default_factory=SimpleQueue)  # None: no more will come
    left: int = field(init=False)  # trainings that have not ended

    def __post_init__(self) -> None:
        self.left = len(self.configs)


def next_stack(waiting: Sequence[Waiting], now: float, *, n_trials: int, wait_s: float) -> list[Waiting]:
    """Who is trained next, of those waiting in order of arrival: the first, and all that fit into its stack.

    Nobody yet, where others may come: fewer than `n_trials` wait, and the first for less than `wait_s`.
    """
    if not waiting or (len(waiting) < n_trials and now - waiting[0].since < wait_s):
        return []
    return [trial for trial in waiting if trial.key == waiting[0].key]


class Engine:
    """Trains what is handed in, stack after stack, in a thread of its own; needs no Ray."""

    def __init__(self, sharing: Sharing, device: str, end: Callable[[], None]) -> None:
        torch.set_num_threads(sharing.threads)
        use_tf32(sharing.tf32)
        self._sharing, self._device, self._end = sharing, device, end
        self._waiting: list[Waiting] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._serve, daemon=True).start()

    def pid(self) -> int:
        return os.getpid()

    def train(
        self, key: Hashable, configs: Sequence[TrainConfig], resume: Sequence[bytes | None]
    ) -> Iterator[Item]:
        """What becomes of one trial's trainings. An asker that is gone has them finished for nothing."""
        trial = Waiting(key, configs, resume, time.monotonic())
        with self._changed:
            self._waiting.append(trial)
            self._changed.notify()
        while (item := trial.items.get()) is not None:
            yield item

    def _serve(self) -> None:
        s, last = self._sharing, time.monotonic()
        while True:
            with self._changed:
                now = time.monotonic()
                stack = next_stack(self._waiting, now, n_trials=s.n_trials, wait_s=s.wait_s)
                self._waiting = [trial for trial in self._waiting if trial not in stack]
                if not stack and not self._waiting and now - last > s.idle_s:
                    break
                if not stack:
                    self._changed.wait(0.1)
            if stack:
                self._train(stack)
                last = time.monotonic()
        self._end()

    def _train(self, stack: list[Waiting]) -> None:
        own = [(trial, i) for trial in stack for i in range(len(trial.configs))]
        configs = [trial.configs[i] for trial, i in own]
        handed_out = dict.fromkeys(range(len(own)), time.monotonic())
        try:
            splits = [_load(config.data) for config in configs]
            resume = [trial.resume[i] for trial, i in own]
            for k, item in train_many(configs, splits, resume=resume, device=self._device):
                (trial, i), now = own[k], time.monotonic()
                ended = isinstance(item, Diverged) or item.step >= configs[k].iterations
                if isinstance(item, Diverged):
                    trial.items.put((i, item.losses, len(own)))
                elif ended or now - handed_out[k] >= self._sharing.hand_out_s:
                    trial.items.put((i, checkpoint.to_bytes(item), len(own)))
                    handed_out[k] = now
                trial.left -= ended
                if not trial.left:
                    trial.items.put(None)
        except Exception as error:  # each trial says for itself what it makes of it
            broken = Broken(isinstance(error, MACHINE), traceback.format_exc())
            for trial in (trial for trial in stack if trial.left):
                trial.items.put((0, broken, len(own)))
                trial.items.put(None)


@lru_cache(maxsize=64)
def _load(data: DataConfig) -> Splits:
    return load(data)


def client(sharing: Sharing) -> TrainMany:
    """`train_many` by the engine of the GPU that Ray gave to this process."""

    def train(
        configs: Sequence[TrainConfig],
        splits: Sequence[Splits],
        *,
        resume: Sequence[Path | bytes | None] | None = None,
        device: str,
    ) -> Iterator[tuple[int, State | Diverged]]:
        states = [start(c, s, device) for c, s in zip(configs, splits, strict=True)]
        key = shapes(states[0])
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
    """The engine of this process's GPU, begun where there is none, once it answers."""
    node, gpu = ray.get_runtime_context().get_node_id(), str(ray.get_gpu_ids()[0])
    actor: Any = ray.remote(Engine).options(
        name=f"engine-{node}-{gpu}",
        namespace=sharing.namespace,
        get_if_exists=True,
        lifetime="detached",  # belongs to no trial; ends by itself
        num_cpus=0,
        num_gpus=0,  # the GPU is its trials'; so that Ray leaves the variable alone:
        runtime_env={"env_vars": {"CUDA_VISIBLE_DEVICES": gpu, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}},
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        max_concurrency=MOST_TRIALS,
    )
    deadline = time.monotonic() + BEGIN_S
    while True:
        engine = actor.remote(sharing, device, _end_self)
        try:
            ray.get(engine.pid.remote(), timeout=BEGIN_S)
            return engine
        except RayActorError:  # one that is just ending has the name a little longer
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def end_all(sharing: Sharing) -> None:
    """End the engines of a run of a study; from its driver."""
    for named in ray.util.list_named_actors(all_namespaces=True):
        if named["namespace"] == sharing.namespace:
            with contextlib.suppress(ValueError):  # it has ended by itself
                ray.kill(ray.get_actor(**named))
