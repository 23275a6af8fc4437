"""Raw spectra and a threshold -> which steps are called dissimilar."""

import numpy as np

from emargin_train.data.frames import Frames
from emargin_train.errors import UserError

CHUNK_SEQUENCES = 256


def adjacent_cosine(x: np.ndarray) -> np.ndarray:
    """Cosine of each frame with its successor in the same sequence: (N, T, F) -> (N, T - 1) float64.

    A frame of zeros has a cosine of 0 with every frame.
    """
    x = x.astype(np.float64)
    norm = np.sqrt(np.einsum("ntf,ntf->nt", x, x))
    dot = np.einsum("ntf,ntf->nt", x[:, :-1], x[:, 1:])
    scale = norm[:, :-1] * norm[:, 1:]
    return np.divide(dot, scale, out=np.zeros_like(dot), where=scale > 0).clip(-1, 1)


def adjacent_cosines(frames: Frames) -> np.ndarray:
    """`adjacent_cosine` of all sequences, a chunk at a time: (N, T - 1) float64."""
    n = len(frames)
    chunks = [slice(i, i + CHUNK_SEQUENCES) for i in range(0, n, CHUNK_SEQUENCES)]
    return np.concatenate([adjacent_cosine(frames.x(chunk)) for chunk in chunks])


def below(cosine: np.ndarray, threshold: float) -> np.ndarray:
    """Pseudo-labels of steps: (N, T - 1) cosines -> y (N, T) bool, False for a last frame (no successor)."""
    return np.pad(cosine < threshold, ((0, 0), (0, 1)))


def dissimilar(x: np.ndarray, threshold: float) -> np.ndarray:
    """y_t = 1 where cos(x_t, x_{t+1}) < threshold: (N, T, F) -> (N, T) bool, the last frame False."""
    return below(adjacent_cosine(x), threshold)


def true_changes(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, T) class labels, -1 = unlabelled -> (changed, known), both (N, T - 1) bool.

    changed: whether the class changes in this step; known: whether both frames of the step are labelled
    """
    known = (y[:, :-1] >= 0) & (y[:, 1:] >= 0)
    return known & (y[:, :-1] != y[:, 1:]), known


def resolve_threshold(
    train: Frames, *, threshold: float | None = None, dissimilar_share: float | None = None
) -> tuple[float, float]:
    """(threshold, dissimilar share of the training steps): the user gives one, and the other follows from it.

    For a given share q of n steps, the threshold is the cosine with round(q n) steps below it; for q = 1 it
    is the next number above the largest cosine. The returned share is the one that results: where several
    steps have the same cosine, it can be smaller than the given share.

    Raises UserError for sequences of one frame.
    """
    if train.shape[1] < 2:
        raise UserError(
            "a threshold divides the steps from one frame to the next, but sequences have 1 frame: give a "
            "sequence length of 2 or more"
        )
    cosine = np.sort(adjacent_cosines(train), axis=None)
    if dissimilar_share is not None:
        k = round(dissimilar_share * len(cosine))
        threshold = cosine[k] if k < len(cosine) else np.nextafter(cosine[-1], np.inf)
    elif threshold is None:
        raise ValueError("neither threshold nor dissimilar_share is given")
    return float(threshold), float((cosine < threshold).mean())
