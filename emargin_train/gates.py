"""Where the labels y of the margin kernel come from: the intended ones, and what to compare them with."""

import numpy as np

from emargin_train.data.frames import Frames
from emargin_train.pseudo_labels import adjacent_cosines, below, true_changes

GATES = ("intended", "all-similar", "all-dissimilar", "random", "oracle", "released")


def released_labels(cosine: np.ndarray, threshold: float) -> np.ndarray:
    """The released code's labels of any array of adjacent cosines: bool, same shape.

    It sets cosines above the threshold to 0, and then everything at or below the threshold to 1: for
    a threshold of 0 or more that is everything.
    """
    return np.ones(cosine.shape, bool) if threshold >= 0 else cosine <= threshold


def gate_labels(gate: str, frames: Frames, threshold: float, *, seed: int) -> np.ndarray:
    """Labels y of all anchors, (N, T) bool; a last frame is False but for `all-dissimilar` and `released`.

    intended: cos(x_t, x_{t+1}) < threshold; random: these, shuffled over all steps (same share);
    oracle: the class changes from t to t + 1, unlabelled steps do not; all-similar; all-dissimilar;
    released: `released_labels`, a last frame compared with nothing
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
