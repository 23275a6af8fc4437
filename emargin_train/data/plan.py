"""How stretches of frames become sequences: their length T, their blocks, and whether a split exists."""

from dataclasses import dataclass

import numpy as np

from emargin_train.data.dataset import Dataset
from emargin_train.data.sequences import (
    SHORTEST,
    Block,
    Layout,
    Sequences,
    Stretch,
    cut,
    fitting_length,
)
from emargin_train.data.settings import DataConfig
from emargin_train.data.split import SPLITS, blocks_in_time, choose_splits, n_splits
from emargin_train.data.split_search import divisible


@dataclass(frozen=True)
class Plan:
    """wanted: T as asked for; length: T as it is"""

    wanted: int
    length: int
    blocks: list[Block]
    sequences: Sequences


def wanted_length(dataset: Dataset, config: DataConfig) -> int:
    """T as asked for, before it is known to fit."""
    return config.sequence_length or dataset.sequence_length


def plan(dataset: Dataset, config: DataConfig, layout: Layout, stretches: list[Stretch]) -> Plan:
    """Sequences of the wanted length, or of the longest one that fits and leaves a valid split.

    A split is valid if each of training, validation and test has two classes. Where no length leaves one, the
    longest that fits is taken, and the split is refused later.
    """
    wanted = wanted_length(dataset, config)
    blocks = blocks_for(layout, stretches, wanted, config)
    longest = fitting_length(blocks, wanted)
    if longest < wanted and config.split == "time":
        blocks = blocks_for(layout, stretches, longest, config)
    length = longest
    if not splittable(stretches, blocks, length, layout, config):
        for shorter in range(longest - 1, SHORTEST - 1, -1):
            other = blocks_for(layout, stretches, shorter, config) if config.split == "time" else blocks
            if splittable(stretches, other, shorter, layout, config):
                length, blocks = shorter, other
                break
    return Plan(wanted, length, blocks, cut(stretches, blocks, length))


def blocks_for(layout: Layout, stretches: list[Stretch], length: int, config: DataConfig) -> list[Block]:
    """Whole stretches; with `split = time`, blocks of them for each split."""
    if config.split == "time":
        gap = -(-layout.frame // layout.hop)  # so many frames on, no sample is shared
        return blocks_in_time(stretches, len(layout.class_names), length, gap, config.split_seed)
    return [Block(i, 0, len(stretch.y), stretch.split) for i, stretch in enumerate(stretches)]


def splittable(
    stretches: list[Stretch], blocks: list[Block], length: int, layout: Layout, config: DataConfig
) -> bool:
    """Whether sequences of that length can be divided so that every split has two classes."""
    n_classes = len(layout.class_names)
    if config.split == "released":
        return True  # in order of the files; nothing is chosen
    if not n_classes:
        return _enough(stretches, blocks, length, config)
    has: dict[tuple[str, str], np.ndarray] = {}
    for block in blocks:
        whole = len(block) // length * length
        if whole:
            stretch = stretches[block.stretch]
            y = stretch.y[block.first : block.first + whole]
            own = has.setdefault((block.split, stretch.subject), np.zeros(n_classes, bool))
            own[np.unique(y[y >= 0])] = True
    by_split: dict[str, list[np.ndarray]] = {}
    for (split, _), classes in has.items():
        by_split.setdefault(split, []).append(classes)
    if "" in by_split:
        matrix = np.array(by_split[""])
        n = 3 if config.split == "leave-one-subject-out" else n_splits(len(matrix))
        return len(matrix) >= n and divisible(matrix, n)
    if config.split == "time":
        return all(split in by_split and np.logical_or.reduce(by_split[split]).sum() >= 2 for split in SPLITS)
    training = np.array(by_split.get("train", np.zeros((0, n_classes), bool)))
    return "validation" in by_split or divisible(training, 2)


def _enough(stretches: list[Stretch], blocks: list[Block], length: int, config: DataConfig) -> bool:
    """Whether recordings without labels have a sequence for every split."""
    whole = [block for block in blocks if len(block) >= length]
    if config.split == "time":
        return {block.split for block in whole} >= {*SPLITS}
    n = len({stretches[block.stretch].subject for block in whole})
    return n >= (3 if config.split == "leave-one-subject-out" else n_splits(n))


def splits_of(sequences: Sequences, n_classes: int, dataset: Dataset, config: DataConfig) -> np.ndarray:
    """(N,) str split of each sequence, from labels and settings alone."""
    train_share = dataset.released_share if config.split == "released" else None
    leave_one_out = config.split == "leave-one-subject-out"
    return choose_splits(sequences, n_classes, config.split_seed, train_share, leave_one_out=leave_one_out)
