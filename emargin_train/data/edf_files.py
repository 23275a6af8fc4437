"""EDF, EDF+, BDF and BDF+ files through edfio, after checking that the header fits the file."""

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from emargin_train.data import edf_annotations
from emargin_train.data.edf_annotations import Note
from emargin_train.data.files import MAX_VALUES, bounded, reading
from emargin_train.data.recording import Source
from emargin_train.errors import UserError, nearest

MAX_SIGNALS = 1024
HIDDEN = date(1985, 1, 1)  # EDF+: the date of a file whose date was taken out
DAY_S = 86400.0


@dataclass(frozen=True)
class Header:
    """The first bytes of a file, checked."""

    kind: str  # EDF | BDF
    interrupted: bool
    n_records: int
    record_s: float
    head_bytes: int
    samples: tuple[int, ...]  # of each channel in a data record
    labels: tuple[str, ...]
    width: int  # bytes of a sample

    @property
    def record_bytes(self) -> int:
        return self.width * sum(self.samples)

    @property
    def annotation_channels(self) -> list[int]:
        return [i for i, label in enumerate(self.labels) if label == f"{self.kind} Annotations"]


@dataclass(frozen=True)
class Clock:
    """When a file starts: seconds since midnight, and the date where it was not taken out."""

    day: date | None
    second: float


