"""Which frames form sequences: decided from lengths and labels alone, before any spectrum is taken."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from emargin_train.data.dataset import Dataset
from emargin_train.data.frames import count_frames, majority
from emargin_train.data.recording import Part, Recording
from emargin_train.data.units import converted
from emargin_train.errors import UserError

SHORTEST = 3  # frames: one in the middle has two neighbours


@dataclass(frozen=True)
class Stretch:
    """One recording without its signal: `y` (frames,) int16 are its frames' labels."""

    y: np.ndarray
    subject: str
    record: str
    start: int  # index of the first frame within the record
    split: str
    samples: "Samples | None" = None


@dataclass(frozen=True)
class Samples:
    """How many samples of each class there are: in all, and before the start and the end of each frame.

    total: (classes,); until_start, until_end: (frames, classes)
    """

    total: np.ndarray
    until_start: np.ndarray
    until_end: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, layout: "Layout") -> "Samples":
        first = np.arange(count_frames(len(labels), layout.frame, layout.hop)) * layout.hop
        n_classes = len(layout.class_names)
        until_start = np.empty((len(first), n_classes), np.int32)
        until_end = np.empty_like(until_start)
        for code in range(n_classes):
            until = np.concatenate([[0], np.cumsum(labels == code)])
            until_start[:, code], until_end[:, code] = until[first], until[first + layout.frame]
        total = np.bincount(labels[labels >= 0], minlength=n_classes)
        return cls(total, until_start, until_end)


@dataclass(frozen=True)
class Block:
    """Consecutive frames, from `first` to before `end`, of stretch number `stretch`, for one split."""

    stretch: int
    first: int
    end: int
    split: str = ""

    def __len__(self) -> int:
        return self.end - self.first


