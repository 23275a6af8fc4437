"""Many trainings at once, as a stack: weights (K, ...), member by member what `train` does alone.

Members may differ in everything but shapes: objective and knobs, seed, noise, data. A stack lives from one
report to the next; in between, every member is an ordinary State, to be saved, evaluated or resumed alone.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from emargin_train import checkpoint
from emargin_train.config import TrainConfig
from emargin_train.data.frames import Splits
from emargin_train.encoder import ToInput, framing
from emargin_train.train import Diverged, State, objective_of, optimizer_of, start

TrainMany = Callable[..., Iterator[tuple[int, State | Diverged]]]  # with the arguments of `train_many`


def train_many(
    configs: Sequence[TrainConfig],
    splits: Sequence[Splits],
    *,
    resume: Sequence[Path | bytes | None] | None = None,
    device: str = "cpu",
) -> Iterator[tuple[int, State | Diverged]]:
    """Yield (member, its State) every `report_every` steps of the member and at its end.

    A member whose loss is not finite yields Diverged instead, once, and the others go on as if it had never
    been there. A resumed member that has no steps left yields its State once; those behind catch up first.

    splits: the data of each member; resume: its checkpoint, to go on from
    Raises ValueError where the members' shapes differ.
    """
    members = [Member(start(c, s, device), s) for c, s in zip(configs, splits, strict=True)]
    for member, path in zip(members, resume or [None] * len(members), strict=True):
        if path is not None:
            member.state.restore(checkpoint.load(path))
    if len({shapes(member.state) for member in members}) > 1:
        raise ValueError("the members of a stack differ in shapes: train them in stacks of their own")
    going = dict(enumerate(members))
    for i in [i for i, member in going.items() if member.is_done]:
        yield i, going.pop(i).state
    while going:
        step = min(member.state.step for member in going.values())
        level = {i: member for i, member in going.items() if member.state.step == step}
        stop = min(member.next_report for member in level.values())
        due = [i for i, member in level.items() if member.next_report == stop]
        alive = _advance(list(level.values()), stop - step, device)
        for member in level.values():
            member.state.together = len(level)
        for (i, member), lives in zip(level.items(), alive, strict=True):
            if not lives:
                yield i, Diverged(member.state.losses, len(level))
                del going[i]
            elif i in due:
                member.report()
                yield i, member.state
                if member.is_done:
                    del going[i]


@dataclass
class Member:
    """One training of a stack."""

    state: State
    splits: Splits

    @property
    def to_input(self) -> ToInput:
        return framing(self.state.config.data.framing, self.splits.magnitude_scale)

    @property
    def is_done(self) -> bool:
        return self.state.step >= self.state.config.iterations

    @property
    def next_report(self) -> int:
        c = self.state.config
        return min(c.iterations, (self.state.step // c.report_every + 1) * c.report_every)

    def report(self) -> None:
        every = self.state.config.report_every
        self.state.loss = float(np.mean(self.state.losses[(self.state.step - 1) // every * every :]))


def shapes(state: State) -> Hashable:
    """What members of a stack have in common."""
    batches, c = state.batches, state.config
    n_classes = state.classifier.out_features if state.classifier else None
    return (
        batches.n_plain,
        batches.n_labelled,
        batches.frames.shape[1:],
        c.encoder,
        n_classes,
        c.learning_rate,
    )


class _Network(nn.Module):
    """Encoder, head and classifier of one member: x (B + L, T, F) to z and the logits of the L labelled."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.encoder, self.classifier, self.n_plain = state.encoder, state.classifier, state.batches.n_plain

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        h = self.encoder(x)
        z = self.encoder.project(h)
        return (z, self.classifier(h[self.n_plain :])) if self.classifier else (z,)


def _advance(members: list[Member], steps: int, device: str) -> list[bool]:
    """So many steps of members at the same step, put back into their States. Which did not diverge."""
    states = [member.state for member in members]
    networks = [_Network(state) for state in states]
    weights = {
        name: torch.stack([dict(net.named_parameters())[name].detach() for net in networks]).requires_grad_()
        for name, _ in networks[0].named_parameters()
    }
    buffers = {
        name: torch.stack([dict(net.named_buffers())[name] for net in networks])
        for name, _ in networks[0].named_buffers()
    }
    optimizer = optimizer_of(list(weights.values()), states[0].config)
    _stack_moments(optimizer, list(weights.values()), states, networks)
    networks[0].train()

    def forward(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> tuple[Tensor, ...]:
        return functional_call(networks[0], (weights, buffers), (x,))

    alive = [True] * len(members)
    for _ in range(steps):
        drawn = [state.batches.draw() for state in states]
        x = torch.stack([member.to_input(d.x.to(device)) for member, d in zip(members, drawn, strict=True)])
        out = vmap(forward)(weights, buffers, x.to(states[0].dtype))
        losses = {
            k: objective_of(state, drawn[k], out[0][k], out[1][k] if len(out) > 1 else None)
            for k, state in enumerate(states)
            if alive[k]
        }
        values = torch.stack(list(losses.values())).tolist()
        finite = []
        for (k, loss), value in zip(losses.items(), values, strict=True):
            if math.isfinite(value):
                finite.append(loss)
                states[k].losses.append(value)
                states[k].step += 1
            else:
                alive[k] = False
        if not finite:
            break
        optimizer.zero_grad()
        torch.stack(finite).sum().backward()
        optimizer.step()
    _unstack(optimizer, weights, buffers, states, networks)
    return alive


def _stack_moments(
    optimizer: torch.optim.Optimizer, weights: list[Tensor], states: list[State], networks: list[_Network]
) -> None:
    """Put the members' moments, all at the same step, into the optimizer of the stack."""
    own = [
        [state.optimizer.state[p] for p in net.parameters()]
        for state, net in zip(states, networks, strict=True)
    ]
    for weight, moments in zip(weights, zip(*own, strict=True), strict=True):
        if moments[0]:
            stacked = {name: torch.stack([m[name] for m in moments]) for name in ("exp_avg", "exp_avg_sq")}
            optimizer.state[weight] = {"step": moments[0]["step"].clone()} | stacked


@torch.no_grad()
def _unstack(
    optimizer: torch.optim.Optimizer,
    weights: dict[str, Tensor],
    buffers: dict[str, Tensor],
    states: list[State],
    networks: list[_Network],
) -> None:
    for k, (state, net) in enumerate(zip(states, networks, strict=True)):
        for name, parameter in net.named_parameters():
            parameter.copy_(weights[name][k])
            moments = optimizer.state[weights[name]]
            own = {m: moments[m][k].clone() for m in ("exp_avg", "exp_avg_sq")} if moments else {}
            state.optimizer.state[parameter] = {"step": moments["step"].clone()} | own if moments else {}
        for name, buffer in net.named_buffers():
            buffer.copy_(buffers[name][k])
