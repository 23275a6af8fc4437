"""`sleepeeg-sim`: labelled sleep EEG with known change points, for studies without a download.

A hidden chain of sleep stages (30 s epochs) sets the power of six frequency bands; within a stage each
band's amplitude drifts slowly, so magnitudes are heavy-tailed as real ones are. Every subject has bands of
its own strength.

Stage chain: which stage follows which, and how long bouts last (log-normal), as counted in the 20
hypnograms of Sleep-EDF Expanded, sleep-cassette subjects 0-9, cropped to 30 min around sleep (Kemp et al.,
IEEE Trans Biomed Eng 47(9), 2000). Band amplitudes: chosen by us after the scoring rules' descriptions
(alpha and muscle in W, theta in N1 and REM, sigma in N2, delta in N3), not fitted to anybody.
"""

import numpy as np

from emargin_train.data.recording import Part, Recording
from emargin_train.data.settings import DataConfig
from emargin_train.data.simulated import band_noise, bouts, drift, one_part_per_subject

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
# Mean and standard deviation of the log of a bout's seconds.
LOG_SECONDS = np.array([[4.17, 0.99], [4.11, 0.73], [5.05, 1.23], [4.39, 1.25], [5.60, 1.06]])
LONGEST_S = 2700.0

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


def simulate(subject: int) -> Recording:
    """One night of one subject, the same at every call; labels change exactly where the powers change."""
    rng = np.random.default_rng([VERSION, subject])
    labels = np.repeat(stages(rng), EPOCH_S * RATE_HZ)
    n = len(labels)
    own = np.exp(SUBJECT_SPREAD * rng.standard_normal(len(BANDS_HZ)))
    signal = np.zeros(n, np.float32)
    for band, (low_hz, high_hz) in enumerate(BANDS_HZ):
        amplitude = (AMPLITUDE_UV[:, band] * own[band]).astype(np.float32)
        noise = band_noise(rng, n, RATE_HZ, low_hz, high_hz)
        signal += noise * drift(rng, n, RATE_HZ, DRIFT_SPREAD, DRIFT_S) * amplitude[labels]
    name = f"sim{subject:02d}"
    clean = signal[None]
    return Recording(
        clean, RATE_HZ, labels, STAGES, name, name, channels=("EEG",), units=("uV",), clean=clean
    )


def stages(rng: np.random.Generator) -> np.ndarray:
    """(EPOCHS,) int16 stage of each 30 s epoch; starts awake."""
    chain = bouts(rng, EPOCHS * EPOCH_S, FOLLOWS, LOG_SECONDS, LONGEST_S)
    epochs = [np.full(max(1, round(seconds / EPOCH_S)), stage, np.int16) for stage, seconds in chain]
    return np.resize(np.concatenate(epochs), EPOCHS)


def parts(config: DataConfig) -> list[Part]:
    """One part per subject."""
    return one_part_per_subject(config, SUBJECTS, simulate, f"sleepeeg-sim {VERSION}")
