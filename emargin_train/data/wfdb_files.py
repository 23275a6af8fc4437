"""WFDB records through wfdb, after checking that the header fits its signal files."""

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emargin_train.data import edf_annotations
from emargin_train.data.files import bounded, reading
from emargin_train.data.recording import Source
from emargin_train.data.stream import BLOCK_VALUES, Block, Stream, in_blocks
from emargin_train.errors import UserError, nearest

if TYPE_CHECKING:
    from wfdb import Record

# Bits of one stored sample by WFDB format; 310 and 311 pack three samples in 32 bits.
BITS = {
    "8": 8,
    "16": 16,
    "24": 24,
    "32": 32,
    "61": 16,
    "80": 8,
    "160": 16,
    "212": 12,
    "310": 32 / 3,
    "311": 32 / 3,
}
MAX_SIGNALS = 256
# Symbols of beats (https://physionet.org/physiotools/wpg/wpg_36.htm); all others mark rhythms, noise, waves.
BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")


COMPRESSED = ("508", "516", "524")  # FLAC: the size of a file does not follow from its header


@dataclass(frozen=True)
class Note:
    """One WFDB annotation, in seconds since the record's start: its symbol and its auxiliary text."""

    start_s: float
    symbol: str
    text: str


def open_header(path: Path, *, signals: bool = True, streamed: bool = False) -> "Record":
    """The header of a record of one segment, checked against the sizes of its signal files.

    signals: whether its signals are wanted; without, their files need not be there.
    streamed: they are read block by block, so that their size does not matter
    """
    import wfdb

    with reading(path, "WFDB header"):
        if path.stat().st_size > 1_000_000:
            raise UserError(f"{path} has over 1,000,000 bytes: no WFDB header is so long")
        record = wfdb.rdheader(str(path.with_suffix("")))
        if getattr(record, "seg_name", None) is not None:
            raise UserError(f"{path} is a record of several segments: give single-segment records")
        if is_layout(record):
            raise UserError(
                f"{path} is the layout of a record of several segments, without a signal: narrow the pattern"
            )
        check_rate(path)
        names, n, rate = record.file_name or [], int(record.sig_len or 0), float(record.fs)
        frames = [int(k or 1) for k in record.samps_per_frame or []]
        if not 0 < rate < 1e6 or n < 0 or len(names) > MAX_SIGNALS or not all(0 < k < 1e4 for k in frames):
            raise UserError(
                f"{path} states {len(names)} signals of {n} samples at {rate:g} Hz: it is damaged"
            )
        if not streamed:
            bounded(path, n * sum(frames))
        for name in dict.fromkeys(names if signals else []):
            own = [i for i, other in enumerate(names) if other == name]
            check_signal_file(path, name, [record.fmt[i] for i in own], n * sum(frames[i] for i in own))
    return record


def is_layout(record: "Record") -> bool:
    """Whether a header only lays out the segments of another record (`_layout.hea`): its files are `~`."""
    return bool(record.file_name) and set(record.file_name or []) == {"~"}


def check_rate(path: Path) -> None:
    """Refuse a written rate that is no positive number: wfdb would read 250 Hz, as where none is written."""
    lines = path.read_text(errors="replace").splitlines()
    words = next((line.split() for line in lines if line.strip() and not line.startswith("#")), [])
    if len(words) < 3:
        return
    written = re.split(r"[/(]", words[2])[0]
    try:
        positive = float(written) > 0
    except ValueError:
        positive = False
    if not positive:
        raise UserError(f"{path} gives a rate of '{written}', which is no positive number: it is damaged")


def check_signal_file(header: Path, name: str, formats: Sequence[str], n_values: int) -> None:
    """Refuse a signal file that is missing, of a format not read here, or shorter than `n_values` samples.

    wfdb takes names without a slash only, so the file lies beside its header.
    """
    file = header.parent / name
    if not file.is_file():
        raise UserError(f"{file}, named by {header.name}, is missing: get it too")
    if set(formats) <= set(COMPRESSED):
        return
    unknown = set(formats) - BITS.keys()
    if unknown or len(set(formats)) > 1:
        raise UserError(
            f"{header} stores signals as {sorted(set(formats))}: convert them to one of {', '.join(BITS)}"
        )
    least = int(n_values * BITS[formats[0]] / 8)
    if file.stat().st_size < least:
        raise UserError(
            f"{file} has {file.stat().st_size:,} bytes, but its header states {least:,}: "
            "it was cut short, get it again"
        )


