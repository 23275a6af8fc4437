"""`harth-sim`: labelled accelerations of back and thigh with known change points.

A hidden chain of activities sets, for each of the two sensors, which way gravity points and how its three
axes move: a periodic part (cadence and its harmonics, one phase for both sensors) and an irregular part.
Every subject has a cadence, a vigour and sensor mountings of its own; cadence and vigour drift within a bout.

Postures and cadences: chosen by us after ordinary values (walking 1.9 steps a second, running 2.8, cycling
1.3 turns a second; lying turns the back's gravity, sitting the thigh's), not fitted to anybody's data.
Axes as in HARTH (Logacjov et al., Sensors 21(23):7853, 2021): x down the body, y to the side, z to the front.
"""

from dataclasses import dataclass

import numpy as np

from emargin_train.data.recording import Part, Recording
from emargin_train.data.settings import DataConfig
from emargin_train.data.simulated import band_noise, bouts, drift, one_part_per_subject

VERSION = 1  # raise it whenever the signal of a given subject changes
RATE_HZ = 50
SUBJECTS = 12
SECONDS = 1799  # 3,597 frames of a second every half second: 30 sequences of 119
CHANNELS = ("back_x", "back_y", "back_z", "thigh_x", "thigh_y", "thigh_z")


@dataclass(frozen=True)
class Activity:
    """What one class does; accelerations in g."""

    name: str
    back: tuple[float, float, float]  # gravity at rest
    thigh: tuple[float, float, float]
    cadence_hz: float  # 0: nothing periodic
    swing: tuple[float, float]  # amplitude of the periodic part at back and thigh
    jitter: float  # root mean square of the irregular part
    seconds: float  # median length of a bout
    after: tuple[int, ...]  # which activities may follow


UPRIGHT, LEANING = (-0.97, 0.0, -0.15), (-0.80, 0.0, 0.55)
SEATED, PEDALLING = (-0.15, 0.05, 0.95), (-0.60, 0.0, 0.70)
ACTIVITIES = (
    Activity("walking", UPRIGHT, (-0.97, 0.0, 0.1), 1.9, (0.22, 0.38), 0.07, 25, (1, 1, 2, 3, 4, 5, 6, 8)),
    Activity("running", UPRIGHT, (-0.95, 0.0, 0.1), 2.8, (0.75, 1.05), 0.18, 40, (0, 5)),
    Activity("shuffling", UPRIGHT, (-0.97, 0.0, 0.1), 1.1, (0.05, 0.09), 0.06, 6, (0, 5)),
    Activity(
        "stairs (ascending)", (-0.94, 0.0, 0.2), (-0.9, 0.0, 0.3), 1.6, (0.2, 0.36), 0.08, 15, (0, 4, 5)
    ),
    Activity("stairs (descending)", UPRIGHT, (-0.92, 0.0, 0.2), 1.9, (0.34, 0.42), 0.12, 13, (0, 3, 5)),
    Activity("standing", UPRIGHT, (-0.98, 0.0, 0.05), 0.0, (0.0, 0.0), 0.012, 25, (0, 2, 2, 6, 9)),
    Activity("sitting", (-0.93, 0.0, 0.2), SEATED, 0.0, (0.0, 0.0), 0.006, 70, (5, 5, 7)),
    Activity("lying", (-0.1, 0.25, -0.95), (-0.1, 0.3, 0.93), 0.0, (0.0, 0.0), 0.004, 80, (6,)),
    Activity("cycling (sit)", LEANING, PEDALLING, 1.3, (0.06, 0.42), 0.07, 45, (0, 5, 9, 10)),
    Activity("cycling (stand)", (-0.75, 0.0, 0.6), (-0.85, 0.0, 0.4), 1.1, (0.16, 0.5), 0.1, 12, (8, 8, 11)),
    Activity("cycling (sit, inactive)", LEANING, PEDALLING, 0.0, (0.0, 0.0), 0.06, 12, (8, 8, 5)),
    Activity(
        "cycling (stand, inactive)", (-0.75, 0.0, 0.6), (-0.93, 0.0, 0.25), 0.0, (0.0, 0.0), 0.07, 8, (8, 9)
    ),
)
CLASS_NAMES = tuple(activity.name for activity in ACTIVITIES)
HARMONICS = ((1, 1.0), (2, 0.6), (3, 0.3))  # of the cadence: number and relative amplitude
AXES = ((1.0, 0.0), (0.35, 1.1), (0.6, 2.3))  # x, y, z: share of the swing and phase
BOUT_SPREAD = 0.6  # standard deviation of the log of a bout's length
LONGEST_S = 300.0
SUBJECT_SPREAD = 0.15  # of a subject's log cadence (a third of it), vigour and posture
DRIFT_SPREAD = 0.15  # of vigour within a recording


