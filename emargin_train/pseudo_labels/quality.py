"""How well pseudo-labels show where the class changes. This needs no training."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from emargin_train.data.frames import Frames
from emargin_train.pseudo_labels.labels import adjacent_cosines, true_changes

Row = dict[str, float | None]


@dataclass(frozen=True)
class Steps:
    """The steps between adjacent frames of the same sequence, sorted by cosine once for all thresholds.

    cosine: the cosines of all n steps, ascending
    changed, unchanged: the cosines of steps with and without a change of class, ascending; only steps whose
        frames are both labelled
    """

    cosine: np.ndarray
    changed: np.ndarray
    unchanged: np.ndarray

    def at(self, threshold: float) -> Row:
        """The share of steps called dissimilar, and how well they match true changes; None where undefined.

        precision: of the labelled steps called dissimilar, the share where the class changes
        recall: of the steps where the class changes, the share called dissimilar
        f1: 2 TP / (2 TP + FP + FN), so 0 where there are changes and none is found
        """
        tp, fp = np.searchsorted(self.changed, threshold), np.searchsorted(self.unchanged, threshold)
        fn = len(self.changed) - tp
        return {
            "dissimilar_share": _ratio(np.searchsorted(self.cosine, threshold), len(self.cosine)),
            "pseudo_label_precision": _ratio(tp, tp + fp),
            "pseudo_label_recall": _ratio(tp, tp + fn),
            "pseudo_label_f1": _ratio(2 * tp, 2 * tp + fp + fn),
        }

    def ranking(self) -> Row:
        """Over all thresholds: how well does a low cosine predict a change? None without both kinds of steps.

        auroc: 0.5 is chance; average_precision: chance is the share of changes among labelled steps
        """
        names = ("pseudo_label_auroc", "pseudo_label_average_precision")
        if not len(self.changed) or not len(self.unchanged):
            return dict.fromkeys(names)
        lower, up_to = (np.searchsorted(self.unchanged, self.changed, end) for end in ("left", "right"))
        auroc = 1 - (lower + up_to).mean() / 2 / len(self.unchanged)  # equal cosines count half
        found = np.searchsorted(self.changed, self.changed, "right")  # changes with a cosine up to this one's
        average_precision = (found / (found + up_to)).mean()
        return dict(zip(names, map(float, (auroc, average_precision)), strict=True))


def steps_of(splits: Iterable[Frames]) -> Steps:
    """The steps of one or several sets of frames, taken together."""
    cosine, changed, known = [], [], []
    for frames in splits:
        cosine.append(adjacent_cosines(frames).ravel())
        truth = true_changes(frames.y)
        changed.append(truth[0].ravel())
        known.append(truth[1].ravel())
    c, is_change, is_known = map(np.concatenate, (cosine, changed, known))
    return Steps(np.sort(c), np.sort(c[is_change]), np.sort(c[is_known & ~is_change]))


def pseudo_label_metrics(frames: Frames, threshold: float) -> Row:
    """Columns `pseudo_label_*` of results.parquet and the resolved `dissimilar_share`; None where undefined.

    Steps with an unlabelled frame count for the share alone.
    """
    steps = steps_of([frames])
    return steps.at(threshold) | steps.ranking()


def _ratio(part: int | np.integer, whole: int | np.integer) -> float | None:
    return float(part / whole) if whole else None
