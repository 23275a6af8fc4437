"""Which sequences are for training, validation and test."""

import itertools
import math

import numpy as np

from emargin_train.data.sequences import Block, Sequences, Stretch
from emargin_train.data.split_search import best_assignment
from emargin_train.errors import UserError

SPLITS = ("train", "validation", "test")
TIME_DRAWS = 200  # orders of blocks that are tried
FEW_SUBJECTS = 5  # below, there is no test split


def choose_splits(
    sequences: Sequences,
    n_classes: int,
    seed: int,
    train_share: float | None = None,
    *,
    leave_one_out: bool = False,
) -> np.ndarray:
    """(N,) str split of each sequence: as given, else by subject or, with `train_share`, in order.

    Data that bring training and test splits only keep both: validation is drawn from training subjects.
    train_share: of the sequences in their order, the rest is for validation (the paper's code: 0.8 or 0.5)
    leave_one_out: the subject number `seed`, in sorted order, is the test split
    """
    given = set(np.unique(sequences.split).tolist())
    if given == {""} and train_share is not None:
        n = len(sequences.split)
        held_out = math.floor(n * (1 - train_share) + 1e-9)
        return np.where(np.arange(n) < n - held_out, "train", "validation")
    if given == {""}:
        return (leaving_one_out if leave_one_out else by_subject)(sequences, n_classes, seed)
    split = sequences.split.astype("U10")
    if "validation" not in given:
        train = np.flatnonzero(split == "train")
        split[train] = assign(sequences.subject[train], sequences.y[train], n_classes, (0.75, 0.25), seed)
    return split


def n_splits(n_subjects: int) -> int:
    """Under five subjects, there are training and validation only."""
    return 3 if n_subjects >= FEW_SUBJECTS else 2


def by_subject(sequences: Sequences, n_classes: int, seed: int) -> np.ndarray:
    """60/20/20 % of the subjects; under five subjects, training and validation only."""
    n_subjects = len(np.unique(sequences.subject))
    if n_subjects < 2:
        raise UserError(
            f"the data have {n_subjects} subject with sequences of {sequences.y.shape[1]} frames, but a "
            "split by subject needs 2: give more subjects, a smaller --sequence-length, or --split time"
        )
    shares = (0.6, 0.2, 0.2) if n_splits(n_subjects) == 3 else (0.75, 0.25)
    return assign(sequences.subject, sequences.y, n_classes, shares, seed)


def leaving_one_out(sequences: Sequences, n_classes: int, seed: int) -> np.ndarray:
    """Subject number `seed` is the test split; a quarter of the others, drawn by the seed, validation."""
    names = np.unique(sequences.subject)
    if len(names) < 3:
        raise UserError(
            f"the data have {shown(names.tolist())} with sequences of {sequences.y.shape[1]} frames, but "
            "leave-one-subject-out needs 3: give more subjects, a smaller --sequence-length, or --split time"
        )
    if seed >= len(names):
        raise UserError(
            f"split_seed is {seed}, but with leave-one-subject-out it is the number of the subject that is "
            f"left out, and there are {len(names)}: give 0 to {len(names) - 1}"
        )
    split = np.full(len(sequences.subject), "test", "U10")
    rest = np.flatnonzero(sequences.subject != names[seed])
    split[rest] = assign(sequences.subject[rest], sequences.y[rest], n_classes, (0.75, 0.25), seed)
    return split


def assign(
    subject: np.ndarray, y: np.ndarray, n_classes: int, shares: tuple[float, ...], seed: int
) -> np.ndarray:
    """Subjects to splits at random, so that every split has two classes and as many as possible are in all.

    subject: (N,) str; y: (N, T) labels; shares: of the subjects, the first split's is what the others leave.
    Returns (N,) str.
    """
    names, number = np.unique(subject, return_inverse=True)
    if len(names) < len(shares):
        raise UserError(f"{shown(names.tolist())} cannot be in {len(shares)} splits: give more subjects")
    counts = np.zeros((len(names), n_classes + 1), np.int64)
    np.add.at(counts, (np.repeat(number, y.shape[1]), y.ravel()), 1)  # -1 lands in the last column
    sizes = [max(1, round(share * len(names))) for share in shares[1:]]
    sizes = [len(names) - sum(sizes), *sizes]
    return np.array(SPLITS)[best_assignment(counts[:, :n_classes], sizes, seed)][number]


