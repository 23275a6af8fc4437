"""One training: batches, steps, and a State every so often."""

import math
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import record_function

from emargin_train import checkpoint
from emargin_train.batches import Batches, make_batches
from emargin_train.config import KNOBS, TrainConfig
from emargin_train.cost import git_revision
from emargin_train.data.frames import Splits
from emargin_train.encoder import CHANNELS, Encoder, ToInput, framing, linear_classifier
from emargin_train.errors import UserError
from emargin_train.objectives import OBJECTIVES, Batch
from emargin_train.pseudo_labels import resolve_threshold

MAY_CHANGE = ("iterations", "report_every", "data_dir")  # on resuming


class Diverged(RuntimeError):
    """The loss of `step` (counted from 1) is not finite.

    losses: of the steps before; last_finite_loss: the last of them, None if there is none
    together: trainings of its stack; 1 = alone
    """

    def __init__(self, losses: list[float], together: int = 1) -> None:
        self.losses, self.together = losses, together
        self.step = len(losses) + 1
        self.last_finite_loss = losses[-1] if losses else None
        super().__init__(
            f"the loss is not finite at step {self.step}; the last finite one was {self.last_finite_loss}"
        )


@dataclass
class State:
    """A training after `step` steps, live: save or evaluate it before asking for the next.

    threshold, dissimilar_share: both as resolved on the training frames; None where the objective has no gate
    losses: of all steps so far; loss: mean of those since the State before
    classifier: on the embeddings before the head, for objectives with cross-entropy
    together: trainings of the stack that took the last step; 1 = alone
    """

    config: TrainConfig
    data_hash: str
    encoder: Encoder
    classifier: nn.Linear | None
    optimizer: torch.optim.Optimizer
    batches: Batches
    threshold: float | None
    dissimilar_share: float | None
    step: int = 0
    loss: float = math.nan
    losses: list[float] = field(default_factory=list)
    together: int = 1

    @property
    def dtype(self) -> torch.dtype:
        return next(self.encoder.parameters()).dtype

    def to_dict(self) -> dict[str, Any]:
        """All that resuming needs, and what tells where it came from: plain values and tensors."""
        return {
            "config": self.config.to_dict(),
            "data_hash": self.data_hash,
            "git_revision": git_revision(),
            "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
            "threads": torch.get_num_threads(),
            "threshold": self.threshold,
            "dissimilar_share": self.dissimilar_share,
            "step": self.step,
            "loss": self.loss,
            "losses": self.losses,
            "encoder": self.encoder.state_dict(),
            "classifier": self.classifier.state_dict() if self.classifier else None,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.batches.generator.get_state(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from `checkpoint.load`'s dictionary; one of other settings or data is refused."""
        mine, other = self.config.to_dict(), saved["config"]
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
        self.encoder.load_state_dict(saved["encoder"])
        if self.classifier:
            self.classifier.load_state_dict(saved["classifier"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.batches.generator.set_state(saved["generator"])
        self.step, self.loss, self.losses = saved["step"], saved["loss"], list(saved["losses"])


def train(
    config: TrainConfig, splits: Splits, *, resume: Path | None = None, device: str = "cpu"
) -> Iterator[State]:
    """Yield a State every `config.report_every` steps and at the end.

    Nothing but `config.seed` is random, and the global generator is
    left alone: the same settings on the same machine, with the same number of threads
    (`torch.get_num_threads()`, kept in checkpoints), give the same numbers bit by bit, resumed or not.
    A resumed training that has no steps left yields its State once.

    Raises Diverged at the first loss that is not finite, before its step is taken.
    """
    state = start(config, splits, device)
    if resume is not None:
        state.restore(checkpoint.load(resume))
    if state.step >= config.iterations:
        yield state
        return
    to_input = framing(config.data.framing, splits.magnitude_scale)
    reported = state.step
    state.encoder.train()
    while state.step < config.iterations:
        with record_function("step"):
            loss = _loss(state, to_input, device)
            value = loss.item()
            if not math.isfinite(value):
                raise Diverged(state.losses)
            state.optimizer.zero_grad()
            loss.backward()
            state.optimizer.step()
        state.losses.append(value)
        state.step += 1
        if state.step % config.report_every == 0 or state.step == config.iterations:
            state.loss = float(np.mean(state.losses[reported:]))
            reported = state.step
            yield state
            state.encoder.train()


def start(config: TrainConfig, splits: Splits, device: str = "cpu") -> State:
    """The State before the first step."""
    if len(splits.train) == 0:
        raise ValueError("there is no training sequence")
    c = config.objective
    encoder = Encoder(splits.train.shape[2], config.encoder, seed=config.seed).to(device)
    classifier = None
    if c.name == "supervised" or (c.name == "emargin-semi" and c.supervised_term == "cross-entropy"):
        classifier = linear_classifier(CHANNELS[-1], len(splits.class_names), seed=config.seed).to(device)
    threshold, share = None, None
    if "threshold" in KNOBS[c.name]:
        threshold, share = resolve_threshold(c, splits.train)
    weights = [*encoder.parameters(), *(classifier.parameters() if classifier else ())]
    return State(
        config=config,
        data_hash=splits.data_hash,
        encoder=encoder,
        classifier=classifier,
        optimizer=optimizer_of(weights, config),
        batches=make_batches(config, splits.train, threshold),
        threshold=threshold,
        dissimilar_share=share,
    )


def optimizer_of(
    weights: list[Tensor], config: TrainConfig, *, capturable: bool = False
) -> torch.optim.Optimizer:
    """capturable: in a CUDA graph"""
    return torch.optim.AdamW(
        weights, lr=config.learning_rate, weight_decay=0.0, fused=True, capturable=capturable
    )


def _loss(state: State, to_input: ToInput, device: str) -> Tensor:
    drawn = state.batches.draw()
    h = state.encoder(to_input(drawn.x.to(device)).to(state.dtype))
    z, n = state.encoder.project(h), state.batches.n_plain
    batch = Batch(
        z=z[:n],
        dissimilar=drawn.dissimilar.to(device),
        z_labelled=z[n:],
        labels=drawn.labels.to(device),
        logits=state.classifier(h[n:]) if state.classifier else None,
    )
    return OBJECTIVES[state.config.objective.name](batch, state.config.objective)
