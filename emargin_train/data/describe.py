"""Describe in numbers what a dataset holds, and whether the order of its frames carries information."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from emargin_train.data import cache
from emargin_train.data.dataset import Dataset
from emargin_train.data.frames import Frames, Splits
from emargin_train.data.plan import plan, splits_of, wanted_length
from emargin_train.data.recording import Recording
from emargin_train.data.sequences import (
    SHORTEST,
    Kept,
    Layout,
    Stretch,
    checked,
    kept_seconds,
    read_all,
    stretch_of,
    told,
)
from emargin_train.data.settings import DataConfig
from emargin_train.data.split import describe as describe_split
from emargin_train.errors import UserError

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
PAIRS = 20_000  # adjacent ones and random ones to compare
FEW = 50  # steps below which nothing is said of adjacency
FURTHEST = 4  # steps apart, of frames that are compared
SURE = 5.0  # standard errors from chance at which frames are not shuffled


@dataclass
class Contents:
    """The recordings as they are read, before sequences are cut."""

    layout: Layout | None = None
    units: tuple[str, ...] = ()
    records: set[str] = field(default_factory=set)
    subjects: set[str] = field(default_factory=set)
    seconds: float = 0.0
    class_seconds: np.ndarray = field(default_factory=lambda: np.zeros(0))
    class_subjects: list[set[str]] = field(default_factory=list)
    gaps: int = 0  # stretches beyond one per record
    stretches: list[Stretch] = field(default_factory=list)
    doubts: dict[str, dict[str, None]] = field(default_factory=dict)  # by what is doubted, the records
    in_files: list[dict[tuple[str, str], dict[str, None]]] = field(default_factory=list)

    @property
    def unlabelled_s(self) -> float:
        return max(0.0, self.seconds - float(self.class_seconds.sum()))

    def note(self, recording: Recording) -> None:
        """What its files say of it, before units are converted."""
        names = recording.source.channels or recording.channels
        if not self.in_files:
            self.in_files = [{} for _ in names]
        for known, name, unit in zip(self.in_files, names, recording.units, strict=False):
            known.setdefault((name, unit), {})[recording.record] = None
        for doubt in recording.source.doubts:
            self.doubts.setdefault(doubt, {})[recording.record] = None

    def add(self, dataset: Dataset, split: str, recording: Recording) -> None:
        if self.layout is None:
            self.layout, self.units = Layout.of(dataset, recording), recording.units
            self.class_seconds = np.zeros(len(recording.class_names))
            self.class_subjects = [set() for _ in recording.class_names]
        self.gaps += recording.record in self.records
        self.records.add(recording.record)
        self.subjects.add(recording.subject)
        self.seconds += recording.seconds
        counts = np.bincount(recording.labels + 1, minlength=len(self.class_seconds) + 1)[1:]
        self.class_seconds += counts / recording.rate_hz
        for code in np.flatnonzero(counts):
            self.class_subjects[code].add(recording.subject)
        self.stretches.append(stretch_of(self.layout, split, recording))


@dataclass(frozen=True)
class Adjacency:
    """Steps between adjacent frames, against random pairs of frames of the same record.

    quantiles: of adjacent cosines, at QUANTILES; random_median: of random pairs' cosines
    dissimilar_share: of steps whose cosine is below the threshold
    closer: the chance that a frame is closer to its successor than to a random frame of the same record and
        label (ties count half); 0.5 = their order means nothing
    closer_error: its standard error
    distances: the same chance and error for frames 1, 2, ... steps apart
    stays, stays_by_chance: share of adjacent, and of random, labelled pairs with one label; None without such
    """

    n_steps: int
    quantiles: tuple[float, ...]
    random_median: float
    dissimilar_share: float
    closer: float
    closer_error: float
    stays: float | None
    stays_by_chance: float | None
    distances: tuple[tuple[float, float], ...] = ()

    def verdict(self) -> str:
        """One line: whether order carries anything; a warning where frames seem shuffled.

        Of shuffled frames, those any number of steps apart are as close as random ones. Outlines and
        intervals may have neighbours that are less alike than random frames: that is order too.
        """
        told = (
            f"a frame is closer to the next than to a random one of its label in {self.closer:.1%} of cases"
        )
        if self.n_steps < FEW:
            return f"too few steps ({self.n_steps}) to tell whether it means anything"
        if self.closer - 2 * self.closer_error > 0.5:
            return f"means something: {told}"
        scores = [(share - 0.5) / max(error, 1e-9) for share, error in self.distances]
        strongest = int(np.argmax(np.abs(scores))) if scores else 0
        if scores and abs(scores[strongest]) > SURE:
            return (
                f"means something: {told}, and to the one {strongest + 1} steps on in "
                f"{self.distances[strongest][0]:.1%}, where shuffled frames give 50%"
            )
        return f"WARNING: seems to carry no information, as in shuffled frames: {told}, where chance is 50%"


def contents(dataset: Dataset, config: DataConfig) -> Contents:
    """Read all recordings once."""
    found = Contents()

    def noted() -> Iterator[tuple[str, Recording]]:
        for split, recording in read_all(dataset.parts(config), config.subjects):
            found.note(recording)
            yield split, recording

    for split, recording in checked(dataset, noted()):
        found.add(dataset, split, recording)
    return found


def kept(dataset: Dataset, config: DataConfig, found: Contents) -> Kept | None:
    """What sequences leave of each class; None where not even a sequence fits."""
    if found.layout is None:
        return None
    try:
        planned = plan(dataset, config, found.layout, found.stretches)
    except UserError:
        return None
    return kept_seconds(found.layout, found.stretches, planned.blocks, planned.length)


def remedies(dataset: Dataset, config: DataConfig, found: Contents) -> list[str]:
    """Flags with which a study would have a valid split; tried on the labels alone."""
    if found.layout is None:
        return []
    tried = {
        f"--split {kind}": replace(config, split=kind, split_seed=0)
        for kind in ("subject", "leave-one-subject-out", "time")
        if kind != config.split
    }
    tried |= {
        f"--sequence-length {length}": replace(config, sequence_length=length)
        for length in (wanted_length(dataset, config) // k for k in (2, 4, 8, 16))
        if length >= SHORTEST
    }
    tried |= {f"--split-seed {seed}": replace(config, split_seed=seed) for seed in range(3)}
    return [flag for flag, other in tried.items() if _works(dataset, other, found)]


def _works(dataset: Dataset, config: DataConfig, found: Contents) -> bool:
    assert found.layout is not None
    try:
        planned = plan(dataset, config, found.layout, found.stretches)
        chosen = splits_of(planned.sequences, len(found.layout.class_names), dataset, config)
        describe_split(chosen, planned.sequences, found.layout.class_names)
    except UserError:
        return False
    return True


def adjacency(splits: Splits, threshold: float, *, seed: int = 0) -> Adjacency:
    """Compare steps with random pairs, in all splits."""
    from emargin_train.pseudo_labels import adjacent_cosines

    rng = np.random.default_rng(seed)
    every = list(splits.by_name().values())
    shares = [PAIRS * len(frames) // sum(map(len, every)) + 1 for frames in every]
    cosine = np.concatenate([adjacent_cosines(frames).ravel() for frames in every])
    wins = np.concatenate([closer_steps(f, n, rng) for f, n in zip(every, shares, strict=True)])
    further = [
        np.concatenate([closer_steps(f, n, rng, apart) for f, n in zip(every, shares, strict=True)])
        for apart in range(2, FURTHEST + 1)
    ]
    pairs = [random_pairs(f, n, rng) for f, n in zip(every, shares, strict=True)]
    random = np.concatenate([cosines for cosines, _ in pairs])
    stays = np.concatenate([_agree(f.y[:, :-1].ravel(), f.y[:, 1:].ravel()) for f in every])
    chance = np.concatenate([agree for _, agree in pairs])
    return Adjacency(
        n_steps=len(cosine),
        quantiles=tuple(np.quantile(cosine, QUANTILES).tolist()),
        random_median=float(np.median(random)),
        dissimilar_share=float((cosine < threshold).mean()),
        closer=float(wins.mean()) if len(wins) else 0.5,
        closer_error=_error(wins) if len(wins) else 0.5,
        stays=float(stays.mean()) if len(stays) else None,
        stays_by_chance=float(chance.mean()) if len(chance) else None,
        distances=tuple((float(w.mean()), _error(w)) for w in (wins, *further) if len(w)),
    )


def _error(values: np.ndarray) -> float:
    """Standard error of the mean."""
    return float(values.std() / np.sqrt(len(values)))


def _agree(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of labels of pairs: whether they are the same, for pairs that are labelled."""
    known = (one >= 0) & (other >= 0)
    return one[known] == other[known]


