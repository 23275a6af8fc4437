"""Assign subjects to splits, by many random draws and, where these are not enough, by integer programming.

A split into training, validation and test is valid if each of them has two classes. Among valid splits, we
want one with the most classes in all three.
"""

import functools
import itertools
import math

import numpy as np

ENOUGH = 20  # frames of a class that a split should have
DRAWS = 20_000  # at most, and fewer where there are very many subjects
NODES = 200  # of the integer program; not seconds, so that every machine finds the same split


def best_assignment(counts: np.ndarray, sizes: list[int], seed: int) -> np.ndarray:
    """(subjects,) int8: the split of each subject, of which `sizes[k]` are in split k.

    Without classes, the assignment is random. Otherwise it is the first of many random assignments with the
    most classes in all splits and then the most classes with `ENOUGH` frames there; all assignments are tried
    where that is possible. Where none of them is valid, or where some classes may still be missed, the
    integer program searches for a better one, at last with other sizes.
    counts: (subjects, classes) frames
    """
    if not counts.shape[1]:
        splits = np.repeat(np.arange(len(sizes), dtype=np.int8), sizes)
        return np.random.default_rng(seed).permutation(splits)
    drawn, all_tried = draw(len(counts), sizes[1:], np.random.default_rng(seed))
    frames = counts.astype(np.float32)
    on = np.stack([(drawn == k).astype(np.float32) @ frames for k in range(len(sizes))])
    least = on.min(0)  # (draws, classes): frames of a class in the split that has fewest
    valid = ((on > 0).sum(2) >= 2).all(0)
    n_classes = counts.shape[1]
    score = (least > 0).sum(1) * (n_classes + 1) + (least >= ENOUGH).sum(1)
    score += valid * (n_classes + 1) ** 2
    best = drawn[score.argmax()]
    has = counts > 0
    if valid.any() and (all_tried or common(has, best, len(sizes)) == (has.sum(0) >= len(sizes)).sum()):
        return best
    ways = [] if all_tried else [False]
    for free in [*ways, *([] if valid.any() else [True])]:
        found = program(has.tobytes(), has.shape, tuple(sizes), seed, free)
        if found is not None and (
            not valid.any() or common(has, found, len(sizes)) > common(has, best, len(sizes))
        ):
            return found
    return best


def common(has: np.ndarray, assigned: np.ndarray, n_splits: int) -> int:
    """How many classes are in all splits. has: (subjects, classes) bool."""
    return int(np.logical_and.reduce([has[assigned == k].any(0) for k in range(n_splits)]).sum())


def draw(n: int, sizes: list[int], rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """(draws, n) split numbers, `sizes[k - 1]` of them k: all different ones in random order, or many.

    The second value says whether they are all there are.
    """
    base = np.repeat(np.arange(len(sizes) + 1, dtype=np.int8), [n - sum(sizes), *sizes])
    ways = math.factorial(n) // math.prod(math.factorial(c) for c in np.bincount(base).tolist())
    if ways > DRAWS:
        draws = min(DRAWS, max(100, 4_000_000 // n))
        return rng.permuted(np.tile(base, (draws, 1)), axis=1), False
    every = []
    for second in itertools.combinations(range(n), sizes[0]):
        rest = [i for i in range(n) if i not in second]
        for third in itertools.combinations(rest, sum(sizes[1:])):
            row = np.zeros(n, np.int8)
            row[list(second)], row[list(third)] = 1, 2
            every.append(row)
    return rng.permutation(np.array(every)), True


@functools.lru_cache(maxsize=64)
def program(
    has_bytes: bytes, shape: tuple[int, int], sizes: tuple[int, ...], seed: int, free: bool
) -> np.ndarray | None:
    """A valid assignment with most classes in all splits; None where none is found.

    free: sizes may differ from `sizes`, as little as possible; every split keeps one subject at least.
    Variables: a[s, k] subject s is in split k; w[c, k] split k has class c; z[c] all splits have it; and by
    how much a size is above and below.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    n_subjects, n_classes = shape
    has = np.frombuffer(has_bytes, bool).reshape(shape)
    k = len(sizes)
    a = np.arange(n_subjects * k).reshape(n_subjects, k)
    w = a.size + np.arange(n_classes * k).reshape(n_classes, k)
    z = a.size + w.size + np.arange(n_classes)
    off = z[-1] + 1 + np.arange(2 * k).reshape(2, k)
    n = int(off[-1, -1]) + 1
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    low: list[float] = []
    high: list[float] = []

    def require(terms: list[tuple[int, float]], least: float, most: float) -> None:
        rows.extend([len(low)] * len(terms))
        columns.extend(int(i) for i, _ in terms)
        values.extend(v for _, v in terms)
        low.append(least)
        high.append(most)

    for s in range(n_subjects):
        require([(i, 1) for i in a[s]], 1, 1)
    for g in range(k):
        require([*((i, 1) for i in a[:, g]), (off[0, g], -1), (off[1, g], 1)], sizes[g], sizes[g])
        require([(i, 1) for i in a[:, g]], 1, n_subjects)
        require([(i, 1) for i in w[:, g]], 2, n_classes)
        for c in range(n_classes):
            require([(w[c, g], 1), *((i, -1) for i in a[has[:, c], g])], -np.inf, 0)
            require([(z[c], 1), (w[c, g], -1)], -np.inf, 0)
    cost = np.zeros(n)
    cost[z] = -(4.0 * n_subjects + 1)
    cost[off] = 1.0
    cost[a] = np.random.default_rng(seed).uniform(0, 0.5 / n_subjects, a.shape)
    top = np.ones(n)
    top[off] = n_subjects if free else 0
    matrix = coo_array((values, (rows, columns)), shape=(len(low), n)).tocsr()
    result = milp(
        cost,
        constraints=LinearConstraint(matrix, np.array(low), np.array(high)),
        bounds=Bounds(np.zeros(n), top),
        integrality=np.ones(n),
        options={"node_limit": NODES},
    )
    return None if result.x is None else np.rint(result.x[a]).argmax(1).astype(np.int8)


def divisible(has: np.ndarray, n_splits: int) -> bool:
    """Whether the subjects can be divided so that each of `n_splits` splits has two classes.

    A split needs one subject with two classes, or two with different ones. has: (subjects, classes) bool.
    """
    several = int((has.sum(1) >= 2).sum())
    single = np.sort(has[has.sum(1) == 1].sum(0))[::-1]
    needed = n_splits - several
    if needed <= 0:
        return True
    # Pairs of subjects with one class each, of different classes; where these run out, none is left.
    return min(int(single.sum()) // 2, int(single[1:].sum())) >= needed