def simulate(subject: int) -> Recording:
    """One recording of one subject, the same at every call; labels change exactly where the movement does."""
    rng = np.random.default_rng([VERSION, subject])
    n = SECONDS * RATE_HZ
    labels = activities(rng, n)
    vigour = float(np.exp(SUBJECT_SPREAD * rng.standard_normal()))
    vigour_now = vigour * drift(rng, n, RATE_HZ, DRIFT_SPREAD, 5.0)
    cadence = np.array([activity.cadence_hz for activity in ACTIVITIES])
    cadence *= np.exp(SUBJECT_SPREAD / 3 * rng.standard_normal(len(cadence)))
    phase = 2 * np.pi * np.cumsum(cadence[labels] * drift(rng, n, RATE_HZ, 0.03, 5.0)) / RATE_HZ

    signal = np.empty((6, n), np.float32)
    jitter = np.array([activity.jitter for activity in ACTIVITIES])[labels]
    for sensor, place in enumerate(("back", "thigh")):
        gravity = np.array([getattr(activity, place) for activity in ACTIVITIES]) @ mounting(rng)
        swing = np.array([activity.swing[sensor] for activity in ACTIVITIES])[labels] * vigour_now
        for axis, (share, lag) in enumerate(AXES):
            rest = gravity[:, axis] + 0.05 * rng.standard_normal(len(ACTIVITIES))
            moving = sum(height * np.sin(order * phase + lag * order) for order, height in HARMONICS)
            irregular = band_noise(rng, n, RATE_HZ, 0.3, RATE_HZ / 2)
            signal[3 * sensor + axis] = (
                rest[labels] + share * swing * moving + jitter * vigour_now * irregular
            )
    name = f"sim{subject:02d}"
    return Recording(
        signal, RATE_HZ, labels, CLASS_NAMES, name, name, channels=CHANNELS, units=("g",) * 6, clean=signal
    )


def activities(rng: np.random.Generator, samples: int) -> np.ndarray:
    """(samples,) int16 activity of each sample; starts walking."""
    follows = np.array([[activity.after.count(k) for k in range(12)] for activity in ACTIVITIES], float)
    log_seconds = np.array([[np.log(activity.seconds), BOUT_SPREAD] for activity in ACTIVITIES])
    chain = bouts(rng, samples / RATE_HZ, follows, log_seconds, LONGEST_S)
    each = [np.full(max(1, round(seconds * RATE_HZ)), state, np.int16) for state, seconds in chain]
    return np.resize(np.concatenate(each), samples)


def mounting(rng: np.random.Generator) -> np.ndarray:
    """(3, 3) rotation by some 8 degrees: how a sensor sits on this subject."""
    x, y, z = SUBJECT_SPREAD * rng.standard_normal(3)
    turned, _ = np.linalg.qr(np.array([[1, -z, y], [z, 1, -x], [-y, x, 1]]))
    return turned * np.sign(np.diag(turned))  # qr may flip axes


def parts(config: DataConfig) -> list[Part]:
    """One part per subject."""
    return one_part_per_subject(config, SUBJECTS, simulate, f"harth-sim {VERSION}")
