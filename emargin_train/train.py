"""One training: it draws batches, takes steps, and yields its State at intervals."""

import contextlib
import copy
import dataclasses
import math
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import record_function

from emargin_train import checkpoint
from emargin_train import precision as precisions
from emargin_train.config import TrainConfig
from emargin_train.cost import git_revision
from emargin_train.data.frames import Frames, Splits
from emargin_train.data.signal_spec import SignalSpec
from emargin_train.errors import UserError
from emargin_train.methods.base import Batch, Method, Shape
from emargin_train.precision import computing_in

MAY_CHANGE = ("iterations", "report_every", "data_dir")  # these settings may differ on resuming


class Diverged(RuntimeError):
    """The loss of `step` (counted from 1) is not finite.

    losses: the losses of the steps before; last_finite_loss: the last of these, None if there is none
    together: number of trainings in its stack; 1 = it was trained alone
    remark: the known part of the reason, as the end of a sentence
    """

    def __init__(self, losses: list[float], together: int = 1, remark: str = "") -> None:
        self.losses, self.together = losses, together
        self.step = len(losses) + 1
        self.last_finite_loss = losses[-1] if losses else None
        last = f"; the last finite one was {losses[-1]:.6g}" if losses else ""
        super().__init__(f"the loss is not finite at step {self.step}{last}{remark}")


@dataclass
class State:
    """A training after `step` steps. It is live: save or evaluate it before you ask for the next State.

    signal, class_names: what recordings must be like, kept so that the encoder can be used later
    generator: draws the batches, and everything that is random in the method's loss
    losses: the losses of all steps so far; loss: their mean since the previous State
    together: number of trainings in the stack that took the last step; 1 = it was trained alone
    """

    config: TrainConfig
    data_hash: str
    signal: SignalSpec | None
    class_names: tuple[str, ...]
    train: Frames
    method: Method
    optimizer: torch.optim.Optimizer | None
    generator: torch.Generator
    step: int = 0
    loss: float = math.nan
    losses: list[float] = field(default_factory=list)
    together: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Everything that is needed to resume, and where it came from, as plain values and tensors."""
        setup = self.method.setup
        return {
            "config": self.config.to_dict(),
            "shape": list(dataclasses.astuple(setup.shape)),
            "magnitude_scale": setup.magnitude_scale,
            "data_hash": self.data_hash,
            "signal": self.signal.to_dict() if self.signal else None,
            "class_names": list(self.class_names),
            "git_revision": git_revision(),
            "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
            "threads": torch.get_num_threads(),
            "step": self.step,
            "loss": self.loss,
            "losses": self.losses,
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict() if self.optimizer else None,
            "generator": self.generator.get_state(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from the dictionary of `checkpoint.load`. Different settings or data are refused."""
        mine, other = self.config.to_dict(), TrainConfig.from_dict(saved["config"]).to_dict()
        if mine["method"] != other["method"]:
            raise UserError(
                f"the checkpoint was trained with method {other['method']}, not {mine['method']}: "
                "resume with its settings"
            )
        changed = [k for k in mine if k not in MAY_CHANGE and mine[k] != other.get(k)]
        if changed:
            k = changed[0]
            raise UserError(
                f"the checkpoint was trained with {k} {other.get(k)}, not {mine[k]}: resume with its settings"
            )
        if self.data_hash != saved["data_hash"]:
            raise UserError(
                f"the checkpoint was trained on data {saved['data_hash']}, not {self.data_hash}: "
                "resume with the same files"
            )
        self.method.load_state_dict(saved["method"])
        if self.optimizer is not None:
            self.optimizer.load_state_dict(saved["optimizer"])
        self.generator.set_state(saved["generator"])
        self.step, self.loss, self.losses = saved["step"], saved["loss"], list(saved["losses"])


