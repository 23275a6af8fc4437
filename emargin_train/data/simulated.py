"""What the simulated datasets share: bouts of hidden states, and noise of one band."""

from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.fft

from emargin_train.data.recording import Part, Recording
from emargin_train.data.settings import DataConfig


def bouts(
    rng: np.random.Generator, seconds: float, follows: np.ndarray, log_seconds: np.ndarray, longest_s: float
) -> list[tuple[int, float]]:
    """States and their lengths in seconds, together at least `seconds`; starts with state 0.

    follows: (states, states), row: the state that ends, column: how probable each is next (any scale)
    log_seconds: (states, 2), mean and standard deviation of the log of a bout's seconds
    """
    chain: list[tuple[int, float]] = []
    state, reached = 0, 0.0
    while reached < seconds:
        bout = min(float(np.exp(rng.normal(*log_seconds[state]))), longest_s)
        chain.append((state, bout))
        reached += bout
        state = int(rng.choice(len(follows), p=follows[state] / follows[state].sum()))
    return chain


def band_noise(
    rng: np.random.Generator, samples: int, rate_hz: float, low_hz: float, high_hz: float
) -> np.ndarray:
    """(samples,) float32 Gaussian noise of unit power between two frequencies."""
    bins = np.arange(samples // 2 + 1)
    inside = bins[(bins * rate_hz >= low_hz * samples) & (bins * rate_hz < high_hz * samples)]
    spectrum = np.zeros(len(bins), np.complex64)
    spectrum[inside] = rng.standard_normal((len(inside), 2), np.float32).view(np.complex64)[:, 0]
    noise = scipy.fft.irfft(spectrum, samples)
    return noise / noise.std()


def drift(
    rng: np.random.Generator, samples: int, rate_hz: float, spread: float, width_s: float
) -> np.ndarray:
    """(samples,) float32 factor around 1 whose log varies with deviation `spread` over some `width_s`."""
    knots = round(samples / rate_hz) + 1  # one a second
    lags = np.arange(-int(4 * width_s), int(4 * width_s) + 1)
    slow = np.convolve(
        rng.standard_normal(knots + len(lags) - 1), np.exp(-0.5 * (lags / width_s) ** 2), "valid"
    )
    factor = np.exp(spread * slow / slow.std())
    return np.interp(np.arange(samples) / rate_hz, np.arange(knots), factor).astype(np.float32)


def one_part_per_subject(
    config: DataConfig, subjects: int, simulate: Callable[[int], Recording], settings: str
) -> list[Part]:
    """Parts that are simulated when they are read; `settings` names the simulator and its version."""
    n = subjects if config.subjects is None else min(config.subjects, subjects)
    return [
        Part(partial(_alone, simulate, subject), settings=f"{settings} {subject}") for subject in range(n)
    ]


def _alone(simulate: Callable[[int], Recording], subject: int) -> list[Recording]:
    return [simulate(subject)]
