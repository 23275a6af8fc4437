"""Raw spectra and a threshold -> which steps are called dissimilar."""

import numpy as np

from emargin_train.data.frames import Frames
from emargin_train.errors import UserError

CHUNK_SEQUENCES = 256


def adjacent_cosine(x: np.ndarray) -> np.ndarray:
    """Cosine of each frame with its successor in the same sequence: (N, T, F) -> (N, T - 1) float64.

    A frame of zeros has cosine 0 with everything.
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
    """Pseudo-labels of steps: (N, T - 1) cosines -> y (N, T) bool; a last frame has no successor: False."""
    return np.pad(cosine < threshold, ((0, 0), (0, 1)))


def dissimilar(x: np.ndarray, threshold: float) -> np.ndarray:
    """y_t = 1 where cos(x_t, x_{t+1}) < threshold: (N, T, F) -> (N, T) bool, the last frame False."""
    return below(adjacent_cosine(x), threshold)


def true_changes(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of (N, T) class labels, -1 = unlabelled: (changed, known), both (N, T - 1) bool.

    A step is known where both of its frames are labelled.
    """
    known = (y[:, :-1] >= 0) & (y[:, 1:] >= 0)
    return known & (y[:, :-1] != y[:, 1:]), known


def resolve_threshold(
    train: Frames, *, threshold: float | None = None, dissimilar_share: float | None = None
) -> tuple[float, float]:
    """(threshold, dissimilar share of the training steps): one is given, the other follows.

    For a given share q of n steps, the threshold is the cosine with round(q n) steps below it; for q = 1 it
    is the next number above the largest cosine. Ties can make the share that results, which is the one
    returned, smaller than the share asked for.

    Raises UserError for sequences of one frame.
    """
    if train.shape[1] < 2:
        raise UserError(
            "a threshold divides the steps from a frame to the next, but sequences have 1 frame: give a "
            "sequence length of 2 or more"
        )
    cosine = np.sort(adjacent_cosines(train), axis=None)
    if dissimilar_share is not None:
        k = round(dissimilar_share * len(cosine))
        threshold = cosine[k] if k < len(cosine) else np.nextafter(cosine[-1], np.inf)
    elif threshold is None:
        raise ValueError("neither threshold nor dissimilar_share is given")
    return float(threshold), float((cosine < threshold).mean())
