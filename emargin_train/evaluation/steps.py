"""The small steps in which probes are trained, a thousand times: their batches and their optimiser.

A step reads no value from its device and keeps its values in place, so that a GPU can record it once and
start it again as a whole (`graphs.Repeated`). We do not use PyTorch's optimiser, since its overhead takes
longer than the arithmetic of such a step.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from emargin_train.graphs import Repeated


class Batches:
    """The batches of an epoch, kept on the device: a recorded step finds the next batch without the host.

    If the last batch is smaller, it is filled up with frames of weight 0.

    n: frames of an epoch; size: frames of a batch; n_steps: batches of an epoch
    """

    def __init__(self, n: int, size: int, device: torch.device) -> None:
        self.n_steps, self._n = -(-n // size), n
        place = np.arange(self.n_steps * size).reshape(self.n_steps, size)
        weight = (place < n) / (place < n).sum(1, keepdims=True)
        self._weight = torch.from_numpy(weight.astype(np.float32)).to(device)
        self._index = torch.zeros(place.shape, dtype=torch.int64, device=device)
        self._step = torch.zeros(1, dtype=torch.int64, device=device)

    def begin(self, order: Tensor) -> None:
        """Begin a new epoch of these frames (n,)."""
        self._index.view(-1)[: self._n].copy_(order)
        self._step.zero_()

    def draw(self) -> tuple[Tensor, Tensor]:
        """Return the frames of the next batch (size,), and the weight of each in its mean (size, 1)."""
        index = self._index.index_select(0, self._step)[0]
        weight = self._weight.index_select(0, self._step)[0]
        self._step.add_(1)
        return index, weight[:, None]


class Adam:
    """Adam (Kingma & Ba 2015) with decoupled weight decay (AdamW, Loshchilov & Hutter 2019), as in PyTorch.

    All parameters are in one vector, so that a step takes the same eight small operations for any number of
    layers. `layers` are views of `parameters`; `gradients` are views of the one gradient that a step writes.
    """

    def __init__(self, layers: list[Tensor], *, rate: float, decay: float = 0.0, most_steps: int) -> None:
        self.parameters = torch.cat([layer.flatten() for layer in layers])
        self._gradient, self._first, self._second = (torch.zeros_like(self.parameters) for _ in range(3))
        sizes = [layer.numel() for layer in layers]

        def views(flat: Tensor) -> list[Tensor]:
            return [part.view_as(a) for part, a in zip(flat.split(sizes), layers, strict=True)]

        self.layers, self.gradients = views(self.parameters), views(self._gradient)
        step = np.arange(1, most_steps + 1)
        scale = np.stack([np.sqrt(1 - 0.999**step), -rate / (1 - 0.9**step)], 1)
        self._scale = torch.from_numpy(scale.astype(np.float32)).to(self.parameters.device)
        self._step = torch.zeros(1, dtype=torch.int64, device=self.parameters.device)
        self._keep = 1 - rate * decay

    def step(self) -> None:
        """Move the parameters against the gradient."""
        width, length = self._scale.index_select(0, self._step)[0]
        self._step.add_(1)
        if self._keep != 1:
            self.parameters.mul_(self._keep)
        self._first.lerp_(self._gradient, 0.1)
        self._second.mul_(0.999).addcmul_(self._gradient, self._gradient, value=0.001)
        divisor = self._second.sqrt().div_(width).add_(1e-8)
        self.parameters.add_(self._first.div(divisor).mul_(length))


def repeated(device: torch.device) -> Callable[[Callable[[], None]], None]:
    """Return a function that calls a step again and again: recorded on a GPU, directly elsewhere."""
    return Repeated(str(device), capture=device.type == "cuda")
