"""`ecg-sim`: labelled two-lead ECG with known rhythms and change points.

Beats come from ECGSYN (McSharry et al., IEEE Trans Biomed Eng 50(3):289-294, 2003; neurokit2's version) at
several heart rates. A hidden chain of rhythms decides when they come and what lies between them:

    AFIB  no P wave, irregular RR intervals (gamma-distributed, uncorrelated), fibrillatory waves near 6 Hz,
          saw-toothed as modelled by Stridh and Soernmo (IEEE Trans Biomed Eng 48(1):105-111, 2001)
    AFL   no P wave, a regular sawtooth near 5 Hz, every second to fourth of its waves conducted
    J     no P wave, slow and very regular
    N     P wave, RR intervals varying with breathing and slowly

Every subject has wave heights, heart rates and f waves of its own. Rhythms change at an R peak.
"""

from functools import cache

import numpy as np

from emargin_train.data.ecg import CLASS_NAMES
from emargin_train.data.recording import Part, Recording
from emargin_train.data.settings import DataConfig
from emargin_train.data.simulated import bouts, drift, one_part_per_subject

VERSION = 1  # raise it whenever the signal of a given subject changes
RATE_HZ = 250
SUBJECTS = 12
SECONDS = 2403  # 800 frames of 6 s every 3 s: four sequences of 200
AFIB, AFL, J, N = range(4)

# Row: rhythm that ends; column: rhythm that follows.
FOLLOWS = np.array([[0, 0.25, 0.05, 0.7], [0.5, 0, 0.1, 0.4], [0.05, 0, 0, 0.95], [0.5, 0.25, 0.25, 0]])
MEDIAN_S = (120.0, 70.0, 50.0, 120.0)
BOUT_SPREAD = 0.6  # standard deviation of the log of a bout's length
LONGEST_S = 600.0

PHASES = 512  # of one beat, from R peak to R peak
BEAT_RATES = (45, 80, 140)  # per minute, simulated by ECGSYN; other beats are mixed from the two nearest
# ECGSYN's wave heights P, Q, R, S, T: its own for MLII; for V1 ours, with the deep S wave of that lead.
LEADS = {"MLII": (1.2, -5.0, 30.0, -7.5, 0.75), "V1": (0.6, 0.0, 8.0, -25.0, 0.4)}
QRS_MV = {"MLII": 1.5, "V1": 1.0}  # from peak to peak


@cache
def waves() -> np.ndarray:
    """(rates, leads, 3, PHASES) QRS, P and T wave of a beat at each of BEAT_RATES, in mV.

    ECGSYN is linear in its wave heights, so the waves are differences of beats with and without them; the
    library scales every signal to one height, which is that of QRS in all of them. Ends are equal for all
    rates, so that any beat may follow any other.
    """
    found = np.empty((len(BEAT_RATES), len(LEADS), 3, PHASES))
    for i, rate in enumerate(BEAT_RATES):
        for k, (lead, heights) in enumerate(LEADS.items()):
            whole, no_p, no_t = (_beat(rate, heights, without) for without in (None, 0, 4))
            waves = np.array([no_p + no_t - whole, whole - no_p, whole - no_t])
            waves -= np.median(waves, axis=1, keepdims=True)  # most of a beat holds none of the three
            found[i, k] = waves * QRS_MV[lead] / 1.6
    ends = found[..., [0, -1]]
    wanted = np.zeros_like(ends)
    wanted[:, :, 0] = ends[:, :, 0].mean((0, 2))[:, None]  # QRS: the R peak; P and T: nothing
    near = np.exp(-np.arange(PHASES) / 4)  # changes only the ends
    return found + (wanted - ends)[..., :1] * near + (wanted - ends)[..., 1:] * near[::-1]


def _beat(rate: int, heights: tuple[float, ...], without: int | None) -> np.ndarray:
    """(PHASES,) one ECGSYN beat without one of its waves, from R peak to R peak."""
    import neurokit2

    period = 60 / rate
    z = neurokit2.ecg_simulate(
        duration=3 * period,
        sampling_rate=RATE_HZ,
        noise=0,
        heart_rate=rate,
        heart_rate_std=1e-6,
        random_state=0,
        ai=[0.0 if wave == without else height for wave, height in enumerate(heights)],
    )
    # The angle starts at 0, on an R peak, and turns once a period: the next R peak comes after one period.
    seconds = np.linspace(period, 2 * period, PHASES)
    return np.interp(seconds, np.arange(len(z)) / RATE_HZ, z)


