"""Which steps are called dissimilar, and how well these labels show where the class changes."""

from emargin_train.pseudo_labels.labels import (
    adjacent_cosine,
    adjacent_cosines,
    below,
    dissimilar,
    resolve_threshold,
    true_changes,
)
from emargin_train.pseudo_labels.quality import Steps, pseudo_label_metrics, steps_of

__all__ = [
    "Steps",
    "adjacent_cosine",
    "adjacent_cosines",
    "below",
    "dissimilar",
    "pseudo_label_metrics",
    "resolve_threshold",
    "steps_of",
    "true_changes",
]
