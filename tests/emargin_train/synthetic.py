"""Simulated frames: classes with different spectra, in runs, from several subjects."""

import numpy as np

from emargin_train.data.frames import Frames, Splits


def make_frames(
    n: int = 12, t: int = 20, f: int = 15, *, n_classes: int = 3, n_subjects: int = 4, seed: int = 0
) -> Frames:
    """Sequences of class runs; a frame is its class's positive profile times noise."""
    rng = np.random.default_rng(seed)
    profile = rng.gamma(1.0, 1.0, (n_classes, f))
    y = np.cumsum(rng.random((n, t)) < 0.15, axis=1) + rng.integers(n_classes, size=(n, 1))
    y = y % n_classes
    store = (profile[y] * rng.gamma(4.0, 0.25, (n, t, f))).astype(np.float32)
    who = np.array([f"s{i % n_subjects}" for i in range(n)])

    def samples() -> np.ndarray:
        """Of one channel, two for each feature: noise that is as loud as the features."""
        noise = np.random.default_rng(seed + 1).normal(size=(n, t, 2 * f))
        return (noise * np.repeat(store, 2, axis=2)).astype(np.float32)

    return Frames(store, np.arange(n), y, who, who, np.zeros(n, np.int64), samples)


def make_splits(n_train: int = 12, n_validation: int = 4, *, seed: int = 0, **size: int) -> Splits:
    both = make_frames(n_train + n_validation, seed=seed, **size)
    return Splits(
        train=both.select(np.arange(n_train)),
        validation=both.select(np.arange(n_train, n_train + n_validation)),
        test=None,
        class_names=("a", "b", "c"),
        data_hash="synthetic",
        magnitude_scale=float(np.median(both.store)),
        n_dropped={},
        described=(),
    )