def train(
    config: TrainConfig, splits: Splits, *, resume: Path | None = None, device: str = "cpu"
) -> Iterator[State]:
    """Yield a State every `config.report_every` steps and at the end.

    All randomness comes from `config.seed`, and PyTorch's global generator stays as it is. The same settings
    on the same machine, with the same number of threads (`torch.get_num_threads()`, kept in checkpoints),
    give the same numbers bit by bit, resumed or not. A training that has no steps left yields its State once;
    that is the case for a method of zero steps, and for a training that is resumed at its end.

    Raises Diverged at the first loss that is not finite, before the weights are changed.
    """
    state = start(config, splits, device)
    if resume is not None:
        state.restore(checkpoint.load(resume))
    if state.step >= config.iterations:
        yield state
        return
    reported = state.step
    assert state.optimizer is not None and config.training is not None
    precision = config.training.precision
    state.method.train()
    while state.step < config.iterations:
        with record_function("step"):
            batch = next_batch(state, device)
            drawn = state.generator.get_state()
            with computing_in(precision):
                with own_draws(state.method, config.seed, state.step):
                    loss = state.method.loss(batch, state.generator)
                value = loss.item()
                if not math.isfinite(value):
                    raise Diverged(state.losses, remark=in_float64(state, batch, drawn))
                state.optimizer.zero_grad()
                loss.backward()
                state.optimizer.step()
        state.losses.append(value)
        state.step += 1
        state.method.after_step(state.step)
        if state.step % config.report_every == 0 or state.step == config.iterations:
            state.loss = float(np.mean(state.losses[reported:]))
            reported = state.step
            yield state
            state.method.train()


def in_float64(state: State, batch: Batch, drawn: torch.Tensor) -> str:
    """Whether the loss of a step, which is not finite in float32, is finite in float64: then it overflowed.

    drawn: the state of the generator before the loss
    """
    if state.method.like.dtype == torch.float64:
        return ""
    method = copy.deepcopy(state.method).double()
    tables = {
        name: rows.double() if rows.is_floating_point() else rows for name, rows in batch.tables.items()
    }
    batch = dataclasses.replace(batch, x=batch.x.double(), tables=tables)
    generator = torch.Generator()
    generator.set_state(drawn)
    with own_draws(method, state.config.seed, state.step):
        value = method.loss(batch, generator).item()
    if math.isfinite(value):
        return f"; in float64 this loss is {value:.6g}, so float32 overflows: train with --precision float64"
    return "; in float64 this loss is not finite either"


def start(config: TrainConfig, splits: Splits, device: str = "cpu") -> State:
    """The State before the first step."""
    if len(splits.train) == 0:
        raise ValueError("there is no training sequence")
    if config.training is not None:
        precisions.check(config.training.precision, device)
    method = new_method(config, splits)
    seen = method.seen(splits.train)
    method.prepare(seen)
    method.to(device)
    return State(
        config=config,
        data_hash=splits.data_hash,
        signal=splits.signal,
        class_names=splits.class_names,
        train=seen,
        method=method,
        optimizer=method.optimizer() if config.iterations else None,
        generator=torch.Generator().manual_seed(config.seed),
    )


def new_method(config: TrainConfig, splits: Splits) -> Method:
    """The method with its initial weights, before it has seen any frame."""
    _, n_frames, n_features = config.method_class.seen(splits.train).shape
    shape = Shape(n_frames, n_features, len(splits.class_names), splits.n_channels)
    return config.new_method(shape, splits.magnitude_scale)


@contextlib.contextmanager
def own_draws(method: Method, seed: int, step: int) -> Iterator[None]:
    """Seed PyTorch's global generator for a step, since layers such as dropout use it; then restore it."""
    if not method.draws_from_torch:
        yield
        return
    devices = [method.like.device] if method.like.is_cuda else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed * 2**31 + step)
        yield


def next_batch(state: State, device: str) -> Batch:
    """The batch of the next step, drawn from the State's generator."""
    index = state.method.draw(state.generator)
    chosen, like = index.numpy(), state.method.like
    return Batch(
        x=state.method.to_input(torch.from_numpy(state.train.x(chosen)).to(device)).to(like.dtype),
        index=index,
        labels=torch.from_numpy(state.train.y[chosen]).to(device),
        tables={name: rows[index].to(device) for name, rows in state.method.tables.items()},
    )
