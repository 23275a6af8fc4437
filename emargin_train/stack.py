"""A stack: several trainings computed together on one device, which also holds their data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from emargin_train.data.frames import Splits
from emargin_train.graphs import Repeated
from emargin_train.losses.negatives import KEEP_BYTES
from emargin_train.methods.base import Batch, adamw
from emargin_train.methods.one_view import OneView, Outputs
from emargin_train.precision import computing_in
from emargin_train.stacked_criterion import StackedCriterion, order
from emargin_train.train import State

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(eq=False)
class Member:
    """One training in a stack.

    diverged: whether a loss after those of the State was not finite
    reported: the step of the last report, or the step from which the training was resumed
    """

    state: State
    splits: Splits
    diverged: bool = False
    reported: int = 0

    @property
    def method(self) -> OneView:
        assert isinstance(self.state.method, OneView)
        return self.state.method

    @property
    def is_done(self) -> bool:
        return self.state.step >= self.state.config.iterations

    @property
    def next_report(self) -> int:
        c = self.state.config
        return min(c.iterations, (self.state.step // c.report_every + 1) * c.report_every)

    def report(self) -> None:
        """Set the State's loss to the mean since the last report, as `train` does."""
        self.state.loss = float(np.mean(self.state.losses[self.reported :]))
        self.reported = self.state.step


class _Data:
    """The training frames on the device, one copy of each dataset, and the batches of all members."""

    def __init__(self, members: Sequence[Member], device: str) -> None:
        methods = [m.method for m in members]
        first = methods[0]
        self.n_plain = first.n_plain
        x: dict[tuple[int, str], Tensor] = {}
        classes: dict[tuple[int, str], Tensor] = {}
        keys = [(id(m.splits), m.state.config.data.spectrum_scale) for m in members]
        for key, m in zip(keys, members, strict=True):
            if key not in x:
                magnitudes = torch.from_numpy(m.splits.train.x()).to(device)
                x[key] = m.method.to_input(magnitudes).to(first.like.dtype)
                classes[key] = torch.from_numpy(m.splits.train.y).to(device)
        self.x, self.classes = _joined(list(x.values())), _joined(list(classes.values()))
        starts = dict(zip(x, np.cumsum([0, *map(len, x.values())]), strict=False))
        self.first_x = torch.tensor([starts[key] for key in keys], device=device)[:, None]
        self.tables = _tables(methods, device)
        sizes = [m.n_train for m in methods]
        self.first_row = torch.tensor(np.cumsum([0, *sizes[:-1]]), device=device)[:, None]

    def gather(self, indices: Tensor) -> Batch:
        """x (K, B + L, T, F), tables (K, B, ...), labels (K, L, T) of sequences (K, B + L)."""
        plain, seen = indices[:, : self.n_plain], indices[:, self.n_plain :]
        return Batch(
            x=_rows(self.x, indices + self.first_x),
            index=indices,
            labels=_rows(self.classes, seen + self.first_x),
            tables={name: _rows(table, plain + self.first_row) for name, table in self.tables.items()},
        )


def _tables(methods: Sequence[OneView], device: str) -> dict[str, Tensor]:
    """The tables of all members, one after another. A method that lacks a table gets zeros, unused."""
    like = {name: rows for method in methods for name, rows in method.tables.items()}
    return {
        name: _joined(
            [m.tables.get(name, rows.new_zeros(m.n_train, *rows.shape[1:])).to(device) for m in methods]
        )
        for name, rows in like.items()
    }


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _rows(table: Tensor, which: Tensor) -> Tensor:
    return table.index_select(0, which.flatten()).unflatten(0, which.shape)


class Stack:
    """Members at the same step, with stacked weights and moments of AdamW (K, ...).

    After each advance the members get their weights and moments back. A member's loss depends on its own
    weights alone, so a loss that is not finite does not affect the other members. It is noticed when the
    losses are read, at the end of an advance.

    at_once: whether the losses of several members are computed in one operation; None = on a GPU only
    """

    def __init__(self, members: Sequence[Member], device: str, *, at_once: bool | None = None) -> None:
        self.members = sorted(members, key=lambda m: order(m.method))
        self._states = [m.state for m in self.members]
        self._networks = [m.method for m in self.members]
        first = self._networks[0]
        self._weights = {
            name: torch.stack([dict(net.named_parameters())[name].detach() for net in self._networks])
            for name, _ in first.named_parameters()
        }
        self._buffers = {
            name: torch.stack([dict(net.named_buffers())[name] for net in self._networks])
            for name, _ in first.named_buffers()
        }
        weights = [weight.requires_grad_() for weight in self._weights.values()]
        on_gpu = torch.device(device).type == "cuda"
        self._optimizer = adamw(weights, first.training_settings, capturable=on_gpu)
        self._stack_moments()
        self._data = _Data(self.members, device)
        n = first.n_plain * first.setup.shape.n_frames
        fits = n * n * weights[0].element_size() <= KEEP_BYTES  # larger losses are computed strip by strip
        self._criterion = StackedCriterion(
            self._networks,
            n,
            weights[0].detach(),
            at_once=on_gpu and fits if at_once is None else at_once,
        )
        shape = len(self._states), first.n_plain + first.n_labelled
        self._indices = torch.zeros(shape, dtype=torch.int64, device=device)
        self._loss = weights[0].new_zeros(len(self._states)).detach()
        self._repeated = Repeated(device, capture=on_gpu and fits)

    def advance(self, steps: int) -> None:
        """Take so many steps. Nothing is read from the device before the last step."""
        pinned = self._indices.is_cuda
        indices = torch.empty((steps, *self._indices.shape), dtype=torch.int64, pin_memory=pinned)
        losses = self._loss.new_empty(steps, len(self._states))
        self._networks[0].train()
        for t in range(steps):
            drawn = [m.draw(s.generator) for m, s in zip(self._networks, self._states, strict=True)]
            torch.stack(drawn, out=indices[t])
            self._indices.copy_(indices[t], non_blocking=True)
            with computing_in(self._networks[0].training_settings.precision):
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
        batch = self._data.gather(self._indices)
        z, *logits = vmap(self._forward)(self._weights, self._buffers, batch.x)
        n = self._data.n_plain
        losses = self._criterion(Outputs(z[:, :n], z[:, n:], logits[0] if logits else None), batch)
        self._optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self._optimizer.step()
        self._loss.copy_(losses.detach())

    def _forward(
        self, weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor
    ) -> tuple[Tensor, ...]:
        return functional_call(self._networks[0], (weights, buffers), (x,))

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        return [state.optimizer for state in self._states if state.optimizer is not None]

    def _stack_moments(self) -> None:
        """Stack the members' moments, all of the same step; before the first step they are 0."""
        own = [
            [optimizer.state[p] for p in net.parameters()]
            for optimizer, net in zip(self._optimizers(), self._networks, strict=True)
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
        for k, (optimizer, net) in enumerate(zip(self._optimizers(), self._networks, strict=True)):
            for name, parameter in net.named_parameters():
                parameter.copy_(self._weights[name][k])
                moments = self._optimizer.state[self._weights[name]]
                own = {m: moments[m][k].clone() for m in MOMENTS}
                optimizer.state[parameter] = {"step": moments["step"].clone()} | own
            for name, buffer in net.named_buffers():
                buffer.copy_(self._buffers[name][k])
