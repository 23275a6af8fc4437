"""A stack: several trainings side by side on one device, their data there with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from emargin_train.data.frames import Splits
from emargin_train.encoder import framing
from emargin_train.graphs import Repeated
from emargin_train.objectives import Batch
from emargin_train.objectives.negatives import KEEP_BYTES
from emargin_train.objectives.stacked import StackedObjective, order
from emargin_train.train import State, optimizer_of

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(eq=False)
class Member:
    """One training of a stack. diverged: a loss after those of the State was not finite"""

    state: State
    splits: Splits
    diverged: bool = False

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


class _Data:
    """Training frames on the device, those of each data set once, and the batches of all members."""

    def __init__(self, members: Sequence[Member], device: str) -> None:
        first = members[0].state
        self.n_plain = first.batches.n_plain
        x: dict[tuple[int, str], Tensor] = {}
        classes: dict[tuple[int, str], Tensor] = {}
        keys = [(id(m.splits), m.state.config.data.framing) for m in members]
        for key, m in zip(keys, members, strict=True):
            if key not in x:
                to_input = framing(key[1], m.splits.magnitude_scale)
                x[key] = to_input(torch.from_numpy(m.splits.train.x()).to(device)).to(first.dtype)
                classes[key] = torch.from_numpy(m.splits.train.y).to(device)
        self.x, self.classes = _joined(list(x.values())), _joined(list(classes.values()))
        self.y = _joined([torch.from_numpy(m.state.batches.y).to(device) for m in members])
        starts = dict(zip(x, np.cumsum([0, *map(len, x.values())]), strict=False))
        self.first_x = torch.tensor([starts[key] for key in keys], device=device)[:, None]
        sizes = [len(m.state.batches.y) for m in members]
        self.first_y = torch.tensor(np.cumsum([0, *sizes[:-1]]), device=device)[:, None]

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (K, B + L, T, F), dissimilar (K, B, T), labels (K, L, T) of sequences (K, B + L)."""
        plain, seen = indices[:, : self.n_plain], indices[:, self.n_plain :]
        return (
            _rows(self.x, indices + self.first_x),
            _rows(self.y, plain + self.first_y),
            _rows(self.classes, seen + self.first_x),
        )


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _rows(table: Tensor, which: Tensor) -> Tensor:
    return table.index_select(0, which.flatten()).unflatten(0, which.shape)


class _Network(nn.Module):
    """Encoder, head and classifier of one member: x (B + L, T, F) to z and the logits of the L labelled."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.encoder, self.classifier, self.n_plain = state.encoder, state.classifier, state.batches.n_plain

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        h = self.encoder(x)
        z = self.encoder.project(h)
        return (z, self.classifier(h[self.n_plain :])) if self.classifier else (z,)


class Stack:
    """Members at the same step: weights and AdamW's moments (K, ...), which they get back after each advance.

    A member's loss depends on its own weights alone, so one that is not finite disturbs no other; it is
    noticed when the losses are read, at the end of an advance.

    at_once: objectives side by side, as on a GPU; None = on a GPU
    """

    def __init__(self, members: Sequence[Member], device: str, *, at_once: bool | None = None) -> None:
        self.members = sorted(members, key=lambda m: order(m.state.config.objective))
        self._states = [m.state for m in self.members]
        first = self._states[0]
        self._networks = [_Network(state) for state in self._states]
        self._weights = {
            name: torch.stack([dict(net.named_parameters())[name].detach() for net in self._networks])
            for name, _ in self._networks[0].named_parameters()
        }
        self._buffers = {
            name: torch.stack([dict(net.named_buffers())[name] for net in self._networks])
            for name, _ in self._networks[0].named_buffers()
        }
        weights = [weight.requires_grad_() for weight in self._weights.values()]
        on_gpu = torch.device(device).type == "cuda"
        self._optimizer = optimizer_of(weights, first.config, capturable=on_gpu)
        self._stack_moments()
        self._data = _Data(self.members, device)
        n = first.batches.n_plain * first.batches.frames.shape[1]
        fits = n * n * weights[0].element_size() <= KEEP_BYTES  # beyond, losses go strip by strip
        self._objective = StackedObjective(
            [state.config.objective for state in self._states],
            n,
            weights[0].detach(),
            at_once=on_gpu and fits if at_once is None else at_once,
        )
        shape = len(self._states), first.batches.n_plain + first.batches.n_labelled
        self._indices = torch.zeros(shape, dtype=torch.int64, device=device)
        self._loss = weights[0].new_zeros(len(self._states)).detach()
        self._repeated = Repeated(device, capture=on_gpu and fits)

    def advance(self, steps: int) -> None:
        """Take so many steps. Nothing is read from the device before the last."""
        pinned = self._indices.is_cuda
        indices = torch.empty((steps, *self._indices.shape), dtype=torch.int64, pin_memory=pinned)
        losses = self._loss.new_empty(steps, len(self._states))
        self._networks[0].train()
        for t in range(steps):
            torch.stack([state.batches.draw_indices() for state in self._states], out=indices[t])
            self._indices.copy_(indices[t], non_blocking=True)
            self._repeated(self._take_step)
            losses[t].copy_(self._loss)
        for member, values in zip(self.members, losses.T.tolist(), strict=True):
            finite = next((t for t, value in enumerate(values) if not np.isfinite(value)), steps)
            member.state.losses += values[:finite]
            member.state.step += finite
            member.state.together = len(self.members)
            member.diverged = finite < steps
        self._put_back()

    def _take_step(self) -> None:
        x, dissimilar, labels = self._data.gather(self._indices)
        z, *logits = vmap(self._forward)(self._weights, self._buffers, x)
        n = self._data.n_plain
        batch = Batch(z[:, :n], dissimilar, z[:, n:], labels, logits[0] if logits else None)
        losses = self._objective(batch)
        self._optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self._optimizer.step()
        self._loss.copy_(losses.detach())

    def _forward(
        self, weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor
    ) -> tuple[Tensor, ...]:
        return functional_call(self._networks[0], (weights, buffers), (x,))

    def _stack_moments(self) -> None:
        """The members' moments, all of the same step; before the first they are 0."""
        own = [
            [state.optimizer.state[p] for p in net.parameters()]
            for state, net in zip(self._states, self._networks, strict=True)
        ]
        for weight, moments in zip(self._weights.values(), zip(*own, strict=True), strict=True):
            stacked = {
                name: torch.stack([m[name] for m in moments]) if moments[0] else torch.zeros_like(weight)
                for name in MOMENTS
            }
            step = moments[0]["step"] if moments[0] else torch.zeros((), dtype=torch.float32)
            self._optimizer.state[weight] = {"step": step.to(weight.device, copy=True)} | stacked

    @torch.no_grad()
    def _put_back(self) -> None:
        for k, (state, net) in enumerate(zip(self._states, self._networks, strict=True)):
            for name, parameter in net.named_parameters():
                parameter.copy_(self._weights[name][k])
                moments = self._optimizer.state[self._weights[name]]
                own = {m: moments[m][k].clone() for m in MOMENTS}
                state.optimizer.state[parameter] = {"step": moments["step"].clone()} | own
            for name, buffer in net.named_buffers():
                buffer.copy_(self._buffers[name][k])