def closer_steps(frames: Frames, n: int, rng: np.random.Generator, apart: int = 1) -> np.ndarray:
    """For at most n pairs of frames so many steps apart, within one label: the share of random pairs whose
    cosine is below the pair's.
    """
    t = frames.shape[1]
    y = frames.y.ravel()
    step = np.flatnonzero((np.arange(len(y)) % t < t - apart) & (y == np.roll(y, -apart)))
    step = step if len(step) <= n else rng.choice(step, n, replace=False)
    if not len(step):
        return np.zeros(0)
    record = np.unique(frames.record, return_inverse=True)[1].repeat(t)
    group = record * (int(y.max()) + 2) + y + 1
    cosine = pair_cosines(frames, step, step + apart)
    wins, tries = np.zeros(len(step)), np.zeros(len(step))
    for _ in range(max(1, min(20, n // len(step)))):
        other = alike(group, step, rng)
        difference = np.round(cosine - pair_cosines(frames, step, other), 12)
        wins += (np.sign(difference) / 2 + 0.5) * (other != step)
        tries += other != step
    return wins[tries > 0] / tries[tries > 0]


def random_pairs(frames: Frames, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """About n pairs of frames of the same record: cosines; and of labelled ones, whether they agree."""
    t = frames.shape[1]
    y = frames.y.ravel()
    one = rng.integers(len(y), size=n)
    other = alike(np.unique(frames.record, return_inverse=True)[1].repeat(t), one, rng)
    one, other = one[one != other], other[one != other]
    return pair_cosines(frames, one, other), _agree(y[one], y[other])


def alike(group: np.ndarray, one: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each of the frames `one`, a random frame of the same group (perhaps itself)."""
    order = np.argsort(group, kind="stable")
    first = np.searchsorted(group[order], group[one], "left")
    end = np.searchsorted(group[order], group[one], "right")
    return order[rng.integers(first, end)]


def pair_cosines(frames: Frames, one: np.ndarray, other: np.ndarray, chunk: int = 1024) -> np.ndarray:
    """Cosines of frames by their number, sequence * T + frame: (n,) float64."""
    t = frames.shape[1]

    def unit(which: np.ndarray) -> np.ndarray:
        x = frames.store[frames.rows[which // t], which % t].astype(np.float64)
        norm = np.linalg.norm(x, axis=1, keepdims=True)
        return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)

    parts = [slice(i, i + chunk) for i in range(0, len(one), chunk)]
    return np.concatenate([(unit(one[p]) * unit(other[p])).sum(1) for p in parts] or [np.zeros(0)])


def describe_contents(dataset: Dataset, found: Contents) -> Iterator[str]:
    """Lines on the recordings."""
    layout = found.layout
    yield f"{dataset.title}  [{dataset.name}]"
    if layout is None:
        yield "  no recordings"
        return
    channels = ", ".join(f"{c} ({u})" if u else c for c, u in zip(layout.channels, found.units, strict=True))
    gaps = f", {found.gaps} gaps" if found.gaps else ""
    hours = f"{found.seconds / 3600:,.2f} h{gaps}"
    yield f"  recordings     {len(found.records)} of {len(found.subjects)} subjects, {hours}"
    yield f"  signal         {channels} at {layout.rate_hz:g} Hz"
    yield from differences(found)
    hop_s, frame_s = layout.hop / layout.rate_hz, layout.frame / layout.rate_hz
    yield (
        f"  frames         {layout.frame} samples ({frame_s:g} s), hop {layout.hop} ({hop_s:g} s), "
        f"{layout.n_features} features"
    )


def differences(found: Contents) -> Iterator[str]:
    """Lines on channels whose name or unit is not the same in the files of all recordings; and doubts."""
    for number, known in enumerate(found.in_files, 1):
        if len(known) > 1:
            shown = "; ".join(
                f"{name}{f' ({unit})' if unit else ''} in {len(records)}"
                for (name, unit), records in known.items()
            )
            yield f"  differs        channel {number} by the files: {shown} records"
    for doubt, records in found.doubts.items():
        yield f"  doubt          {told(records)}: {doubt}"


def describe_classes(found: Contents, kept: Kept | None, splits: Splits | None) -> Iterator[str]:
    """A table: seconds as read, seconds within sequences, frames as cut."""
    if found.layout is None:
        return
    names = (*found.layout.class_names, "unlabelled")
    seconds = [*found.class_seconds.tolist(), found.unlabelled_s]
    within = [f"{s:,.1f}" for s in kept.kept.tolist()] + [""] if kept is not None else [""] * len(names)
    subjects = [str(len(s)) for s in found.class_subjects] + [""]
    width = max(14, *map(len, names))
    heads = f"{'seconds':>12} {'share':>7} {'subjects':>9} {'in sequences':>13} {'frames':>9}"
    yield f"  {'class':<{width}} {heads}"
    counts = [""] * len(names)
    if splits is not None:
        y = np.concatenate([frames.y.ravel() for frames in splits.by_name().values()])
        counts = [f"{int((y == code).sum()):,}" for code in (*range(len(names) - 1), -1)]
    for name, s, people, inside, n in zip(names, seconds, subjects, within, counts, strict=True):
        share = s / found.seconds if found.seconds else 0.0
        yield f"  {name:<{width}} {s:>12,.1f} {share:>7.1%} {people:>9} {inside:>13} {n:>9}"


def describe_splits(splits: Splits) -> Iterator[str]:
    """Lines on sequences and splits."""
    n, t = sum(map(len, splits.by_name().values())), splits.train.shape[1]
    dropped = [f"{count:,} ({reason})" for reason, count in splits.n_dropped.items() if count]
    left = ", ".join(dropped) or "none"
    yield f"  sequences      {n:,} of {t} frames; frames in none: {left}"
    for line in splits.described:
        head, _, rest = line.partition(": ")
        yield f"  {head:<14} {rest}" if rest and len(head) < 14 else f"  {line}"


def describe_adjacency(found: Adjacency, threshold: float) -> Iterator[str]:
    """Lines on steps."""
    quantiles = ", ".join(f"{q:.0%} {v:.2f}" for q, v in zip(QUANTILES, found.quantiles, strict=True))
    share = f"{found.dissimilar_share:.2%} of {found.n_steps:,} steps"
    yield f"  adjacent       cosines {quantiles}; random pairs of a record: median {found.random_median:.2f}"
    yield f"  threshold {threshold:<4g} calls {share} dissimilar"
    if found.stays is not None and found.stays_by_chance is not None:
        yield (
            f"  labels         stay in {found.stays:.1%} of steps; "
            f"random pairs of a record share one in {found.stays_by_chance:.1%}"
        )
    yield f"  order          {found.verdict()}"


def describe_cache() -> str:
    return f"  cache          {cache.folder()}, {cache.size_bytes() / 1e6:,.1f} MB in all"
