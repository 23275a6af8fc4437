"""Scores of a classifier, computed from its confusion matrix.

counts: (K, K), rows are true classes, columns predicted ones. A class without frames has no recall and is
left out of means over classes; a class that is never predicted has precision 0.
"""

import numpy as np


def confusion(true: np.ndarray, guess: np.ndarray, classes: int) -> np.ndarray:
    """(K, K) int64 counts of (true, predicted), both 0 to K-1."""
    return np.bincount(true * classes + guess, minlength=classes**2).reshape(classes, classes)


def accuracy(counts: np.ndarray) -> float:
    """Share of frames that are classified correctly."""
    return float(counts.trace() / counts.sum())


def recalls(counts: np.ndarray) -> np.ndarray:
    """Share of each class's frames that are classified correctly: (K,), NaN for a class without frames."""
    frames = counts.sum(1)
    return np.where(frames > 0, counts.diagonal() / np.maximum(frames, 1), np.nan)


def balanced_accuracy(counts: np.ndarray) -> float:
    """Mean recall over the classes that have frames; also called macro recall."""
    return float(np.nanmean(recalls(counts)))


def precisions(counts: np.ndarray) -> np.ndarray:
    """Share of the predictions of each class that are correct: (K,), 0 for a class never predicted."""
    return counts.diagonal() / np.maximum(counts.sum(0), 1)


def f1s(counts: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall: (K,), 0 for a class neither true nor predicted."""
    return 2 * counts.diagonal() / np.maximum(counts.sum(0) + counts.sum(1), 1)


def ours(counts: np.ndarray) -> tuple[float, float, float, float]:
    """(accuracy, precision, recall, F1), the last three averaged over the classes that have frames."""
    present = counts.sum(1) > 0
    return (
        accuracy(counts),
        float(precisions(counts)[present].mean()),
        balanced_accuracy(counts),
        float(f1s(counts)[present].mean()),
    )


def published(counts: np.ndarray) -> tuple[float, float, float, float]:
    """The same scores as the paper's code computes them.

    Precision and recall are averaged over classes that are true or predicted (a class that is only predicted
    has recall 0), and F1 is weighted by the frames of each class.
    """
    frames = counts.sum(1)
    seen = (frames > 0) | (counts.sum(0) > 0)
    return (
        accuracy(counts),
        float(precisions(counts)[seen].mean()),
        float(np.nan_to_num(recalls(counts))[seen].mean()),
        float((f1s(counts) * frames).sum() / frames.sum()),
    )
