"""The released training step in plain PyTorch, with the same operations as published, rewritten by us.

It computes the same as `emargin_released`, but as slowly as the released code: a diagonal matrix is built in
order to remove a diagonal, column sums are computed twice over slices, and a convolution of kernel 1
transposes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def margin_loss(h: Tensor, y: Tensor, *, margin: float, temperature: float) -> Tensor:
    """Two-neighbour loss; h: (N, D), y: (N,) of 0.0 and 1.0. Equals `emargin_released`, neighbours = 2."""
    z = F.normalize(h, dim=-1)
    s = z @ z.T
    d = torch.diagonal(s, offset=-1)
    near = torch.exp(d[1:] / temperature) + torch.exp(d[:-1] / temperature)
    kernel = -(1 - y) * 0.5 * s**2 + y * 0.5 * torch.max(torch.tensor(0.0), margin - s) ** 2
    e = torch.exp(0.05 * kernel / temperature)
    e = e - torch.diag(e.diag())
    away = e[:, :-2].sum(0) - torch.exp(d[:-1] / temperature) + (e[:, 1:-1].sum(0) - near)
    return -torch.log(near / (away + near)).mean()


class PublishedEncoder(nn.Module):
    """Conv1d - BatchNorm - ReLU three times, F -> 128 -> 64 -> 320, on (B, T, F)."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        sizes = (n_features, 128, 64, 320)
        self.convolutions = nn.ModuleList(nn.Conv1d(a, b, 1) for a, b in zip(sizes, sizes[1:], strict=False))
        self.norms = nn.ModuleList(nn.BatchNorm1d(b) for b in sizes[1:])

    def forward(self, x: Tensor) -> Tensor:
        h = x.transpose(1, 2)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            h = torch.relu(norm(convolution(h)))
        return h.transpose(1, 2)