def beat_of(rr_s: float, height: np.ndarray) -> np.ndarray:
    """(leads, samples) one beat of that length; height: (leads, 3) factors of QRS, P and T."""
    place = np.interp(np.log(60 / rr_s), np.log(BEAT_RATES), np.arange(len(BEAT_RATES)))
    below = min(int(place), len(BEAT_RATES) - 2)
    mixed = (1 - place + below) * waves()[below] + (place - below) * waves()[below + 1]
    beat = (mixed * height[:, :, None]).sum(1)  # (leads, PHASES)
    samples = round(rr_s * RATE_HZ)
    at = np.arange(samples) * (
        (PHASES - 1) / samples
    )  # the next beat starts on the R peak that ends this one
    return np.array([np.interp(at, np.arange(PHASES), lead) for lead in beat])


def intervals(
    rng: np.random.Generator, rhythm: int, seconds: float, pace: float, flutter_s: float
) -> np.ndarray:
    """RR intervals in seconds that fill `seconds` of one rhythm; `pace` scales a subject's heart rate."""
    n = int(seconds / 0.3) + 2
    if rhythm == AFIB:
        rr = np.maximum(0.3, rng.gamma(1 / 0.2**2, 0.65 * 0.2**2, n))
    elif rhythm == AFL:
        rr = flutter_s * np.repeat(rng.choice([2, 3, 4], n, p=[0.5, 0.2, 0.3]), 8)[:n]
    elif rhythm == J:
        rr = 1.2 * np.exp(0.01 * rng.standard_normal(n))
    else:
        breathing = 0.03 * np.sin(2 * np.pi * 0.25 * np.arange(n) * 0.85 + rng.uniform(0, 2 * np.pi))
        slow = 0.04 * np.cumsum(rng.standard_normal(n)) / np.sqrt(np.arange(n) + 10)
        rr = 0.85 * np.exp(breathing + np.clip(slow, -0.2, 0.2))
    rr = rr if rhythm == AFL else np.maximum(0.3, rr / pace)
    return rr[: max(1, int(np.searchsorted(np.cumsum(rr), seconds)))]


def sawtooth(phase: np.ndarray, harmonics: int) -> np.ndarray:
    """Sum of sin(k phase) / k."""
    return sum((np.sin(k * phase) / k for k in range(1, harmonics + 1)), np.zeros(len(phase)))


def simulate(subject: int) -> Recording:
    """One recording of one subject, the same at every call; labels change exactly where a rhythm starts."""
    rng = np.random.default_rng([VERSION, subject])
    n = SECONDS * RATE_HZ
    pace = np.exp(0.12 * rng.standard_normal())
    height = np.exp(0.2 * rng.standard_normal((2, 3))) * np.exp(0.2 * rng.standard_normal((2, 1)))
    flutter_s = 0.2 * np.exp(0.08 * rng.standard_normal())
    fibrillation_hz = 6.0 * np.exp(0.12 * rng.standard_normal())

    beats, labels = [], []
    log_seconds = np.array([[np.log(median), BOUT_SPREAD] for median in MEDIAN_S])
    for rhythm, seconds in bouts(rng, SECONDS + LONGEST_S, FOLLOWS, log_seconds, LONGEST_S):
        present = height * np.array([1, rhythm == N, 1])  # P waves in N alone
        for rr_s in intervals(rng, rhythm, seconds, pace, flutter_s):
            beats.append(beat_of(rr_s, present))
            labels.append(np.full(beats[-1].shape[1], rhythm, np.int16))
    label = np.concatenate(labels)[:n]
    signal = np.concatenate(beats, axis=1)[:, :n]

    wandering = drift(rng, n, RATE_HZ, 0.08, 1.0)
    fibrillation = sawtooth(2 * np.pi * np.cumsum(fibrillation_hz * wandering) / RATE_HZ, 3)
    fibrillation *= drift(rng, n, RATE_HZ, 0.3, 2.0)
    flutter = sawtooth(2 * np.pi * np.arange(n) / RATE_HZ / flutter_s, 8)
    for lead, (coarse_mv, fine_mv) in enumerate(((0.12, 0.03), (0.08, 0.06))):
        signal[lead] += coarse_mv * flutter * (label == AFL) + fine_mv * fibrillation * (label == AFIB)
    breathing = 1 + 0.05 * np.sin(2 * np.pi * 0.25 * np.arange(n) / RATE_HZ)
    clean = (signal * breathing).astype(np.float32)
    name = f"sim{subject:02d}"
    return Recording(
        clean, RATE_HZ, label, CLASS_NAMES, name, name, channels=tuple(LEADS), units=("mV", "mV"), clean=clean
    )


def parts(config: DataConfig) -> list[Part]:
    """One part per subject."""
    return one_part_per_subject(config, SUBJECTS, simulate, f"ecg-sim {VERSION}")
