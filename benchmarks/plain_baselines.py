"""The baselines' losses in plain PyTorch, with which ours are compared."""

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


def trend(e: Tensor, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
    """CoST's causal convolutions at every frame."""
    x = e.transpose(1, 2)
    parts = zip(weights, biases, strict=True)
    found = [F.conv1d(F.pad(x, (w.shape[-1] - 1, 0)), w, b) for w, b in parts]
    return torch.stack(found).mean(0).transpose(1, 2)


def season(q: Tensor, k: Tensor) -> Tensor:
    """CoST's contrasts of amplitudes and of phases."""
    found = []
    for s in (q, k):
        spectrum = torch.fft.rfft(F.normalize(s, dim=-1), dim=1)
        real, imaginary = spectrum.real + 1e-6, spectrum.imag
        amplitude = (real.square() + (imaginary + 1e-6).square()).sqrt()
        found.append([part.transpose(0, 1) for part in (amplitude, torch.atan2(imaginary, real))])
    (a_q, phi_q), (a_k, phi_k) = found
    return _hard(a_q, a_k) + _hard(phi_q, phi_k)


def infots(z1: Tensor, z2: Tensor, k: int) -> Tensor:
    c = z1.shape[1] // k
    s = torch.stack([z1[:, r * c : (r + 1) * c].amax(1) for r in range(k)], dim=1)
    losses = []
    for r in range(k):
        positive = r + 1 if r < k - 1 else k - 2
        left_out = {r - 1, r, r + 1} | ({2} if r == 0 else set()) | ({k - 3} if r == k - 1 else set())
        others = [q for q in range(k) if q not in left_out]
        products = (s[:, r, None] * s[:, [positive, *others]]).sum(-1)
        losses.append((products.logsumexp(-1) - products[:, 0]).mean())
    return _hard(z1.amax(1), z2.amax(1)) + torch.stack(losses).mean()


def mf_clr(z1: Tensor, z2: Tensor, f: Tensor, beta: float = 1e-5) -> Tensor:
    def norms(a: Tensor, b: Tensor) -> Tensor:
        return (a[:, None] - b).flatten(2).norm(dim=-1)

    apart = norms(f, f)
    quad = (apart / apart.max().clamp_min(0.01) - norms(z1, z2)).square().mean()
    return (1 - beta) * _hard(z1.transpose(0, 1), z2.transpose(0, 1)) + beta * quad


def tnc(h: Tensor, near: Tensor, distant: Tensor, critic: torch.nn.Module, weight: float = 0.05) -> Tensor:
    """critic: Linear, ReLU, Dropout, Linear on [anchor; other]."""

    def d(other: Tensor) -> Tensor:
        return critic(torch.cat([h[:, None].expand(-1, other.shape[1], -1), h[other]], dim=-1))

    p, q = d(near), d(distant)
    apart = (1 - weight) * F.softplus(q).mean() + weight * F.softplus(-q).mean()
    return (F.softplus(-p).mean() + apart) / 2


def cpc(z: Tensor, queries: Tensor) -> Tensor:
    n, n_frames, _ = z.shape
    frame = torch.arange(n * n_frames).view(n, n_frames)
    logs = []
    for k, ahead in enumerate(queries, start=1):
        s = ahead[:, :-k].flatten(0, 1) @ z.flatten(0, 1).T
        logs.append(F.cross_entropy(s, frame[:, k:].flatten(), reduction="none"))
    return torch.cat(logs).mean()


def simmtm(s: Tensor, y: Tensor, n_series: int, temperature: float = 0.2) -> tuple[Tensor, Tensor]:
    n = len(s)
    z = F.normalize(s, dim=-1)
    own = torch.eye(n, dtype=torch.bool)
    logits = (z @ z.T / temperature).masked_fill(own, -torch.inf)
    logs = F.log_softmax(logits, dim=-1)
    i = torch.arange(n)
    positive = ((i[:, None] - i) % n_series == 0) & ~own
    return -logs.masked_fill(~positive, 0).sum() / n, logs.exp()[:n_series] @ y
