"""`sleepeeg-sim`: labelled sleep EEG with known change points, for studies without a download.

A hidden chain of sleep stages (30 s epochs) sets the power of six frequency bands; within a stage each
band's amplitude drifts slowly, so magnitudes are heavy-tailed as real ones are. Every subject has bands of
its own strength.

Stage chain: which stage follows which, and how long bouts last (log-normal), as counted in the 20
hypnograms of Sleep-EDF Expanded, sleep-cassette subjects 0-9, cropped to 30 min around sleep (Kemp et al.,
IEEE Trans Biomed Eng 47(9), 2000). Band amplitudes: chosen by us after the scoring rules' descriptions
(alpha and muscle in W, theta in N1 and REM, sigma in N2, delta in N3), not fitted to anybody.
"""

from functools import partial

import numpy as np
import scipy.fft
from scipy.ndimage import gaussian_filter1d

from emargin_train.config import DataConfig
from emargin_train.data.recording import Part, Recording

VERSION = 1  # raise it whenever the signal of a given subject changes
RATE_HZ = 100
SUBJECTS = 10
EPOCH_S = 30
EPOCHS = 360  # 3 hours
STAGES = ("W", "N1", "N2", "N3", "REM")

# Row: stage that ends; column: stage that follows.
FOLLOWS = np.array(
    [
        [0.000, 0.909, 0.027, 0.004, 0.060],
        [0.155, 0.000, 0.685, 0.002, 0.158],
        [0.108, 0.246, 0.000, 0.486, 0.160],
        [0.034, 0.046, 0.915, 0.000, 0.005],
        [0.218, 0.535, 0.243, 0.004, 0.000],
    ]
)
# Mean and standard deviation of the log of a bout's length in epochs.
BOUT = np.array([[0.77, 0.99], [0.71, 0.73], [1.65, 1.23], [0.99, 1.25], [2.20, 1.06]])
LONGEST_BOUT = 90  # epochs

BANDS_HZ = ((0.5, 4), (4, 8), (8, 12), (12, 15), (15, 30), (30, 50))  # delta to gamma (mostly muscle)
# Root mean square in uV; row: stage, column: band.
AMPLITUDE_UV = np.array(
    [
        [9.0, 6.0, 12.0, 4.0, 7.0, 4.0],
        [11.0, 9.0, 6.5, 3.5, 5.0, 2.5],
        [19.0, 9.0, 5.0, 6.5, 3.5, 1.6],
        [40.0, 11.0, 4.5, 4.0, 2.5, 1.2],
        [11.0, 10.0, 5.5, 3.0, 4.5, 1.4],
    ]
)
SUBJECT_SPREAD = 0.25  # standard deviation of a subject's log amplitude, per band
DRIFT_SPREAD = 0.40  # the same over time within a recording
DRIFT_S = 5.0


def stages(rng: np.random.Generator, epochs: int = EPOCHS) -> np.ndarray:
    """(epochs,) int16 stage of each 30 s epoch; starts awake."""
    chain: list[int] = []
    stage = 0
    while len(chain) < epochs:
        mean, spread = BOUT[stage]
        bout = round(float(np.exp(rng.normal(mean, spread))))
        chain += [stage] * min(max(bout, 1), LONGEST_BOUT)
        stage = int(rng.choice(len(STAGES), p=FOLLOWS[stage] / FOLLOWS[stage].sum()))
    return np.array(chain[:epochs], np.int16)


def band_noise(rng: np.random.Generator, samples: int, low_hz: float, high_hz: float) -> np.ndarray:
    """(samples,) float32 Gaussian noise of unit power within one band."""
    frequencies = scipy.fft.rfftfreq(samples, 1 / RATE_HZ)
    inside = np.flatnonzero((frequencies >= low_hz) & (frequencies < high_hz))
    spectrum = np.zeros(len(frequencies), np.complex64)
    spectrum[inside] = rng.standard_normal((len(inside), 2), np.float32).view(np.complex64)[:, 0]
    noise = scipy.fft.irfft(spectrum, samples)
    return noise / noise.std()


def drift(rng: np.random.Generator, samples: int) -> np.ndarray:
    """(samples,) float32 slowly varying factor, log-normal around 1."""
    seconds = -(-samples // RATE_HZ) + 1
    slow = gaussian_filter1d(rng.standard_normal(seconds), DRIFT_S, mode="wrap")
    knots = np.exp(DRIFT_SPREAD * slow / slow.std())
    return np.interp(np.arange(samples) / RATE_HZ, np.arange(seconds), knots).astype(np.float32)


def simulate(subject: int, epochs: int = EPOCHS) -> Recording:
    """One night of one subject, the same at every call; labels change exactly where the powers change."""
    rng = np.random.default_rng([VERSION, subject])
    labels = np.repeat(stages(rng, epochs), EPOCH_S * RATE_HZ)
    own = np.exp(SUBJECT_SPREAD * rng.standard_normal(len(BANDS_HZ)))
    signal = np.zeros(len(labels), np.float32)
    for band, (low_hz, high_hz) in enumerate(BANDS_HZ):
        amplitude = (AMPLITUDE_UV[:, band] * own[band]).astype(np.float32)
        signal += band_noise(rng, len(labels), low_hz, high_hz) * drift(rng, len(labels)) * amplitude[labels]
    name = f"sim{subject:02d}"
    clean = signal[None]
    return Recording(
        clean, RATE_HZ, labels, STAGES, name, name, channels=("EEG",), units=("uV",), clean=clean
    )


def _night(subject: int) -> list[Recording]:
    return [simulate(subject)]


def parts(config: DataConfig) -> list[Part]:
    """One part per subject."""
    n = SUBJECTS if config.subjects is None else min(config.subjects, SUBJECTS)
    return [
        Part(partial(_night, subject), settings=f"sleepeeg-sim {VERSION} {subject} {EPOCHS}")
        for subject in range(n)
    ]
