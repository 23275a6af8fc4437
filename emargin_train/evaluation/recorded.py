"""The probes that take a thousand small steps, for a GPU: a step is recorded once and started again.

The same starts, batches and steps as in `probes`, drawn on the host; sums run in another order, and gradients
are in closed form.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from emargin_train.evaluation.points import Points
from emargin_train.evaluation.probes import (
    MLP_BATCH,
    PAPER_BATCH,
    PATIENCE,
    first_layers,
    forward,
    uniform,
)
from emargin_train.evaluation.training import Scores, Training, folds, standardise
from emargin_train.graphs import Repeated


class Batches:
    """The batches of an epoch, kept on the device: a recorded step finds the next one by itself.

    A last batch that is smaller is filled up with frames that weigh nothing.

    n: frames of an epoch; size: of a batch; n_steps: batches
    """

    def __init__(self, n: int, size: int, device: torch.device) -> None:
        self.n_steps, self._n = -(-n // size), n
        place = np.arange(self.n_steps * size).reshape(self.n_steps, size)
        weight = (place < n) / (place < n).sum(1, keepdims=True)
        self._weight = torch.from_numpy(weight.astype(np.float32)).to(device)
        self._index = torch.zeros(place.shape, dtype=torch.int64, device=device)
        self._step = torch.zeros(1, dtype=torch.int64, device=device)

    def begin(self, order: Tensor) -> None:
        """A new epoch, of these frames (n,)."""
        self._index.view(-1)[: self._n].copy_(order)
        self._step.zero_()

    def draw(self) -> tuple[Tensor, Tensor]:
        """Frames of the next batch (size,), and what each weighs in its mean (size, 1)."""
        index = self._index.index_select(0, self._step)[0]
        weight = self._weight.index_select(0, self._step)[0]
        self._step.add_(1)
        return index, weight[:, None]


def paper_probe(training: Training, *, seed: int = 1, epochs: int = 10) -> Scores:
    """`probes.paper_probe` for a tensor."""
    h, generator = _tensor(training.h), torch.Generator().manual_seed(seed)
    goal, inputs = F.one_hot(torch.from_numpy(training.y)).to(h), h.shape[1]
    classes = goal.shape[1]
    layer = [uniform(torch.empty(size), inputs, generator).to(h) for size in ((classes, inputs), (classes,))]
    optimizer = torch.optim.Adam(layer, lr=1e-3, fused=True, capturable=h.is_cuda)
    batches = Batches(len(h), PAPER_BATCH, h.device)
    step = paper_step(h, goal, layer, optimizer, batches)
    repeated = Repeated(str(h.device), capture=h.is_cuda)
    for _ in range(epochs):
        batches.begin(torch.randperm(len(h), generator=generator))
        for _ in range(batches.n_steps):
            repeated(step)
    weight, bias = layer
    return lambda x: torch.addmm(bias, _tensor(x), weight.T).log_softmax(1).cpu().numpy()


def paper_step(
    h: Tensor, goal: Tensor, layer: list[Tensor], optimizer: torch.optim.Optimizer, batches: Batches
) -> Callable[[], None]:
    """A step on the next batch, which looks at no value. h: (n, D); goal: one-hot (n, K)"""
    weight, bias = layer
    gradients = _gradients_of(layer)

    def step() -> None:
        index, share = batches.draw()
        x = h.index_select(0, index)
        error = torch.addmm(bias, x, weight.T).softmax(1).sub_(goal.index_select(0, index)).mul_(share)
        torch.mm(error.T, x, out=gradients[0])
        torch.sum(error, 0, out=gradients[1])
        optimizer.step()

    return step


def mlp(training: Training, *, seed: int = 1, epochs: int = 30) -> Scores:
    """`probes.mlp` for a tensor. The device is looked at once an epoch."""
    generator, scale = torch.Generator().manual_seed(seed), standardise(training.h)
    x, weight = _tensor(scale(training.h)), torch.from_numpy(training.weight)
    inside, outside = (torch.from_numpy(part) for part in folds(training.subject, 5)[0])
    layers = [layer.detach().to(x) for layer in first_layers(x.shape[1], len(training.share), generator)]
    optimizer = torch.optim.AdamW(layers, lr=2e-3, weight_decay=1e-2, fused=True, capturable=x.is_cuda)
    batches = Batches(len(inside), MLP_BATCH, x.device)
    step = mlp_step(x, F.one_hot(torch.from_numpy(training.y)).to(x), layers, optimizer, batches)
    repeated = Repeated(str(x.device), capture=x.is_cuda)
    judges, judged = x[outside.to(x.device)], weight[outside].to(x.device)
    often = weight[inside].sum(1)

    def draw() -> Tensor:
        return inside[often.multinomial(len(inside), replacement=True, generator=generator)]

    order = draw()
    lowest, kept, idle = np.inf, [layer.clone() for layer in layers], 0
    for _ in range(epochs):
        batches.begin(order)
        for _ in range(batches.n_steps):
            repeated(step)
        order = draw()  # of the next epoch, while the device is at this one
        loss = -float((judged * forward(layers, judges).log_softmax(1)).sum())
        idle += 1
        if loss < lowest:
            lowest, kept, idle = loss, [layer.clone() for layer in layers], 0
        if idle == PATIENCE:
            break
    return lambda h: forward(kept, _tensor(scale(h))).log_softmax(1).cpu().numpy()


def mlp_step(
    x: Tensor, goal: Tensor, layers: list[Tensor], optimizer: torch.optim.Optimizer, batches: Batches
) -> Callable[[], None]:
    """As `paper_step`."""
    first, first_bias, second, second_bias = layers
    gradients = _gradients_of(layers)

    def step() -> None:
        index, share = batches.draw()
        batch = x.index_select(0, index)
        hidden = torch.addmm(first_bias, batch, first.T).relu_()
        error = torch.addmm(second_bias, hidden, second.T).softmax(1)
        error.sub_(goal.index_select(0, index)).mul_(share)
        back = torch.mm(error, second).mul_(hidden > 0)
        torch.mm(back.T, batch, out=gradients[0])
        torch.sum(back, 0, out=gradients[1])
        torch.mm(error.T, hidden, out=gradients[2])
        torch.sum(error, 0, out=gradients[3])
        optimizer.step()

    return step


def _gradients_of(layers: list[Tensor]) -> list[Tensor]:
    """Their gradients, which keep their place in memory: a recorded step writes there."""
    gradients = [torch.zeros_like(layer) for layer in layers]
    for layer, gradient in zip(layers, gradients, strict=True):
        layer.grad = gradient
    return gradients


def _tensor(h: Points) -> Tensor:
    assert isinstance(h, Tensor)
    return h