def read_header(path: Path, *, streamed: bool = False) -> Header:
    """Refuse a file that is shorter than its header says, before anything is allocated for it.

    streamed: it is read block by block, so that its size does not matter
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        fixed = file.read(256)
        kind = "BDF" if fixed[:8] == b"\xffBIOSEMI" else "EDF"
        if len(fixed) < 256 or (kind == "EDF" and fixed[:8].strip() != b"0"):
            raise UserError(f"{path} is not an EDF file: its first bytes are not those of an EDF header")
        n_records, seconds, n_signals = int(fixed[236:244]), float(fixed[244:252]), int(fixed[252:256])
        if not 0 < n_signals <= MAX_SIGNALS or not 0 <= seconds < 1e6:
            raise UserError(
                f"{path} claims {n_signals} signals in records of {seconds:g} s: it is damaged, get it again"
            )
        fields = file.read(256 * n_signals)
    counts = [int(fields[216 * n_signals + 8 * i :][:8]) for i in range(n_signals)]
    labels = [fields[16 * i : 16 * (i + 1)].decode("latin-1").strip() for i in range(n_signals)]
    width = 3 if kind == "BDF" else 2
    head, record = 256 * (n_signals + 1), width * sum(counts)
    if min(counts) < 0 or record == 0:
        raise UserError(f"{path} claims {min(counts)} samples in a record: it is damaged, get it again")
    if int(fixed[184:192]) != head:
        raise UserError(
            f"{path} states a header of another length than its {head} bytes: it is damaged, get it again"
        )
    if n_records < -1 or (n_records == -1 and size < head + record):
        raise UserError(f"{path} claims {n_records} records: it is damaged, get it again")
    if size < head + n_records * record:
        raise UserError(
            f"{path} has {size:,} bytes, but its header states {head + n_records * record:,}: "
            "it was cut short, get it again"
        )
    if not streamed:
        bounded(path, (size - head) // width)
    interrupted = fixed[192:197] in (b"EDF+D", b"BDF+D")
    n_whole = (size - head) // record
    return Header(kind, interrupted, n_whole, seconds, head, tuple(counts), tuple(labels), width)


def open_edf(path: Path) -> Any:
    """The file as edfio has it, with its data unread; UserError where it is damaged or cut short."""
    import edfio

    with reading(path, "EDF"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # edfio warns of what is checked here
        header = read_header(path)
        if header.kind == "BDF":
            return edfio.read_bdf(path, header_encoding="latin-1")
        return edfio.read_edf(path, lazy_load_data=True, header_encoding="latin-1")


def channels(
    path: Path, wanted: Sequence[str | int]
) -> tuple[np.ndarray, float, list[str], list[str], Source]:
    """The channels (labels, or positions counted from 1) as (C, n) float32, their rate, labels and units.

    Of a file with interruptions (EDF+D), the time between its parts is NaN.
    """
    edf = open_edf(path)
    with reading(path, "EDF"):
        header = read_header(path)
        labels = list(edf.labels)
        signals = [edf.signals[position(channel, labels, path)] for channel in wanted]
        rates = {s.sampling_frequency for s in signals}
        if len(rates) > 1:
            raise UserError(
                f"{path} has {', '.join(map(str, wanted))} at {sorted(rates)} Hz: "
                "give one [[signal]] for each rate"
            )
        rate_hz = float(rates.pop())
        values = np.stack([scaled(path, s) for s in signals])
        if header.interrupted:
            values = spread(path, header, values, rate_hz)
        source = Source(
            channels=tuple(s.label for s in signals),
            stated_hz=rate_hz,
            lowest=tuple(min(s.physical_min, s.physical_max) for s in signals),
            highest=tuple(max(s.physical_min, s.physical_max) for s in signals),
        )
        return values, rate_hz, [s.label for s in signals], [s.physical_dimension for s in signals], source


def spread(path: Path, header: Header, values: np.ndarray, rate_hz: float) -> np.ndarray:
    """(C, n) of an interrupted file with each data record at its own time, NaN between."""
    size = values.shape[1] // max(1, header.n_records)
    place = starts_of_records(path, header, rate_hz, size)
    n = int(place[-1]) + size
    if n * len(values) > MAX_VALUES:
        raise UserError(f"{path} has too long an interruption (EDF+D): export its parts as separate files")
    out = np.full((len(values), n), np.nan, np.float32)
    for number, first in enumerate(place.tolist()):
        out[:, first : first + size] = values[:, number * size : (number + 1) * size]
    return out


def starts_of_records(path: Path, header: Header, rate_hz: float, size: int) -> np.ndarray:
    """The first sample of each data record of an interrupted file; a data record has `size` samples."""
    starts, _ = edf_annotations.parse(_annotation_bytes(path, header), str(path))
    if len(starts) != header.n_records or not size:
        raise UserError(f"{path} is interrupted (EDF+D) but does not say when its parts start: it is damaged")
    place = np.rint((np.array(starts) - starts[0]) * rate_hz).astype(np.int64)
    if (np.diff(place) < size).any():
        raise UserError(f"{path} is interrupted (EDF+D), and its parts overlap: it is damaged, get it again")
    return place


def names(path: Path) -> list[str]:
    """The labels of the file's channels, without those of annotations."""
    with reading(path, "EDF"):
        header = read_header(path, streamed=True)
        return [label for i, label in enumerate(header.labels) if i not in header.annotation_channels]


def refuse_interrupted(path: Path, what: str) -> None:
    """UserError for a file with interruptions (EDF+D), whose samples have no numbers that count time."""
    with reading(path, "EDF"):
        if read_header(path).interrupted:
            raise UserError(f"{path} is interrupted (EDF+D), so {what} is not known in time: give seconds")


def scaled(path: Path, signal: Any) -> np.ndarray:
    """(n,) float32 in physical units."""
    check_scale(path, signal)
    return in_units(signal, signal.digital)


def check_scale(path: Path, signal: Any) -> None:
    """Refuse a channel whose header gives its numbers no physical meaning."""
    low, high = float(signal.physical_min), float(signal.physical_max)
    span = int(signal.digital_max) - int(signal.digital_min)
    if not np.isfinite([low, high]).all() or low == high or span == 0 or not signal.sampling_frequency > 0:
        raise UserError(
            f"{path}: channel '{signal.label}' has no scale in its header: it is damaged, get it again"
        )