def channels(
    path: Path, wanted: Sequence[str | int]
) -> tuple[np.ndarray, float, list[str], list[str], Source]:
    """The channels (names, or positions counted from 1) as (C, n) float32, their rate, names and units.

    Invalid samples are NaN, and so are the last ones of a skewed signal. A signal with several samples a
    frame has so many times the record's rate. A checksum in the header that does not hold is refused.
    """
    import wfdb

    header = open_header(path)
    with reading(path, "WFDB record"):
        names = list(header.sig_name or [])
        places, frames = _chosen(path, header, wanted)
        record = wfdb.rdrecord(
            str(path.with_suffix("")), physical=False, smooth_frames=False, ignore_skew=True
        )
        for name, stated, signal in zip(names, record.checksum, record.e_d_signal, strict=True):
            check_sum(path, name, stated, int(signal.sum(dtype=np.int64)))
        values = record.dac(expanded=True, return_res=32)
        units = written_units(path, header)
        return (
            np.stack(
                [
                    aligned(values[i], int(header.skew[i] or 0) * k)
                    for i, k in zip(places, frames, strict=True)
                ]
            ),
            float(header.fs) * frames[0],
            [names[i] for i in places],
            [units[i] for i in places],
            Source(
                channels=tuple(names[i] for i in places),
                stated_hz=float(header.fs) * frames[0],
                doubts=uncalibrated(path, places),
            ),
        )


def _chosen(path: Path, header: "Record", wanted: Sequence[str | int]) -> tuple[list[int], list[int]]:
    """The places of channels, and how many samples each has in a frame; UserError where these differ."""
    places = [_position(channel, list(header.sig_name or []), path) for channel in wanted]
    frames = [int(header.samps_per_frame[i] or 1) for i in places]
    if len(set(frames)) > 1:
        rates = sorted({float(header.fs) * k for k in frames})
        raise UserError(
            f"{path} has {', '.join(map(str, wanted))} at {rates} Hz (several samples a frame): "
            "give one [[signal]] for each rate"
        )
    return places, frames


def check_sum(path: Path, name: str, stated: int | None, total: int) -> None:
    """Refuse a signal whose samples do not have the sum that the header states."""
    if stated is not None and stated % 65536 != total % 65536:
        raise UserError(f"signal {name[:40]} of {path} fails its checksum: the signal file is damaged")


def stream(path: Path, wanted: Sequence[str | int]) -> Stream:
    """The channels (names, or positions counted from 1), read block by block: the values of `channels`.

    A checksum that does not hold is refused after the last block. Compressed files, differences (format 8)
    and skewed signals are read whole.
    """
    header = open_header(path, streamed=True)
    with reading(path, "WFDB record"):
        if not header.sig_len or {*COMPRESSED, "8"} & {*header.fmt} or any(header.skew):
            values, rate_hz, _, units, _ = channels(path, wanted)
            return Stream(tuple(units), rate_hz, values.shape[1], in_blocks(values))
        places, (each, *_) = _chosen(path, header, wanted)
        units = written_units(path, header)
    return Stream(
        tuple(units[i] for i in places),
        float(header.fs) * each,
        int(header.sig_len) * each,
        _blocks(path, header, places, each),
    )