@dataclass(frozen=True)
class Layout:
    """What all recordings of a dataset share."""

    rate_hz: float
    frame: int  # samples
    hop: int  # samples
    channels: tuple[str, ...]
    class_names: tuple[str, ...]
    units: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset, recording: Recording) -> "Layout":
        frame, hop = dataset.frame_and_hop(recording.rate_hz)
        named = recording.channels, recording.class_names, recording.units
        return cls(recording.rate_hz, frame, hop, *named)

    @property
    def n_features(self) -> int:
        return len(self.channels) * (self.frame // 2 + 1)


@dataclass(frozen=True)
class Sequences:
    """Where every sequence lies; row n of each array describes sequence n.

    stretch, first: (N,) int64, recording in reading order, and first frame within it
    y: (N, T) int16
    subject, record: (N,) str
    split: (N,) str, "train", "validation", "test", or "" where it is still to be chosen
    start: (N,) int64, first frame within the record
    """

    stretch: np.ndarray
    first: np.ndarray
    y: np.ndarray
    subject: np.ndarray
    record: np.ndarray
    start: np.ndarray
    split: np.ndarray


def read_all(parts: Iterable[Part], subjects: int | None = None) -> Iterator[tuple[str, Recording]]:
    """Yield each recording with its split; only recordings of the first so many subjects."""
    seen: set[str] = set()
    for part in parts:
        for recording in part.read():
            if subjects is None or recording.subject in seen or len(seen) < subjects:
                seen.add(recording.subject)
                yield part.split, recording


def checked(dataset: Dataset, recordings: Iterable[tuple[str, Recording]]) -> Iterator[tuple[str, Recording]]:
    """The recordings in the units of the first one; other channels, rates and classes are refused."""
    first: Recording | None = None
    for split, recording in recordings:
        first = first or replace(
            recording, signal=recording.signal[:, :0], labels=recording.labels[:0], clean=None
        )
        own, common = Layout.of(dataset, recording), Layout.of(dataset, first)
        if (own.n_features, own.hop, own.class_names) != (common.n_features, common.hop, common.class_names):
            raise UserError(
                f"record {recording.record} has {len(own.channels)} channels at {own.rate_hz:g} Hz, but "
                f"record {first.record} has {len(common.channels)} at {common.rate_hz:g} Hz: a dataset needs "
                "one number of channels, one rate and one list of classes, so keep records of one kind there"
            )
        if own.channels != common.channels:
            raise UserError(
                f"record {recording.record} has the channels {', '.join(own.channels)}, but record "
                f"{first.record} {', '.join(common.channels)}: a dataset needs the same ones in the same "
                "order; give channels by name, or say by names in [[signal]] what they are"
            )
        if abs(own.rate_hz / common.rate_hz - 1) > 1e-6:
            raise UserError(
                f"record {recording.record} has {own.rate_hz:g} samples per second, but record "
                f"{first.record} {common.rate_hz:g}: a dataset needs one rate; "
                "give rate_hz, to which all are resampled"
            )
        yield split, converted(recording, first.units, f"record {first.record}")


def joined(
    dataset: Dataset, recordings: Iterable[tuple[str, Recording]], length: int
) -> Iterator[tuple[str, Recording]]:
    """One stream per split, as the paper's code joins them: in pieces of whole sequences, then the remainder.

    Frames thus lie across the joints (and `split = released` alone does this).
    """
    waiting: dict[str, Recording] = {}
    for split, recording in recordings:
        layout = Layout.of(dataset, recording)
        stream = waiting.get(split)
        if stream is None:
            stream = replace(recording, subject="stream", record=f"stream {split}".strip(), start=0)
        else:
            stream = append(stream, recording)
        ready = count_frames(stream.signal.shape[1], layout.frame, layout.hop) // length * length
        if ready:
            yield split, piece(stream, 0, (ready - 1) * layout.hop + layout.frame)
            stream = piece(stream, ready * layout.hop, stream.signal.shape[1])
        waiting[split] = stream
    yield from waiting.items()


def append(stream: Recording, recording: Recording) -> Recording:
    """The stream, longer by the recording's samples."""
    clean = None
    if stream.clean is not None and recording.clean is not None:
        clean = np.concatenate([stream.clean, recording.clean], axis=1)
    return replace(
        stream,
        signal=np.concatenate([stream.signal, recording.signal], axis=1),
        labels=np.concatenate([stream.labels, recording.labels]),
        clean=clean,
    )


def piece(recording: Recording, first: int, end: int) -> Recording:
    """Samples `first` to before `end` as a recording of their own."""
    return replace(
        recording,
        signal=recording.signal[:, first:end],
        labels=recording.labels[first:end],
        start=recording.start + first,
        clean=None if recording.clean is None else recording.clean[:, first:end],
    )


def scan(
    dataset: Dataset, recordings: Iterable[tuple[str, Recording]]
) -> tuple[Layout, list[Stretch], list[str]]:
    """Read everything once and keep labels only; and what readers doubted, with how many records it was."""
    layout: Layout | None = None
    stretches = []
    doubted: dict[str, list[str]] = {}
    for split, recording in recordings:
        layout = layout or Layout.of(dataset, recording)
        for doubt in recording.source.doubts:
            doubted.setdefault(doubt, []).append(recording.record)
        stretches.append(stretch_of(layout, split, recording))
    if layout is None:
        raise UserError(f"dataset '{dataset.name}' holds no recording: give a folder that holds some")
    if dataset.labelled and not any((stretch.y >= 0).any() for stretch in stretches):
        n = sum(len(stretch.y) for stretch in stretches)
        raise UserError(
            f"dataset '{dataset.name}' has no labelled frame ({n} frames, classes "
            f"{', '.join(layout.class_names)}): check that annotations and class names belong to these files"
        )
    lines = [f"{told(dict.fromkeys(records))}: {doubt}" for doubt, records in doubted.items()]
    return layout, stretches, lines


def stretch_of(layout: Layout, split: str, recording: Recording) -> Stretch:
    """The recording without its signal."""
    y = majority(recording.labels, layout.frame, layout.hop, len(layout.class_names))
    start = recording.start // layout.hop
    samples = Samples.of(recording.labels, layout)
    return Stretch(y, recording.subject, recording.record, start, split, samples)


def told(records: Iterable[str], most: int = 3) -> str:
    """Records by name, unless there are many."""
    names = list(records)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"record{'s' if len(names) > 1 else ''} {', '.join(names[:most])}{more}"


def fitting_length(blocks: list[Block], wanted: int) -> int:
    """`wanted`, or where some split has no block that long, the longest that fits in every split."""
    longest: dict[str, int] = {}
    for block in blocks:
        longest[block.split] = max(longest.get(block.split, 0), len(block))
    length = min([wanted, *longest.values()])
    if length < SHORTEST:
        raise UserError(
            f"the longest stretch of frames that every split has is {length}, but a sequence needs "
            f"{SHORTEST}: give longer recordings or another --split"
        )
    return length


def cut(stretches: list[Stretch], blocks: list[Block], length: int) -> Sequences:
    """Sequences of `length` frames, from the start of each block; what remains of a block is left out."""
    stretch, first, split = [], [], []
    for block in blocks:
        for position in range(block.first, block.end - length + 1, length):
            stretch.append(block.stretch)
            first.append(position)
            split.append(block.split)
    own = [stretches[i] for i in stretch]
    return Sequences(
        stretch=np.array(stretch, np.int64),
        first=np.array(first, np.int64),
        y=np.array([s.y[f : f + length] for s, f in zip(own, first, strict=True)], np.int16),
        subject=np.array([s.subject for s in own], str),
        record=np.array([s.record for s in own], str),
        start=np.array([s.start + f for s, f in zip(own, first, strict=True)], np.int64),
        split=np.array(split, str),
    )


def lost(stretches: list[Stretch], blocks: list[Block], length: int) -> tuple[int, set[int]]:
    """Frames of blocks that fit in no sequence of `length`, and classes that only they hold in some split."""
    n_lost, kept, left_out = 0, set(), set()
    for block in blocks:
        whole = block.first + len(block) // length * length
        y = stretches[block.stretch].y
        n_lost += block.end - whole
        kept |= {(block.split, c) for c in np.unique(y[block.first : whole]).tolist()}
        left_out |= {(block.split, c) for c in np.unique(y[whole : block.end]).tolist()}
    return n_lost, {c for _, c in left_out - kept if c >= 0}


def shorter(stretches: list[Stretch], blocks: list[Block], length: int) -> int:
    """A length, halved until no class and at most a tenth of the frames is lost (3 at the least)."""
    while length > SHORTEST:
        length = max(SHORTEST, length // 2)
        n_lost, classes = lost(stretches, blocks, length)
        if not classes and n_lost <= sum(map(len, blocks)) / 10:
            break
    return length


@dataclass(frozen=True)
class Kept:
    """Seconds of each class (classes,): as read, in sequences, and of frames in sequences by their label."""

    read: np.ndarray
    kept: np.ndarray
    framed: np.ndarray


def kept_seconds(layout: Layout, stretches: list[Stretch], blocks: list[Block], length: int) -> Kept:
    """What cutting into frames and into sequences of `length` leaves of each class."""
    n_classes = len(layout.class_names)
    read, kept, framed = np.zeros((3, n_classes))
    for stretch in stretches:
        if stretch.samples is not None:
            read = read + stretch.samples.total
    for block in blocks:
        own, whole = stretches[block.stretch], len(block) // length * length
        if whole and own.samples is not None:
            last = block.first + whole - 1
            kept = kept + own.samples.until_end[last] - own.samples.until_start[block.first]
            y = own.y[block.first : last + 1]
            framed = framed + np.bincount(y[y >= 0], minlength=n_classes) * layout.hop
    return Kept(read / layout.rate_hz, kept / layout.rate_hz, framed / layout.rate_hz)


def remarks(
    layout: Layout, stretches: list[Stretch], blocks: list[Block], wanted: int, length: int
) -> list[str]:
    """What a user should know of the cutting, one line each; empty where little is lost."""
    lines = []
    if length < wanted:
        longest = fitting_length(blocks, wanted)
        why = (
            "the longest that a stretch of every split holds"
            if length == longest
            else ("the longest that leave every split two classes")
        )
        lines.append(
            f"sequences have {length} frames instead of {wanted}, {why}: "
            f"to choose the length yourself, give --sequence-length {length} or less"
        )
    seconds = kept_seconds(layout, stretches, blocks, length)
    n_lost, classes = lost(stretches, blocks, length)
    share = n_lost / sum(map(len, blocks))
    for code, name in enumerate(layout.class_names):
        read, kept, framed = (float(v[code]) for v in (seconds.read, seconds.kept, seconds.framed))
        if read and 0 < kept < 0.9 * read:
            lines.append(
                f"class {name} loses {1 - kept / read:.0%} of its {read:,.0f} s at the ends of stretches: "
                f"--sequence-length {shorter(stretches, blocks, length)} keeps more"
            )
        whole = seconds.framed.sum() / max(seconds.kept.sum(), 1e-9)
        if kept and framed < 0.9 * whole * kept:
            lines.append(
                f"class {name} has {kept:,.0f} s in sequences, but frames of only {framed:,.0f} s: in other "
                "frames another label has more samples; shorter frames keep more of the class"
            )
    if classes or share > 0.1:
        where = " in some split" if any(block.split for block in blocks) else ""
        names = ", ".join(layout.class_names[c] for c in sorted(classes))
        names = f", among them all frames of {names}{where}," if classes else ""
        lines.append(
            f"{n_lost} frames ({share:.0%}){names} lie in remainders shorter than a sequence of {length} "
            f"frames: --sequence-length {shorter(stretches, blocks, length)} keeps more"
        )
    return lines
