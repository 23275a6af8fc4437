"""Which sequences are for training, validation and test."""

import itertools
import math

import numpy as np

from emargin_train.data.sequences import Block, Sequences, Stretch
from emargin_train.errors import UserError

SIDES = ("train", "validation", "test")
ENOUGH = 20  # frames of a class that a side should have
DRAWS = 20_000  # at most, and fewer where there are very many subjects


def choose_sides(sequences: Sequences, n_classes: int, seed: int, train_share: float | None) -> np.ndarray:
    """(N,) str side of each sequence: as given where it is, else by subject or, with `train_share`, in order.

    Data that bring training and test sides only keep both: validation is drawn from training subjects.
    train_share: of the sequences in their order, the rest is for validation (the paper's code: 0.8 or 0.5).
    """
    given = set(np.unique(sequences.side).tolist())
    if given == {""} and train_share is not None:
        n = len(sequences.side)
        held_out = math.floor(n * (1 - train_share) + 1e-9)
        return np.where(np.arange(n) < n - held_out, "train", "validation")
    if given == {""}:
        return by_subject(sequences, n_classes, seed)
    side = sequences.side.astype("U10")
    if "validation" not in given:
        train = np.flatnonzero(side == "train")
        side[train] = assign(sequences.subject[train], sequences.y[train], n_classes, (0.75, 0.25), seed)
    return side


def by_subject(sequences: Sequences, n_classes: int, seed: int) -> np.ndarray:
    """60/20/20 % of the subjects; under five subjects, training and validation only."""
    n_subjects = len(np.unique(sequences.subject))
    if n_subjects < 2:
        raise UserError(
            f"the data have {n_subjects} subject with sequences of {sequences.y.shape[1]} frames, but a "
            "split by subject needs 2: give more subjects, a smaller --sequence-length, or --split time"
        )
    shares = (0.6, 0.2, 0.2) if n_subjects >= 5 else (0.75, 0.25)
    return assign(sequences.subject, sequences.y, n_classes, shares, seed)


def assign(
    subject: np.ndarray, y: np.ndarray, n_classes: int, shares: tuple[float, ...], seed: int
) -> np.ndarray:
    """Subjects to sides at random, so that as many classes as possible are on all sides.

    Among many random assignments, the first of those that have most classes on all sides, and then most
    classes with `ENOUGH` frames there. All assignments are tried where that is possible.
    subject: (N,) str; y: (N, T) labels; shares: of the subjects, the first side's is what the others leave.
    Returns (N,) str.
    """
    names, number = np.unique(subject, return_inverse=True)
    if len(names) < len(shares):
        raise UserError(f"{shown(names.tolist())} cannot be on {len(shares)} sides: give more subjects")
    counts = np.zeros((len(names), n_classes + 1), np.int64)
    np.add.at(counts, (np.repeat(number, y.shape[1]), y.ravel()), 1)  # -1 lands in the last column
    counts = counts[:, :n_classes].astype(np.float32)

    sizes = [max(1, round(share * len(names))) for share in shares[1:]]
    drawn = draw(len(names), sizes, np.random.default_rng(seed))  # (draws, subjects)
    on = np.stack([(drawn == side).astype(np.float32) @ counts for side in range(len(shares))])
    least = on.min(0)  # (draws, classes): frames of a class on the side that has fewest
    score = (least > 0).sum(1) * (n_classes + 1) + (least >= ENOUGH).sum(1)
    best = drawn[score.argmax()]
    return np.array(SIDES)[best][number]


def draw(n: int, sizes: list[int], rng: np.random.Generator) -> np.ndarray:
    """(draws, n) side numbers, `sizes[s - 1]` of them s: all different ones in random order, or many."""
    base = np.repeat(np.arange(len(sizes) + 1, dtype=np.int8), [n - sum(sizes), *sizes])
    ways = math.factorial(n) // math.prod(math.factorial(c) for c in np.bincount(base).tolist())
    if ways > DRAWS:
        draws = min(DRAWS, max(100, 4_000_000 // n))
        return rng.permuted(np.tile(base, (draws, 1)), axis=1)
    every = []
    for second in itertools.combinations(range(n), sizes[0]):
        rest = [i for i in range(n) if i not in second]
        for third in itertools.combinations(rest, sum(sizes[1:])):
            row = np.zeros(n, np.int8)
            row[list(second)], row[list(third)] = 1, 2
            every.append(row)
    return rng.permutation(np.array(every))


def time_blocks(stretches: list[Stretch], length: int, gap: int, seed: int) -> list[Block]:
    """Blocks of about 60/20/20 % within every stretch, `gap` frames left out between any two.

    A stretch is cut into as many pieces as hold 3 + 1 + 1 sequences of `length` frames and three gaps, what
    remains being added to training in the last piece; in each piece the three sides come in an order drawn
    by `seed`. A stretch too short for that is one piece, cut 60/20/20 %.
    """
    rng = np.random.default_rng(seed)
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
            for side in rng.permutation(SIDES).tolist():
                blocks.append(Block(number, position, position + sizes[side], side))
                position += sizes[side] + gap
    return blocks


def describe(side: np.ndarray, sequences: Sequences, class_names: tuple[str, ...]) -> list[str]:
    """One line per side: subjects, sequences, frames by class. Refuses a side with fewer than two classes."""
    lines = []
    for name in SIDES:
        chosen = side == name
        if not chosen.any() and name == "test":
            lines.append("test: none")
            continue
        y = sequences.y[chosen]
        counts = {c: int((y == i).sum()) for i, c in enumerate(class_names)}
        present = [c for c, n in counts.items() if n]
        if len(present) < 2:
            count = f"{len(present)} {'class' if len(present) == 1 else 'classes'}"
            raise UserError(
                f"the {name} side has {count} ({', '.join(present) or 'none'}; {len(y)} "
                "sequences), but needs two: give another --split-seed, more subjects, a smaller "
                "--sequence-length, or --split time"
            )
        subjects = np.unique(sequences.subject[chosen]).tolist()
        frames = ", ".join(f"{c} {n}" for c, n in counts.items())
        lines.append(
            f"{name}: {len(y)} sequences of {y.shape[1]} frames of {shown(subjects)} "
            f"({frames}; unlabelled {(y < 0).sum()})"
        )
    return lines


def shown(subjects: list[str]) -> str:
    """All subjects by name, unless there are very many."""
    names = ", ".join(subjects[:60])
    more = f", and {len(subjects) - 60} more" if len(subjects) > 60 else ""
    return f"{len(subjects)} {'subjects' if len(subjects) > 1 else 'subject'} {names}{more}"
