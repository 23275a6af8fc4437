"""What additive white noise does to the cosine of adjacent spectra (derived in docs/pseudo_labels.md).

An entry of a spectrum is x = |a + n|. Here a comes from the clean signal, and n is complex Gaussian noise of
power p = E|n|^2, the same in every bin, and real at frequency 0 and at half the sampling rate. Sums over many
bins are close to their means, and we take the noise of adjacent frames as independent. So, with m = E x and
q = E x^2 = a^2 + p,

        E cos(x_t, x_{t+1}) = sum_k m_t m_{t+1} / sqrt( sum_k q_t  sum_k q_{t+1} )
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import erf, i0e, i1e

from emargin_train.data.frames import Frames

CHUNK_SEQUENCES = 64
LEAST_NOISE = 1e-15  # share of the largest squared magnitude; with less noise, the formulas lose their digits


@dataclass(frozen=True)
class Bins:
    """The layout of a frame's features: channel by channel, each with n_bins = samples // 2 + 1 bins."""

    samples: int

    @property
    def n_bins(self) -> int:
        return self.samples // 2 + 1

    @property
    def is_real(self) -> np.ndarray:
        """(n_bins,) bool: True at frequency 0, and at half the sampling rate if the frame length is even."""
        k = np.arange(self.n_bins)
        return (k == 0) | (2 * k == self.samples)


def mean_magnitude(a: np.ndarray, power: np.ndarray | float, is_real: np.ndarray | bool) -> np.ndarray:
    """E|a + n| (shapes broadcast): the mean of a Rician distribution, or of a folded normal one in real bins.

    With u = a^2 / 2p: Rician sqrt(pi p) / 2 e^{-u} [(1 + 2u) I0(u) + 2u I1(u)],
    folded sqrt(2 p / pi) e^{-u} + a erf(sqrt(u)).
    """
    u = a**2 / (2 * power)
    rician = np.sqrt(np.pi * power) / 2 * ((1 + 2 * u) * i0e(u) + 2 * u * i1e(u))
    folded = np.sqrt(2 * power / np.pi) * np.exp(-u) + a * erf(np.sqrt(u))
    return np.where(is_real, folded, rician)


def expected_cosine(a: np.ndarray, power: np.ndarray | float, is_real: np.ndarray | bool) -> np.ndarray:
    """Expected cosine of adjacent noisy frames: clean magnitudes (..., T, F) -> (..., T - 1).

    power: E|n|^2 above 0, broadcasts to (..., T, F); is_real: to (F,)
    """
    a = a.astype(np.float64)
    m = mean_magnitude(a, power, is_real)
    length = np.sqrt((a**2 + power).sum(-1))
    return (m[..., :-1, :] * m[..., 1:, :]).sum(-1) / (length[..., :-1] * length[..., 1:])


def bin_power(frames: Frames, bins: Bins) -> np.ndarray:
    """Mean power of each record's bins by channel, (N, C): mean of |X|^2 over frames and bins of both signs.

    White noise at SNR r has 1/r of this power in each bin, for any window. Since the SNR compares variances,
    the power of a constant offset is subtracted: a Hann window shows it in bin 0 and, by half, in bins -1, 1.
    """
    n, _, f = frames.shape
    weight = np.where(bins.is_real, 1, 2) / bins.samples
    power, zero = np.empty((n, f // bins.n_bins)), []
    for i in range(0, n, CHUNK_SEQUENCES):
        x = frames.x(slice(i, i + CHUNK_SEQUENCES)).astype(np.float64)
        power[i : i + len(x)] = (x**2).mean(1).reshape(len(x), -1, bins.n_bins) @ weight
        zero.append(x[:, :, :: bins.n_bins])
    at_zero = np.concatenate(zero)  # (N, T, C)
    for record in np.unique(frames.record):
        own = frames.record == record
        offset = np.array([_squared_offset(at_zero[own, :, c]) for c in range(power.shape[1])])
        power[own] = power[own].mean(0) - 1.5 * offset / bins.samples
    return power


def _squared_offset(magnitude: np.ndarray) -> float:
    """mu^2 of a normal distribution, from the first two moments of the magnitudes of its values."""
    first, second = float(magnitude.mean()), float((magnitude**2).mean())
    ratios = np.linspace(0, 5, 501)  # mu / sigma; above 5 hardly any value has the other sign
    shape = mean_magnitude(ratios, 1.0, True) ** 2 / (ratios**2 + 1)  # E|X|^2 / E X^2, from 2 / pi to 1
    if first**2 >= shape[-1] * second:
        return first**2
    ratio = np.interp(first**2 / second, shape, ratios)
    return second * float(ratio**2 / (1 + ratio**2))


def predict(frames: Frames, bins: Bins, snr_db: float) -> np.ndarray:
    """`expected_cosine` of all steps after white noise at `snr_db` dB per channel: (N, T - 1).

    frames: without that noise
    """
    n, _, f = frames.shape
    noise = np.repeat(bin_power(frames, bins) / 10 ** (snr_db / 10), bins.n_bins, axis=1)  # (N, F)
    is_real = np.tile(bins.is_real, f // bins.n_bins)
    parts = []
    for i in range(0, n, CHUNK_SEQUENCES):
        x = frames.x(slice(i, i + CHUNK_SEQUENCES))
        least = LEAST_NOISE * x.max(axis=(1, 2)).astype(np.float64) ** 2 + np.finfo(float).tiny
        power = np.maximum(noise[i : i + len(x)], least[:, None])  # a constant channel gets no noise
        parts.append(expected_cosine(x, power[:, None], is_real))
    return np.concatenate(parts)


def stationary_cosine(power_a: np.ndarray, power_b: np.ndarray) -> np.ndarray:
    """Expected cosine of two frames whose signals are Gaussian noise, from powers E|X|^2: (..., F) -> (...).

    It is pi / 4 times the Bhattacharyya coefficient of the two spectra, and so pi / 4 for any two equal
    spectra.
    """
    overlap = np.sqrt(power_a * power_b).sum(-1) / np.sqrt(power_a.sum(-1) * power_b.sum(-1))
    return np.pi / 4 * overlap
