"""EDF and EDF+ files through edfio, after checking that the header fits the file."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emargin_train.data.files import bounded, reading
from emargin_train.errors import UserError, nearest

if TYPE_CHECKING:
    from edfio import Edf

MAX_SIGNALS = 1024


@dataclass(frozen=True)
class Note:
    """One EDF+ annotation, in seconds since the file's start; `seconds` None = none given."""

    start_s: float
    seconds: float | None
    text: str


def open_edf(path: Path) -> "Edf":
    """The file with its data unread; UserError where it is damaged, cut short or interrupted (EDF+D)."""
    import edfio

    with reading(path, "EDF"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # edfio warns of what is checked here
        check_header(path)
        edf = edfio.read_edf(path, lazy_load_data=True)
        if not edf.is_continuous:
            raise UserError(f"{path} is interrupted (EDF+D): export it as one file for each continuous part")
    return edf


def check_header(path: Path) -> None:
    """Refuse a file that is shorter than its header says, before anything is allocated for it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        fixed = file.read(256)
        if len(fixed) < 256 or fixed[:8].strip() != b"0":
            raise UserError(f"{path} is not an EDF file: its first bytes are not those of an EDF header")
        n_records, seconds, n_signals = int(fixed[236:244]), float(fixed[244:252]), int(fixed[252:256])
        if not 0 < n_signals <= MAX_SIGNALS or not 0 <= seconds < 1e6:
            raise UserError(
                f"{path} claims {n_signals} signals in records of {seconds:g} s: it is damaged, get it again"
            )
        fields = file.read(256 * n_signals)
    counts = [int(fields[216 * n_signals + 8 * i :][:8]) for i in range(n_signals)]
    head, record = 256 * (n_signals + 1), 2 * sum(counts)
    if min(counts) < 0 or record == 0:
        raise UserError(f"{path} claims {min(counts)} samples in a record: it is damaged, get it again")
    if int(fixed[184:192]) != head:
        raise UserError(
            f"{path} tells of a header of another length than its {head} bytes: it is damaged, get it again"
        )
    if n_records < -1 or (n_records == -1 and size < head + record):
        raise UserError(f"{path} claims {n_records} records: it is damaged, get it again")
    if size < head + n_records * record:
        raise UserError(
            f"{path} has {size:,} bytes, but its header tells of {head + n_records * record:,}: "
            "it was cut short, get it again"
        )
    bounded(path, (size - head) // 2)


def channels(path: Path, wanted: Sequence[str | int]) -> tuple[np.ndarray, float, list[str], list[str]]:
    """The channels (labels, or positions counted from 1) as (C, n) float32, their rate, labels and units."""
    edf = open_edf(path)
    with reading(path, "EDF"):
        labels = list(edf.labels)
        signals = [edf.signals[_position(channel, labels, path)] for channel in wanted]
        rates = {s.sampling_frequency for s in signals}
        if len(rates) > 1:
            raise UserError(
                f"{path} has {', '.join(map(str, wanted))} at {sorted(rates)} Hz: "
                "give one [[signal]] for each rate"
            )
        values = np.stack([scaled(path, s) for s in signals])
        return values, float(rates.pop()), [s.label for s in signals], [s.physical_dimension for s in signals]


def scaled(path: Path, signal: Any) -> np.ndarray:
    """(n,) float32 in physical units."""
    low, high = float(signal.physical_min), float(signal.physical_max)
    span = int(signal.digital_max) - int(signal.digital_min)
    if not np.isfinite([low, high]).all() or low == high or span == 0 or not signal.sampling_frequency > 0:
        raise UserError(
            f"{path}: channel '{signal.label}' has no scale in its header: it is damaged, get it again"
        )
    gain = (high - low) / span
    digital = signal.digital.astype(np.float32)
    digital -= np.float32(int(signal.digital_min))
    digital *= np.float32(gain)
    digital += np.float32(low)
    return digital


def notes(path: Path) -> tuple[list[Note], datetime | None]:
    """The file's annotations in order of time, and when it starts, where it says so."""
    edf = open_edf(path)
    with reading(path, "EDF+"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [
            Note(float(a.onset), None if a.duration is None else float(a.duration), a.text)
            for a in edf.annotations
        ]
    return found, start_of(edf)


def start_of(edf: "Edf") -> datetime | None:
    """Date and time of the first sample; None where they were taken out."""
    from edfio import AnonymizedDateError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return edf.startdatetime
        except (AnonymizedDateError, ValueError):
            return None


def _position(channel: str | int, labels: list[str], path: Path) -> int:
    if isinstance(channel, int):
        if not 1 <= channel <= len(labels):
            raise UserError(f"{path} has {len(labels)} channels, but channel {channel} is asked for")
        return channel - 1
    if labels.count(channel) != 1:
        what = "has no channel" if channel not in labels else "has more than one channel"
        raise UserError(f"{path} {what} '{channel}': {nearest(channel, labels)}")
    return labels.index(channel)
