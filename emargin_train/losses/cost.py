"""CoST: momentum contrast of the trend, instance contrast of the season's spectrum (Woo et al., ICLR 2022,
arXiv:2202.01575).

    L_time = mean_i [ log( e^{q_i.k_i/tau} + sum_j e^{q_i.Q_j/tau} ) - q_i.k_i/tau ],  at one frame
    L = L_time + (alpha/2) [ L_inst(A_q, A_k) + L_inst(Phi_q, Phi_k) ]

A and Phi are amplitude and phase of the discrete Fourier transform over time of unit season vectors, and
L_inst is `two_views.instance_contrast` with frequencies in place of frames.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from emargin_train.errors import UserError
from emargin_train.losses.two_views import instance_contrast
from emargin_train.losses.unit import unit

EPSILON = 1e-6


def momentum_contrast(q: Tensor, k: Tensor, queue: Tensor, *, temperature: float = 0.07) -> Tensor:
    """L_time: a scalar >= 0.

    q: (N, D), of unit length; k: (N, D), keys of the same sequences, without gradient
    queue: Q, (D, K) earlier keys
    """
    own = (q * k.detach()).sum(-1, keepdim=True) / temperature
    earlier = q @ queue / temperature
    return (torch.cat([own, earlier], dim=-1).logsumexp(-1) - own[:, 0]).mean()


def amplitude_and_phase(season: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T, D) -> A and Phi, both (B, T // 2 + 1, D)."""
    spectrum = torch.fft.rfft(unit(season), dim=1)
    real, imaginary = spectrum.real, spectrum.imag
    amplitude = ((real + EPSILON).square() + (imaginary + EPSILON).square()).sqrt()
    return amplitude, torch.atan2(imaginary, real + EPSILON)


def season_contrast(q_season: Tensor, k_season: Tensor) -> tuple[Tensor, Tensor]:
    """(L_inst of amplitudes, L_inst of phases). Both inputs (B, T, D) carry a gradient; 0 for B = 1."""
    (a_q, phi_q), (a_k, phi_k) = amplitude_and_phase(q_season), amplitude_and_phase(k_season)
    return instance_contrast(a_q, a_k), instance_contrast(phi_q, phi_k)


def cost_loss(
    q: Tensor,
    k: Tensor,
    queue: Tensor,
    q_season: Tensor,
    k_season: Tensor,
    *,
    alpha: float = 5e-4,
    temperature: float = 0.07,
) -> Tensor:
    """L. q, k, queue: as in `momentum_contrast`; q_season, k_season: (B, T, D) of the two views."""
    amplitude, phase = season_contrast(q_season, k_season)
    return momentum_contrast(q, k, queue, temperature=temperature) + alpha / 2 * (amplitude + phase)


def enqueue(queue: Tensor, place: int, keys: Tensor) -> int:
    """Write a batch of keys in place over the oldest columns of the queue, a ring; returns the next place.

    queue: (D, K); place: its oldest column; keys: (N, D), N at most K. The official code needs K to be a
    multiple of N, and then gives the same.
    """
    n, size = len(keys), queue.shape[1]
    if n > size:
        raise UserError(
            f"a queue of {size} keys has no room for a batch of {n}: give a queue size of {n} or more"
        )
    columns = (place + torch.arange(n, device=queue.device)) % size
    queue[:, columns] = keys.detach().T
    return (place + n) % size


def trend(e: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """Mean of causal convolutions, zeros before the start: (B, T, D) -> (B, T, D').

        v_t = (1/|K|) sum_kappa [ b_kappa + sum_{m < kappa} W_kappa[:, :, m] e_{t - kappa + 1 + m} ]

    weights: (D', D, kappa) of each kernel; biases: (D',)
    """
    x = e.transpose(1, 2)
    found = [F.conv1d(F.pad(x, (w.shape[-1] - 1, 0)), w, b) for w, b in zip(weights, biases, strict=True)]
    return torch.stack(found).mean(0).transpose(1, 2)


def trend_at(e: Tensor, frame: int, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """Only `trend(e, ...)[:, frame]`, which is about T times cheaper: (B, D')."""
    total = e.new_zeros(len(e), len(biases[0]))
    for w, b in zip(weights, biases, strict=True):
        seen = e[:, max(frame + 1 - w.shape[-1], 0) : frame + 1]  # the frames that the kernel sees
        used = w[:, :, w.shape[-1] - seen.shape[1] :]
        total = total + torch.addmm(b, seen.transpose(1, 2).flatten(1), used.flatten(1).T)
    return total / len(weights)


def season(e: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """An affine map of each frequency: irfft(rfft(e) W_f + b_f), (B, T, D) -> (B, T, D').

    weight: (T // 2 + 1, D, D') complex; bias: (T // 2 + 1, D') complex; both belong to one T
    """
    n_frames, n_frequencies = e.shape[1], len(weight)
    if n_frames // 2 + 1 != n_frequencies:
        raise UserError(
            f"CoST's season was built for sequences of {2 * n_frequencies - 2} or {2 * n_frequencies - 1} "
            f"frames, but these have {n_frames}: give sequences as long as those of the training"
        )
    spectrum = torch.fft.rfft(e, dim=1)
    mapped = torch.einsum("btd,tdo->bto", spectrum, weight) + bias
    return torch.fft.irfft(mapped, n=n_frames, dim=1)
