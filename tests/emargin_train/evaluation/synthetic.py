"""Small labelled splits whose classes differ by known amounts."""

import numpy as np

from emargin_train.data.frames import Frames, Splits

CLASSES = ("A", "B", "C")


def frames(
    n: int, subjects: str, *, seed: int, shares: tuple[float, ...] = (0.6, 0.3, 0.1), t: int = 20
) -> Frames:
    """n sequences of t frames of 6 magnitudes; classes in runs of five frames, the first frame unlabelled."""
    rng = np.random.default_rng(seed)
    y = np.repeat(rng.choice(len(shares), size=(n, t // 5), p=shares), 5, axis=1).astype(np.int64)
    centre = np.array([[4, 1, 1, 1, 1, 1], [1, 4, 1, 1, 1, 1], [1, 1, 4, 1, 1, 1]], np.float32)
    store = np.abs(centre[y] + rng.standard_normal((n, t, 6))).astype(np.float32)
    y[:, 0] = -1
    subject = np.array([subjects[i % len(subjects)] for i in range(n)])
    return Frames(store, np.arange(n), y, subject, np.char.add("r", subject), np.arange(n) * t)


def splits(*, test: bool = True, **options: tuple[float, ...]) -> Splits:
    """Training a to f, validation g and h, test i and j."""
    return Splits(
        train=frames(60, "abcdef", seed=0),
        validation=frames(30, "gh", seed=1, **options),
        test=frames(30, "ij", seed=2) if test else None,
        class_names=CLASSES,
        data_hash="none",
        magnitude_scale=1.0,
        n_dropped={},
        described=(),
    )
