"""The baselines' losses as one writes them in plain PyTorch: what ours are measured against."""

import torch
from torch import Tensor
from torch.nn import functional as F


def _instance_logs(z1: Tensor, z2: Tensor) -> Tensor:
    """-log softmax over the other 2n - 1 vectors of each stack: (..., 2n, 2n - 1), self left out."""
    z = torch.cat([z1, z2], dim=-2)
    sim = torch.matmul(z, z.transpose(-2, -1))
    logits = torch.tril(sim, -1)[..., :-1] + torch.triu(sim, 1)[..., 1:]
    return -F.log_softmax(logits, dim=-1)


def _hard(z1: Tensor, z2: Tensor) -> Tensor:
    n = z1.shape[-2]
    if n == 1:
        return z1.new_zeros(())
    logs = _instance_logs(z1, z2)
    i = torch.arange(n)
    return (logs[..., i, n + i - 1].mean() + logs[..., n + i, i].mean()) / 2


def _soft(z1: Tensor, z2: Tensor, w: Tensor) -> Tensor:
    n = z1.shape[-2]
    if n == 1:
        return z1.new_zeros(())
    both = w.repeat(2, 2)
    weights = torch.tril(both, -1)[:, :-1] + torch.triu(both, 1)[:, 1:]
    return (_instance_logs(z1, z2) * weights).sum(-1).mean()


def ts2vec(z1: Tensor, z2: Tensor, alpha: float = 0.5) -> Tensor:
    return _levels(z1, z2, alpha, None, None)


def softclt(z1: Tensor, z2: Tensor, w: Tensor, tau: float, weight: float = 0.5) -> Tensor:
    return _levels(z1, z2, weight, w, tau)


def _levels(z1: Tensor, z2: Tensor, alpha: float, w: Tensor | None, tau: float | None) -> Tensor:
    total, d = z1.new_zeros(()), 0
    while True:
        n_frames = z1.shape[1]
        a, b = z1.transpose(0, 1), z2.transpose(0, 1)
        total = total + alpha * (_hard(a, b) if w is None else _soft(a, b, w))
        if n_frames > 1 and tau is None:
            total = total + (1 - alpha) * _hard(z1, z2)
        elif n_frames > 1 and tau is not None:
            t = torch.arange(n_frames, dtype=z1.dtype)
            apart = (t[:, None] - t).abs()
            total = total + (1 - alpha) * _soft(z1, z2, 2 / (1 + torch.exp(tau * 2**d * apart)))
        d += 1
        if n_frames == 1:
            return total / d
        z1 = F.max_pool1d(z1.transpose(1, 2), kernel_size=2).transpose(1, 2)
        z2 = F.max_pool1d(z2.transpose(1, 2), kernel_size=2).transpose(1, 2)
