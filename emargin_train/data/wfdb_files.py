"""WFDB records through wfdb, after checking that the header fits its signal files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emargin_train.data.files import bounded, reading
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


@dataclass(frozen=True)
class Note:
    """One WFDB annotation at a sample: its symbol and its auxiliary text."""

    sample: int
    symbol: str
    text: str


def open_header(path: Path) -> "Record":
    """The header of a record of one segment, checked against the sizes of its signal files."""
    import wfdb

    with reading(path, "WFDB header"):
        if path.stat().st_size > 1_000_000:
            raise UserError(f"{path} has over 1,000,000 bytes: no WFDB header is so long")
        record = wfdb.rdheader(str(path.with_suffix("")))
        if getattr(record, "seg_name", None) is not None:
            raise UserError(f"{path} is a record of several segments: give single-segment records")
        check_rate(path)
        names, n, rate = record.file_name or [], int(record.sig_len or 0), float(record.fs)
        frames = [int(k or 1) for k in record.samps_per_frame or []]
        if not 0 < rate < 1e6 or n < 0 or len(names) > MAX_SIGNALS or any(k != 1 for k in frames):
            raise UserError(
                f"{path} tells of {len(names)} signals of {n} samples at {rate:g} Hz: it is damaged"
            )
        bounded(path, n * len(names))
        for name in dict.fromkeys(names):
            check_signal_file(
                path, name, [f for own, f in zip(names, record.fmt, strict=True) if own == name], n
            )
    return record


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


def check_signal_file(header: Path, name: str, formats: Sequence[str], n: int) -> None:
    """Refuse a signal file that is missing, of a format not read here, or shorter than `n` samples.

    wfdb takes names without a slash only, so the file lies beside its header.
    """
    file = header.parent / name
    if not file.is_file():
        raise UserError(f"{file}, named by {header.name}, is missing: get it too")
    unknown = set(formats) - BITS.keys()
    if unknown or len(set(formats)) > 1:
        raise UserError(
            f"{header} stores signals as {sorted(set(formats))}: convert them to one of {', '.join(BITS)}"
        )
    least = int(n * len(formats) * BITS[formats[0]] / 8)
    if file.stat().st_size < least:
        raise UserError(
            f"{file} has {file.stat().st_size:,} bytes, but its header tells of {least:,}: "
            "it was cut short, get it again"
        )


def channels(path: Path, wanted: Sequence[str | int]) -> tuple[np.ndarray, float, list[str], list[str]]:
    """The channels (names, or positions counted from 1) as (C, n) float32, their rate, names and units.

    Invalid samples are NaN. A checksum in the header that does not hold is refused.
    """
    import wfdb

    header = open_header(path)
    with reading(path, "WFDB record"):
        names = list(header.sig_name or [])
        places = [_position(channel, names, path) for channel in wanted]
        record = wfdb.rdrecord(str(path.with_suffix("")), physical=False)
        for name, told, found in zip(names, record.checksum, record.calc_checksum(), strict=True):
            if told is not None and told % 65536 != found % 65536:
                raise UserError(
                    f"signal {name[:40]} of {path} fails its checksum: the signal file is damaged"
                )
        values = record.dac(return_res=32)[:, places].T  # (C, n)
        return (
            np.ascontiguousarray(values, np.float32),
            float(record.fs),
            [names[i] for i in places],
            [record.units[i] for i in places],
        )


def notes(path: Path, annotator: str) -> list[Note]:
    """Annotations of the record in order of time, from the file with suffix `annotator` beside the header."""
    import wfdb

    file = path.with_suffix(f".{annotator}")
    with reading(file, "WFDB annotations"):
        file.stat()
        found = wfdb.rdann(str(path.with_suffix("")), annotator)
        rows = zip(found.sample, found.symbol, found.aux_note, strict=True)
        return sorted(
            (Note(int(s), str(c), t.strip("\x00 ")) for s, c, t in rows), key=lambda note: note.sample
        )


def _position(channel: str | int, names: list[str], path: Path) -> int:
    if isinstance(channel, int):
        if not 1 <= channel <= len(names):
            raise UserError(f"{path} has {len(names)} signals, but signal {channel} is asked for")
        return channel - 1
    if names.count(channel) != 1:
        what = "has no signal" if channel not in names else "has more than one signal"
        raise UserError(f"{path} {what} '{channel}': {nearest(channel, names)}")
    return names.index(channel)
