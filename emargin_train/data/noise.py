"""Noise of a known strength, added to signals before spectra are taken.

Signal-to-noise ratio, per channel:

    SNR = 10 log10( var(signal) / var(noise) )    dB, over the labelled samples

Variances, not mean squares: a constant offset (gravity in an accelerometer, an electrode's potential)
carries no rhythm or movement and must not count as signal. The noise actually drawn is scaled, so the ratio
is exact, not only expected. A channel that is constant has no SNR and is left as it is.

The last three kinds imitate the baseline wander and electrode motion of the MIT-BIH Noise Stress Test
Database (Moody, Muldrow, Mark, Computers in Cardiology 11:381-384, 1984) and mains hum.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import scipy.fft

from emargin_train.data.recording import Recording
from emargin_train.errors import UserError, nearest

WANDER_HZ = (0.05, 0.5)
WANDER_TONES = 12
SECONDS_PER_BURST = 10.0
BURST_RISE_S = 0.05
BURST_DECAY_S = (0.2, 2.0)


def white(samples: int, rate_hz: float, labelled: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Equal power at all frequencies."""
    return rng.standard_normal(samples, np.float32)


def pink(samples: int, rate_hz: float, labelled: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Power falls as 1/f, from the record's own length up to half the rate."""
    bins = samples // 2 + 1
    spectrum = rng.standard_normal((bins, 2), np.float32).view(np.complex64)[:, 0]
    spectrum[0] = 0
    spectrum[1:] /= np.sqrt(np.arange(1, bins, dtype=np.float32))
    return scipy.fft.irfft(spectrum, samples)


def baseline_wander(
    samples: int, rate_hz: float, labelled: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A dozen tones from 0.05 to 0.5 Hz: breathing and slow movement."""
    seconds = np.arange(samples) / rate_hz
    wander = np.zeros(samples, np.float32)
    for _ in range(WANDER_TONES):
        frequency_hz, phase = rng.uniform(*WANDER_HZ), rng.uniform(0, 2 * np.pi)
        wander += np.float32(rng.uniform(0.5, 1)) * np.sin(2 * np.pi * frequency_hz * seconds + phase)
    return wander


def hum(mains_hz: float) -> Callable[[int, float, np.ndarray, np.random.Generator], np.ndarray]:
    """The mains' frequency, in a phase of its own for each channel."""

    def draw(samples: int, rate_hz: float, labelled: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rate_hz <= 2 * mains_hz:
            raise UserError(
                f"noise_kind is 'hum-{mains_hz:g}', but at {rate_hz:g} Hz only frequencies below "
                f"{rate_hz / 2:g} Hz can be recorded: give another kind of noise"
            )
        cycles = np.arange(samples) * (mains_hz / rate_hz)
        return np.sin(2 * np.pi * (cycles + rng.uniform())).astype(np.float32)

    return draw


def electrode_motion(
    samples: int, rate_hz: float, labelled: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Bursts, one in 10 s on average, each a quick shift that dies away; one at least at a label."""
    motion = np.zeros(samples, np.float32)
    n = 1 + rng.poisson(samples / rate_hz / SECONDS_PER_BURST)
    starts = rng.integers(0, samples, n)
    starts[0] = rng.choice(np.flatnonzero(labelled)[: -2 or None])
    for start in starts:
        decay_s = np.exp(rng.uniform(*np.log(BURST_DECAY_S)))
        height = rng.choice([-1, 1]) * rng.lognormal(0, 0.5)
        seconds = np.arange(min(samples - start, int(6 * decay_s * rate_hz) + 2)) / rate_hz
        shape = (1 - np.exp(-seconds / BURST_RISE_S)) * np.exp(-seconds / decay_s)
        motion[start : start + len(seconds)] += np.float32(height) * shape.astype(np.float32)
    return motion


KINDS: dict[str, Callable[[int, float, np.ndarray, np.random.Generator], np.ndarray]] = {
    "white": white,
    "pink": pink,
    "baseline-wander": baseline_wander,
    "hum-50": hum(50),
    "hum-60": hum(60),
    "electrode-motion": electrode_motion,
}


def add_noise(
    signal: np.ndarray,
    snr_db: float,
    kind: str,
    rng: np.random.Generator,
    *,
    rate_hz: float,
    labelled: np.ndarray | None = None,
) -> np.ndarray:
    """The signal with noise of exactly this SNR in every channel; see the module's definition.

    signal: (C, samples) float; rng: its state alone decides the noise's shape, snr_db only its height
    labelled: (samples,) bool, the samples whose power counts; None or nowhere true: all of them
    Returns (C, samples) in the signal's precision.
    """
    if kind not in KINDS:
        raise UserError(f"noise_kind is '{kind}': {nearest(kind, KINDS)}")
    samples = signal.shape[1]
    if labelled is None or not labelled.any():
        labelled = np.ones(samples, bool)
    noisy = signal.copy()
    for channel in noisy:
        noise = KINDS[kind](samples, rate_hz, labelled, rng).astype(np.float64)
        power = channel[labelled].var(dtype=np.float64)
        own = noise[labelled].var()
        if power > 0 and own > 0:
            channel += noise * np.sqrt(power / own / 10 ** (snr_db / 10))
    return noisy


def generator(recording: Recording, seed: int) -> np.random.Generator:
    """The same for a recording whatever else is read, and in whichever order."""
    identity = f"{recording.subject}/{recording.record}/{recording.start}"
    digest = hashlib.sha256(identity.encode()).digest()[:8]
    return np.random.default_rng([seed, int.from_bytes(digest)])