def blocks_in_time(stretches: list[Stretch], n_classes: int, length: int, gap: int, seed: int) -> list[Block]:
    """`time_blocks` in an order that gives every split two classes, and most classes to all splits.

    Of `TIME_DRAWS` orders drawn by `seed`, the first best one; no more are drawn once all classes are in all
    splits.
    """
    rng = np.random.default_rng(seed)
    before = [
        np.concatenate(
            [np.zeros((1, n_classes), int), np.cumsum(s.y[:, None] == np.arange(n_classes), axis=0)]
        )
        for s in stretches
    ]
    every = int(np.logical_or.reduce([b[-1] > 0 for b in before]).sum())
    best: tuple[int, int] = (-1, -1)
    chosen: list[Block] = []
    for _ in range(TIME_DRAWS):
        blocks = time_blocks(stretches, length, gap, rng)
        has = {split: np.zeros(n_classes, bool) for split in SPLITS}
        for block in blocks:
            own, whole = before[block.stretch], len(block) // length * length
            if whole:
                has[block.split] |= own[block.first + whole] > own[block.first]
        score = (
            min(2, *(int(h.sum()) for h in has.values())),
            int(np.logical_and.reduce(list(has.values())).sum()),
        )
        if score > best:
            best, chosen = score, blocks
        if best[1] == every or len(blocks) > 20_000:
            break
    return chosen


def time_blocks(stretches: list[Stretch], length: int, gap: int, rng: np.random.Generator) -> list[Block]:
    """Blocks of about 60/20/20 % within every stretch, `gap` frames left out between any two.

    A stretch is cut into as many pieces as hold 3 + 1 + 1 sequences of `length` frames and three gaps, what
    remains being added to training in the last piece; in each piece the three splits come in an order drawn
    by `rng`. A stretch too short for that is one piece, cut 60/20/20 %.
    """
    piece = 5 * length + 3 * gap
    blocks = []
    for number, stretch in enumerate(stretches):
        whole = len(stretch.y) + gap  # every piece ends with a gap
        edges = [*range(0, max(1, whole - piece + 1), piece), whole]
        for first, end in itertools.pairwise(edges):
            usable = max(0, end - first - 3 * gap)
            held_out = min(length, usable // 5)
            sizes = {"train": usable - 2 * held_out, "validation": held_out, "test": held_out}
            position = first
            for split in rng.permutation(SPLITS).tolist():
                blocks.append(Block(number, position, position + sizes[split], split))
                position += sizes[split] + gap
    return blocks


def describe(
    split: np.ndarray, sequences: Sequences, class_names: tuple[str, ...], *, one_left_out: bool = False
) -> list[str]:
    """One line per split: subjects, sequences, frames by class. One with less than two classes is refused.

    one_left_out: the test split is one subject, who may have one class
    """
    lines = []
    for name in SPLITS:
        chosen = split == name
        if not chosen.any() and name == "test":
            lines.append("test: none")
            continue
        y = sequences.y[chosen]
        counts = {c: int((y == i).sum()) for i, c in enumerate(class_names)}
        present = [c for c, n in counts.items() if n]
        if class_names and len(present) < (1 if one_left_out and name == "test" else 2):
            count = f"{len(present)} {'class' if len(present) == 1 else 'classes'}"
            raise UserError(
                f"the {name} split has {count} ({', '.join(present) or 'none'}; {len(y)} "
                "sequences), but needs two: give another --split-seed, more subjects, a smaller "
                "--sequence-length, or --split time"
            )
        subjects = np.unique(sequences.subject[chosen]).tolist()
        frames = ", ".join(f"{c} {n}" for c, n in counts.items())
        labels = f"{frames}; unlabelled {(y < 0).sum()}" if class_names else "no labels"
        lines.append(f"{name}: {len(y)} sequences of {y.shape[1]} frames of {shown(subjects)} ({labels})")
    return lines


def shown(subjects: list[str]) -> str:
    """All subjects by name, unless there are very many."""
    names = ", ".join(subjects[:60])
    more = f", and {len(subjects) - 60} more" if len(subjects) > 60 else ""
    return f"{len(subjects)} {'subject' if len(subjects) == 1 else 'subjects'} {names}{more}"
