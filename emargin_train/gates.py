"""The gate: where the labels y of the margin kernel come from, as intended or for comparison."""

import numpy as np

from emargin_train.data.frames import Frames
from emargin_train.pseudo_labels import adjacent_cosines, below, true_changes

GATES = ("intended", "all-similar", "all-dissimilar", "random", "oracle", "released")


def released_labels(cosine: np.ndarray, threshold: float) -> np.ndarray:
    """The released code's labels of any array of adjacent cosines: bool, same shape.

    The code sets cosines above the threshold to 0, and then everything at or below the threshold to 1. With a
    threshold of 0 or more, everything becomes 1.
    """
    return np.ones(cosine.shape, bool) if threshold >= 0 else cosine <= threshold


def gate_labels(gate: str, frames: Frames, threshold: float, *, seed: int) -> np.ndarray:
    """Labels y of all anchors, (N, T) bool. A last frame is False, but for `all-dissimilar` and `released`.

    intended: y is 1 where cos(x_t, x_{t+1}) < threshold
    random: the intended labels, shuffled over all steps
    oracle: y is 1 where the class changes from t to t + 1; steps with an unlabelled frame count as no change
    all-similar, all-dissimilar: y is 0, or 1, everywhere
    released: `released_labels`, where a last frame counts as a cosine above the threshold
    """
    n, t, _ = frames.shape
    if gate == "all-similar":
        return np.zeros((n, t), bool)
    if gate == "all-dissimilar":
        return np.ones((n, t), bool)
    if gate == "oracle":
        return np.pad(true_changes(frames.y)[0], ((0, 0), (0, 1)))
    cosine = adjacent_cosines(frames)
    if gate == "released":
        return released_labels(np.pad(cosine, ((0, 0), (0, 1)), constant_values=np.inf), threshold)
    y = below(cosine, threshold)
    if gate == "random":
        steps = y[:, :-1]
        y[:, :-1] = np.random.default_rng(seed).permutation(steps.ravel()).reshape(steps.shape)
    return y
