"""The engine of a GPU trains the waiting trials of a study in one stack. It is plain Python and needs no Ray.

A trial hands in its trainings and gets their States and ends, as from `train_many`. The engine starts a stack
when as many trials wait as fit the GPU, or after WAIT_S; later trials join the next stack. It ends once no
trial has asked for IDLE_S seconds. `study.cluster.engine_actor` runs it as a Ray actor.
"""

import os
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from queue import SimpleQueue

import torch

from emargin_train import checkpoint
from emargin_train.config import DataConfig, TrainConfig
from emargin_train.data import load
from emargin_train.data.frames import Splits
from emargin_train.train import Diverged
from emargin_train.train_many import train_many
from study.trial import MACHINE

WAIT_S = 2.0
IDLE_S = 60.0


@dataclass(frozen=True)
class Sharing:
    """How the trials of one run of a study share GPUs.

    n_trials: how many trials fit one GPU
    hand_out_s: seconds between the States that are handed out; the last State is always handed out
    threads: of an engine, as many as of a trial
    """

    n_trials: int
    hand_out_s: float
    threads: int
    wait_s: float = WAIT_S
    idle_s: float = IDLE_S
    run: str = field(default_factory=lambda: f"emargin-{uuid.uuid4().hex[:12]}")


@dataclass(frozen=True)
class Broken:
    """An error that a stack raised, in place of its results. is_machine: whether the machine is at fault"""

    is_machine: bool
    text: str


# The number of a training; its checkpoint, or its losses until it diverged; how many trainings its stack has.
Item = tuple[int, bytes | list[float] | Broken, int]


@dataclass(eq=False)
class Waiting:
    """A trial that has handed in its trainings. key: equal for trainings that can be in one stack"""

    key: Hashable
    configs: Sequence[TrainConfig]
    resume: Sequence[bytes | None]
    since: float
    items: "SimpleQueue[Item | None]" = field(default_factory=SimpleQueue)  # None: no more will come
    left: int = field(init=False)  # trainings that have not ended

    def __post_init__(self) -> None:
        self.left = len(self.configs)


def next_stack(waiting: Sequence[Waiting], now: float, *, n_trials: int, wait_s: float) -> list[Waiting]:
    """The waiting trials that are trained next: the first one, and all that fit into its stack.

    The list is empty while others may still come: fewer than `n_trials` wait, and the first one has waited
    for less than `wait_s`.
    """
    if not waiting or (len(waiting) < n_trials and now - waiting[0].since < wait_s):
        return []
    return [trial for trial in waiting if trial.key == waiting[0].key]


class Engine:
    """Trains what trials hand in, stack after stack, in a separate thread; needs no Ray."""

    def __init__(self, sharing: Sharing, device: str, end: Callable[[], None]) -> None:
        torch.set_num_threads(sharing.threads)
        self._sharing, self._device, self._end = sharing, device, end
        self._waiting: list[Waiting] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._serve, daemon=True).start()

    def pid(self) -> int:
        return os.getpid()

    def train(
        self, key: Hashable, configs: Sequence[TrainConfig], resume: Sequence[bytes | None]
    ) -> Iterator[Item]:
        """Yield the items of one trial's trainings. If the trial dies, its trainings still run to the end."""
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
                torch.cuda.empty_cache()  # for the trials' own processes
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
        except Exception as error:  # each trial decides what to do about it
            too_large = isinstance(error, torch.OutOfMemoryError)  # single trainings may fit
            broken = Broken(isinstance(error, MACHINE) and not too_large, traceback.format_exc())
            for trial in (trial for trial in stack if trial.left):
                trial.items.put((0, broken, len(own)))
                trial.items.put(None)


@lru_cache(maxsize=64)
def _load(data: DataConfig) -> Splits:
    return load(data)