def in_units(signal: Any, digital: np.ndarray) -> np.ndarray:
    """Stored numbers of a channel as float32 in physical units."""
    low, high = float(signal.physical_min), float(signal.physical_max)
    gain = (high - low) / (int(signal.digital_max) - int(signal.digital_min))
    values = digital.astype(np.float32)
    values -= np.float32(int(signal.digital_min))
    values *= np.float32(gain)
    values += np.float32(low)
    return values


def notes(path: Path) -> tuple[list[Note], Clock]:
    """The file's annotations in order of time, in seconds since its first sample, and when that was."""
    with reading(path, "EDF+"):
        header = read_header(path)
        starts, found = edf_annotations.parse(_annotation_bytes(path, header), str(path))
        first = starts[0] if starts else 0.0
        shifted = [Note(note.start_s - first, note.seconds, note.text) for note in found]
    return shifted, clock_of(path)


def _annotation_bytes(path: Path, header: Header) -> list[list[bytes]]:
    edges = [0, *itertools.accumulate(header.width * n for n in header.samples)]
    chosen = [(edges[i], edges[i + 1]) for i in header.annotation_channels]
    if not chosen:
        return []
    with path.open("rb") as file:
        file.seek(header.head_bytes)
        records = (file.read(header.record_bytes) for _ in range(header.n_records))
        return [[record[a:b] for a, b in chosen] for record in records]


def clock_of(path: Path) -> Clock:
    """Date and time of the first sample; the date None where it was taken out or is impossible."""
    with reading(path, "EDF"):
        header = read_header(path)
        with path.open("rb") as file:
            fixed = file.read(256)
        hours, minutes, seconds = (int(fixed[a : a + 2]) for a in (176, 179, 182))
        starts: list[float] = []
        if header.annotation_channels:
            edges = [0, *itertools.accumulate(header.width * n for n in header.samples)]
            own = header.annotation_channels[0]
            with path.open("rb") as file:
                file.seek(header.head_bytes + edges[own])
                starts, _ = edf_annotations.parse([[file.read(edges[own + 1] - edges[own])]], str(path))
        second = hours * 3600 + minutes * 60 + seconds + (starts[0] if starts else 0.0)
        return Clock(_day(fixed), second)


def _day(fixed: bytes) -> date | None:
    words = fixed[88:168].decode("latin-1").split()
    if len(words) > 1 and words[0] == "Startdate":
        try:
            found = datetime.strptime(words[1], "%d-%b-%Y").date()
        except ValueError:
            return None  # X: taken out
    else:
        try:
            d, m, y = (int(fixed[a : a + 2]) for a in (168, 171, 174))
            found = date(1900 + y if y >= 85 else 2000 + y, m, d)
        except ValueError:
            return None
    return None if found == HIDDEN else found


def offset_s(notes_path: Path, own: Clock, signal_path: Path, signal: Clock) -> float:
    """Seconds from the start of the signal to the start of the notes' file, by what both state.

    Where one hides its date, the times of day tell it, to within half a day.
    """
    if own.day is not None and signal.day is not None:
        days = (own.day - signal.day) / timedelta(days=1)
        if abs(days) > 2:
            raise UserError(
                f"{notes_path} starts on {own.day}, but {signal_path} on {signal.day}: their clocks do not "
                "match; write one date into both, or take it out of one, and times of day are compared"
            )
        return days * DAY_S + own.second - signal.second
    return (own.second - signal.second + DAY_S / 2) % DAY_S - DAY_S / 2


def position(channel: str | int, labels: list[str], path: Path) -> int:
    if isinstance(channel, int):
        if not 1 <= channel <= len(labels):
            raise UserError(f"{path} has {len(labels)} channels, but channel {channel} is asked for")
        return channel - 1
    if labels.count(channel) != 1:
        what = "has no channel" if channel not in labels else "has more than one channel"
        raise UserError(f"{path} {what} '{channel}': {nearest(channel, labels)}")
    return labels.index(channel)