def _blocks(path: Path, header: "Record", places: list[int], each: int) -> Iterator[Block]:
    """each: samples of the chosen signals in a frame"""
    import wfdb

    totals = [0] * len(header.sig_name)
    size = max(1, BLOCK_VALUES // sum(int(k or 1) for k in header.samps_per_frame))
    with reading(path, "WFDB record"):
        for first in range(0, int(header.sig_len), size):
            record = wfdb.rdrecord(
                str(path.with_suffix("")),
                sampfrom=first,
                sampto=min(first + size, int(header.sig_len)),
                physical=False,
                smooth_frames=False,
                ignore_skew=True,
            )
            for i, signal in enumerate(record.e_d_signal):
                totals[i] += int(signal.sum(dtype=np.int64))
            values = record.dac(expanded=True, return_res=32)
            yield first * each, np.stack([values[i] for i in places]).astype(np.float32, copy=False)
        for name, stated, total in zip(header.sig_name, header.checksum, totals, strict=True):
            check_sum(path, name, stated, total)


def aligned(values: np.ndarray, skew: int) -> np.ndarray:
    """(n,) float32: the signal so many samples earlier, NaN at its end."""
    out = np.full(len(values), np.nan, np.float32)
    out[: max(0, len(values) - skew)] = values[skew:]
    return out


def signal_lines(path: Path) -> list[list[str]]:
    """The words of each signal's line of a header."""
    lines = edf_annotations.decoded(path.read_bytes()).splitlines()
    return [line.split() for line in lines if line.strip() and not line.startswith("#")][1:]


def uncalibrated(path: Path, places: Sequence[int]) -> tuple[str, ...]:
    """What to say of signals whose header states no gain, or 0: WFDB then takes 200 units for 1 mV."""
    lines = signal_lines(path)
    gains = [re.match(r"[-+.\deE]*", lines[i][2])[0] if len(lines[i]) > 2 else "" for i in places]  # type: ignore[index]
    unknown = [str(i + 1) for i, gain in zip(places, gains, strict=True) if not gain or float(gain) == 0]
    if not unknown:
        return ()
    return (
        f"its header states no gain for signal {', '.join(unknown)}, which is not calibrated (200 units were "
        "taken for 1 mV): write the gain into the header",
    )


def written_units(path: Path, header: "Record") -> list[str]:
    """The units as the header has them: wfdb drops what is not ASCII, so that µV would become V."""
    if path.read_bytes().isascii():
        return list(header.units)
    units = []
    for words, known in zip(signal_lines(path), header.units, strict=False):
        own = words[2].rpartition("/")[2] if len(words) > 2 and "/" in words[2] else known
        units.append(known if own.isascii() else own)
    return units if len(units) == len(header.units) else list(header.units)


def notes(path: Path, annotator: str) -> list[Note]:
    """Annotations of the record in order of time, from the file with suffix `annotator` beside the header.

    The file's own resolution of time counts, where it states one; else the record's.
    """
    file = path.with_suffix(f".{annotator}")
    with reading(file, "WFDB annotations"):
        state = file.stat()
        return list(_notes(path, annotator, (state.st_mtime_ns, state.st_size)))


@functools.lru_cache(maxsize=2)
def _notes(path: Path, annotator: str, state: tuple[int, int]) -> tuple[Note, ...]:
    """Remembered while the file is in that state: wfdb takes seconds for the beats of a day."""
    import wfdb

    file = path.with_suffix(f".{annotator}")
    with reading(file, "WFDB annotations"):
        found = wfdb.rdann(str(path.with_suffix("")), annotator)
        rate_hz = float(found.fs or open_header(path, signals=False).fs)
        if not 0 < rate_hz < 1e9:
            raise UserError(f"{file} states a resolution of {rate_hz:g} Hz: it is damaged")
        rows = zip(found.sample, found.symbol, found.aux_note, strict=True)
        notes = (Note(int(s) / rate_hz, str(c), written(t)) for s, c, t in rows)
        return tuple(sorted(notes, key=lambda note: note.start_s))


def written(text: str) -> str:
    """A note's text: wfdb takes each byte for a character, and some files end texts with NUL."""
    return edf_annotations.decoded(text.strip("\x00 ").encode("latin-1", "replace"))


def intervals(path: Path, annotator: str) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) of the beats from the second one on, in seconds, and (1, n) ms since the beat before."""
    beats = np.array([note.start_s for note in notes(path, annotator) if note.symbol in BEATS])
    if len(beats) < 3:
        raise UserError(f"{path.with_suffix('.' + annotator)} has {len(beats)} beats: leave the record out")
    return beats[1:], (np.diff(beats)[None] * 1e3).astype(np.float32)


def _position(channel: str | int, names: list[str], path: Path) -> int:
    if isinstance(channel, int):
        if not 1 <= channel <= len(names):
            raise UserError(f"{path} has {len(names)} signals, but signal {channel} is asked for")
        return channel - 1
    if names.count(channel) != 1:
        what = "has no signal" if channel not in names else "has more than one signal"
        raise UserError(f"{path} {what} '{channel}': {nearest(channel, names)}")
    return names.index(channel)
