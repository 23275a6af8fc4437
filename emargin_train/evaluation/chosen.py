"""Choose the frames to measure. The choice depends only on labels, so it is the same for every method."""

import hashlib
import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from emargin_train.data.frames import Frames, Splits
from emargin_train.errors import UserError
from emargin_train.files import write_whole

PER_CLASS = 1000  # frames of each class in a class-balanced set, as in the paper's sleep settings
CAP = 5000  # frames of a split that are measured, at most
TRAIN_CAPS = 3  # probes are trained on at most three times as many frames


@dataclass(frozen=True)
class EvaluationSet:
    """Masks (N, T) bool over the frames of a split. All except `pairs` contain labelled frames only.

    Where no split has any label, all masks are drawn from all frames, and `labelled` is False.

    The cap is 5,000 frames by default.

    train: the natural mixture of classes, on which every probe is trained (at most 3 caps)
    balanced: min(1000, cap // classes) frames of each class, or all where there are fewer
    natural: the natural mixture of classes (at most the cap)
    pairs: first frames of adjacent pairs within a sequence, labelled or not (at most half the cap)
    test_balanced, test_natural: the same for the test split; None without a test split
    """

    train: np.ndarray
    balanced: np.ndarray
    natural: np.ndarray
    pairs: np.ndarray
    test_balanced: np.ndarray | None
    test_natural: np.ndarray | None
    labelled: bool = True

    def of_validation(self) -> dict[str, np.ndarray]:
        """Masks of the validation split. `following` has the successors of `pairs`, in the same order."""
        following = np.roll(self.pairs, 1, axis=1)
        return {
            "balanced": self.balanced,
            "natural": self.natural,
            "pairs": self.pairs,
            "following": following,
        }

    def of_test(self) -> dict[str, np.ndarray]:
        """Masks of the test split; none without a test split."""
        masks = {"balanced": self.test_balanced, "natural": self.test_natural}
        return {name: mask for name, mask in masks.items() if mask is not None}

    def summary(self, splits: Splits) -> tuple[str, ...]:
        """One line for each mask: the number of frames of each class, and which classes no probe can know."""
        known = np.unique(splits.train.y[self.train])
        lines = []
        for name, mask in self.arrays().items():
            if name == "pairs":
                continue
            of_test = name.startswith("test")
            frames = splits.train if name == "train" else splits.test if of_test else splits.validation
            assert frames is not None
            y = frames.y[mask]
            counts = np.bincount(y[y >= 0], minlength=len(splits.class_names))
            parts = [
                f"{splits.class_names[c]} {n}{'' if c in known else ' (not probed: no training frames)'}"
                for c, n in enumerate(counts)
                if n
            ]
            if (y < 0).any():
                parts.append(f"unlabelled {(y < 0).sum()}")
            lines.append(f"{name}: {mask.sum()} frames ({', '.join(parts)})")
        return tuple(lines)

    def arrays(self) -> dict[str, np.ndarray]:
        """The masks that exist, by name."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "labelled"}
        return {name: mask for name, mask in named.items() if mask is not None}

    def digest(self) -> str:
        """12 hex digits, which are equal exactly when all masks are equal."""
        content = hashlib.sha256()
        for name, mask in self.arrays().items():
            content.update(f"{name}{mask.shape}".encode())
            content.update(np.packbits(mask).tobytes())
        return content.hexdigest()[:12]

    def save(self, path: Path) -> None:
        """Write all masks to one .npz, whole or not at all."""
        content = io.BytesIO()
        labelled = {} if self.labelled else {"labelled": np.array(False)}
        np.savez_compressed(content, **self.arrays(), **labelled)  # type: ignore[arg-type]
        write_whole(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> "EvaluationSet":
        """Inverse of `save`."""
        with np.load(path) as stored:
            masks: dict[str, Any] = {
                f.name: stored[f.name] if f.name in stored else None
                for f in fields(cls)
                if f.name != "labelled"
            }
            masks["labelled"] = "labelled" not in stored
        return cls(**masks)


def choose(splits: Splits, *, seed: int = 0, cap: int = CAP) -> EvaluationSet:
    """Choose the frames to measure, at most `cap` of a split. Equal labels, seeds and caps give equal frames.

    If neither the training nor the validation split has labels, frames are drawn from all frames, and metrics
    that need labels are null. Raises UserError where these splits have labels, but one has fewer than two
    classes.
    """
    train, validation, test = splits.train.y, splits.validation.y, splits.test
    labelled = bool((train >= 0).any() or (validation >= 0).any())
    of_test = None if test is None else test.y
    if labelled:
        for name in ("train", "validation"):
            _need_two_classes(name, getattr(splits, name), splits.class_names)
    else:
        train, validation = np.zeros_like(train), np.zeros_like(validation)
        of_test = None if of_test is None else np.zeros_like(of_test)
    each = PER_CLASS if labelled else cap
    rng = {name: np.random.default_rng([seed, i]) for i, name in enumerate(("train", "validation", "test"))}
    return EvaluationSet(
        train=_natural(train, TRAIN_CAPS * cap, rng["train"]),
        balanced=_balanced(validation, cap, each, rng["validation"]),
        natural=_natural(validation, cap, rng["validation"]),
        pairs=_pairs(validation, cap // 2, rng["validation"]),
        test_balanced=None if of_test is None else _balanced(of_test, cap, each, rng["test"]),
        test_natural=None if of_test is None else _natural(of_test, cap, rng["test"]),
        labelled=labelled,
    )


def _need_two_classes(split: str, frames: Frames, names: tuple[str, ...]) -> None:
    present = [names[c] for c in np.unique(frames.y) if c >= 0]
    if len(present) < 2:
        found = f"only class {present[0]}" if present else "no labelled frames"
        raise UserError(
            f"the {split} split has {found} in {len(frames)} sequences, but probes need two classes: "
            "try another --split-seed, --split time, or data with more labels"
        )


def _mask(shape: tuple[int, ...], flat: np.ndarray) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask.reshape(-1)[flat] = True
    return mask


def _natural(y: np.ndarray, cap: int, rng: np.random.Generator) -> np.ndarray:
    labelled = np.flatnonzero(y.reshape(-1) >= 0)
    return _mask(y.shape, rng.permutation(labelled)[:cap])


def _balanced(y: np.ndarray, cap: int, most: int, rng: np.random.Generator) -> np.ndarray:
    classes = np.unique(y[y >= 0])
    each = min(most, cap // max(1, len(classes)))
    taken = [rng.permutation(np.flatnonzero(y.reshape(-1) == c))[:each] for c in classes]
    return _mask(y.shape, np.concatenate([np.empty(0, dtype=np.int64), *taken]))


def _pairs(y: np.ndarray, cap: int, rng: np.random.Generator) -> np.ndarray:
    n, t = y.shape
    first = np.flatnonzero(np.arange(n * t) % t < t - 1)  # a last frame has no successor
    return _mask(y.shape, rng.permutation(first)[:cap])
