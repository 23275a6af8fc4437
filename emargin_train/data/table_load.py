"""Load one signal's file of a table: its stretches by subject, with names, units and rate."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from emargin_train.data import edf_files, table_labels, timeline, units, wfdb_files
from emargin_train.data.columns import SECONDS, Words, names_of, read_columns, states_zone
from emargin_train.data.recording import Source
from emargin_train.data.table_paths import Found
from emargin_train.data.table_spec import SignalSpec, TableSpec
from emargin_train.data.timeline import Stretch
from emargin_train.errors import UserError

RATE_OFF = 0.05  # share by which stamps may differ from the rate in the description
EXACT = 1e-4  # share by which a rate that follows from labels may differ from a usual one
ROWS = 100  # samples from which on a channel that goes up by one is doubtful
MERGED = 0.1  # share of samples with the time stamp of another one above which a file is refused
MERGED_TOLD = 0.01  # and above which that is told
# Samples per second that devices have; a derived rate that is near none of them is doubtful.
USUAL_HZ = (
    1, 2, 4, 5, 8, 10, 12.5, 15, 16, 20, 25, 30, 31.25, 32, 40, 50, 52, 60, 62.5, 64, 70, 75, 80, 90, 100,
    104, 120, 125, 128, 150, 160, 180, 200, 208, 240, 250, 256, 300, 320, 360, 400, 416, 480, 500, 512, 600,
    640, 720, 800, 833, 960, 1000, 1024, 1200, 1250, 1600, 1666, 2000, 2048, 2500, 4000, 4096, 5000, 8000,
    8192, 10000, 16000,
)  # fmt: skip


@dataclass(frozen=True)
class Loaded:
    """One signal's file: its stretches by subject; `words` are the labels that their codes mean.

    native_hz: samples per second as they really come; None where they come unevenly, as beats do
    """

    runs: list[tuple[str | None, list[Stretch]]]
    words: tuple[str, ...]
    names: tuple[str, ...]
    units: tuple[str, ...]
    source: Source
    native_hz: float | None = None


def load(spec: TableSpec, i: int, own: Found, root: Path) -> Loaded:
    """Signal number `i` of a recording, with its columns of labels and subjects if it is the first."""
    signal, path = spec.signals[i], own.paths[i]
    if signal.format == "wfdb-rr":
        return beats(spec, signal, own, path)
    if signal.format in ("edf", "wfdb"):
        reader = edf_files.channels if signal.format == "edf" else wfdb_files.channels
        values, stated_hz, written, written_units, source = reader(path, signal.channels)
        values, own_units, by = in_units(signal, values, written_units, path)
        rate_hz = given_rate(signal, own) or stated_hz
        source = replace(
            source,
            lowest=tuple(v * f for v, f in zip(source.lowest, by, strict=False)),
            highest=tuple(v * f for v, f in zip(source.highest, by, strict=False)),
        )
        if abs(rate_hz / stated_hz - 1) > 1e-3:
            told = f"its header states {stated_hz:g} Hz; rate_hz in [[signal]], {rate_hz:g} Hz, is used"
            source = replace(source, doubts=(*source.doubts, told))
        stretches = timeline.even_stretches(values, rate_hz)
        return Loaded([(None, stretches)], (), names_for(signal, written), own_units, source, rate_hz)
    label = spec.labels.column if spec.labels.source == "column" and i == 0 else None
    subject = spec.subject_column if i == 0 else None
    columns = list(dict.fromkeys(c for c in (label, subject) if c is not None))
    values, words, stamps = read_columns(
        path,
        signal.channels,
        columns,
        [signal.time] if signal.time is not None else [],
        text=signal.text,
        clock=signal.clock,
        kind=signal.format,
        variable=signal.variable,
    )
    by_column = dict(zip(columns, words, strict=True))
    time_s = stamps[0] if stamps else None
    n = values.shape[1]
    if n == 0:
        raise UserError(f"{path} holds no sample: get it again, or leave it out of the pattern")
    if time_s is None or signal.time is None:
        gap_s = 0.0
        rate_hz = native_rate(spec, signal, own, root, n, time_s, gap_s)
        source, native_hz = unstamped_source(signal, own, rate_hz)
    else:
        gap_s = spec.gap_s or timeline.longest_step(time_s)
        source, native_hz = stamped_source(spec, signal, own, time_s, gap_s)
        rate_hz = native_rate(spec, signal, own, root, n, time_s, gap_s)
        zoned = states_zone(path, signal.time, kind=signal.format, text=signal.text, clock=signal.clock)
        source = replace(source, zoned=zoned, doubts=(*source.doubts, *set_forward(time_s, zoned)))
    codes = by_column[label].codes if label is not None else None
    runs: list[tuple[str | None, list[Stretch]]] = []
    for name, a, b in subject_runs(by_column[subject] if subject is not None else None, n, path):
        own_codes = None if codes is None else codes[a:b]
        if time_s is None:
            cut = timeline.even_stretches(values[:, a:b], rate_hz, own_codes, first=a)
        else:
            cut = timeline.stamped_stretches(
                values[:, a:b], time_s[a:b], rate_hz, gap_s, own_codes, even=signal.even
            )
        runs.append((name, cut))
    written = written_names(signal, path)
    counted = [name for name, channel in zip(written, values, strict=True) if counts_rows(channel)]
    doubts = [f"channel '{name}' counts rows: name a channel that holds a signal" for name in counted]
    source = replace(source, channels=tuple(written), doubts=(*source.doubts, *doubts))
    unit = signal.units or ("",) * len(signal.channels)
    words_ = by_column[label].words if label is not None else ()
    return Loaded(runs, words_, names_for(signal, written), unit, source, native_hz)


def beats(spec: TableSpec, signal: SignalSpec, own: Found, path: Path) -> Loaded:
    """The intervals between beats as a signal: each at the time of the beat that ends it."""
    if spec.rate_hz is None and signal.rate_hz is None:
        raise UserError(f"{spec.path}: beats have no even rate: give rate_hz, to which they are resampled")
    rate_hz = given_rate(signal, own) or spec.rate_hz
    assert rate_hz is not None
    time_s, values = wfdb_files.intervals(path, signal.annotator)
    values, own_units, _ = in_units(signal, values, ["ms"], path)
    gap_s = spec.gap_s or timeline.longest_step(time_s)
    stretches = timeline.stamped_stretches(values, time_s, rate_hz, gap_s)
    names = signal.names or ("RR",)
    return Loaded([(None, stretches)], (), names, own_units, Source(channels=("RR",), stated_hz=rate_hz))


def in_units(
    signal: SignalSpec, values: np.ndarray, own_units: list[str], path: Path
) -> tuple[np.ndarray, tuple[str, ...], list[float]]:
    """Values (C, n) in the units of the description, what these are, and the factors."""
    wanted = signal.units or tuple(own_units)
    by: list[float] = []
    for channel, own, want in zip(signal.channels, own_units, wanted, strict=True):
        factor = 1.0 if not own else units.factor(own, want)
        if factor is None:
            raise UserError(
                f"{path}: channel '{channel}' is in '{own}', which cannot be converted to "
                f"the '{want}' of units: leave units out, or give the file's own"
            )
        by.append(factor)
    if any(factor != 1 for factor in by):
        values = (values * np.array(by)[:, None]).astype(np.float32)
    return values, tuple(wanted), by


def written_names(signal: SignalSpec, path: Path) -> list[str]:
    """The channels' names in a table's file; positions where it has none."""
    if all(isinstance(channel, str) for channel in signal.channels):
        return [str(channel) for channel in signal.channels]
    known = names_of(path, kind=signal.format, text=signal.text)
    return [
        channel if isinstance(channel, str) else known[channel - 1] if channel <= len(known) else str(channel)
        for channel in signal.channels
    ]


def names_for(signal: SignalSpec, written: list[str]) -> tuple[str, ...]:
    """What the channels are called: as described, else as the file calls them."""
    if signal.names is not None:
        return signal.names
    names = tuple(own if isinstance(c, int) else c for c, own in zip(signal.channels, written, strict=True))
    return names if len(set(names)) == len(names) else tuple(map(str, signal.channels))


def counts_rows(channel: np.ndarray) -> bool:
    """Whether a channel (n,) goes up by one from sample to sample, as row numbers do."""
    return len(channel) > ROWS and np.isfinite(channel).all() and bool((np.diff(channel) == 1).all())


def set_forward(time_s: np.ndarray, zoned: bool | None) -> tuple[str, ...]:
    """What to say of local time that jumps ahead by an hour, as it does in spring."""
    if zoned is not False:
        return ()
    steps = np.diff(time_s[np.isfinite(time_s)])
    usual = float(np.median(steps)) if len(steps) else 0.0
    if not (np.abs(steps - timeline.HOUR_S - usual) <= max(1.0, 2 * usual)).any():
        return ()
    return (
        "its clock jumps ahead by an hour, which is taken as a gap: if it was set to summer time, give times "
        "in UTC or with their zone",
    )


def unstamped_source(signal: SignalSpec, own: Found, rate_hz: float) -> tuple[Source, float | None]:
    """What is known of samples without time stamps, and their rate, which labels may give."""
    stated = given_rate(signal, own)
    doubts: tuple[str, ...] = ()
    if stated is None and off_usual(rate_hz) > EXACT:
        doubts = (
            f"the length of its labels gives {rate_hz:.6g} samples per second, which no usual device has: "
            "give rate_hz in [[signal]], or check seconds in [labels]",
        )
    return Source(stated_hz=stated, derived_hz=rate_hz if stated is None else None, doubts=doubts), rate_hz


def off_usual(rate_hz: float) -> float:
    """Share by which a rate differs from the nearest usual one."""
    return min(abs(rate_hz / usual - 1) for usual in USUAL_HZ)


def other_unit(rate_hz: float, unit: str | None) -> str:
    """The unit in which time stamps would give a usual rate, as the end of a sentence; "" if there is none.

    rate_hz: what they give in `unit`, which may be wrong by a factor of 1000
    """
    for other, seconds in SECONDS.items():
        if unit in SECONDS and unit != "samples" and other not in (unit, "samples"):
            rate = rate_hz * SECONDS[unit] / seconds
            if off_usual(rate) <= 0.01:
                return f' (with time_unit = "{other}" they give {rate:g})'
    return ""


def stamped_source(
    spec: TableSpec, signal: SignalSpec, own: Found, time_s: np.ndarray, gap_s: float
) -> tuple[Source, float | None]:
    """What the time stamps say, and the rate of samples; UserError where too many share a stamp."""
    stated = given_rate(signal, own)
    equal = np.diff(time_s[np.isfinite(time_s)]) == 0
    merged, doubts = 0 if signal.even else int(equal.sum()), []
    share = merged / max(1, len(time_s))
    told = (
        f"{share:.0%} of the samples have the time stamp of another one and were averaged: "
        "give even = true in [[signal]], which spreads samples evenly, or stamps with more digits"
    )
    if share > MERGED:
        raise UserError(f"{own.paths[spec.signals.index(signal)]}: {told}")
    if share > MERGED_TOLD:
        doubts.append(told)
    derived = timeline.derived_rate(time_s, gap_s)
    native = derived if signal.even or timeline.even_steps(time_s) else None
    if derived and stated is None and off_usual(derived) > 0.01:
        doubts.append(
            f"its time stamps give {derived:g} samples per second, which no usual device has: give rate_hz "
            f"in [[signal]], or check time_unit and even{other_unit(derived, signal.clock.unit)}"
        )
    off = derived / stated - 1 if derived and stated else 0.0
    if derived and (off > RATE_OFF or (off < -RATE_OFF and native is not None)):
        doubts.append(
            f"its time stamps give {derived:g} samples per second, but rate_hz in [[signal]] {stated:g}: "
            f"check both, and time_unit{other_unit(derived, signal.clock.unit)}"
        )
    return Source(stated_hz=stated, derived_hz=derived, merged=merged, doubts=tuple(doubts)), native


def given_rate(signal: SignalSpec, own: Found) -> float | None:
    """The rate in the description, for this recording."""
    if not isinstance(signal.rate_hz, dict):
        return signal.rate_hz
    if own.record not in signal.rate_hz:
        raise UserError(
            f"record {own.record} has no rate: the table rate_hz lists {', '.join(signal.rate_hz)}"
        )
    return signal.rate_hz[own.record]


def native_rate(
    spec: TableSpec,
    signal: SignalSpec,
    own: Found,
    root: Path,
    n: int,
    time_s: np.ndarray | None,
    gap_s: float,
) -> float:
    """Samples per second: as given, else by the stamps, else by how long the label values last."""
    rate_hz = given_rate(signal, own)
    if rate_hz is None and time_s is not None:
        rate_hz = timeline.derived_rate(time_s, gap_s)
    elif rate_hz is None and spec.labels.source == "values":
        lasting = float(table_labels.from_file(spec.labels, own, root).edges_s[-1])
        rate_hz = n / lasting if lasting else None
    if rate_hz is None:
        raise UserError(
            f"{own.paths[0]} does not state its rate: give rate_hz, or a time column, in [[signal]]"
        )
    return rate_hz


def subject_runs(subjects: Words | None, n: int, path: Path) -> list[tuple[str | None, int, int]]:
    """Subject, first and end sample of each stretch of rows of one subject."""
    if subjects is None:
        return [(None, 0, n)]
    if (subjects.codes < 0).any():
        raise UserError(f"{path}: row {int((subjects.codes < 0).argmax()) + 1} has no subject: fill it in")
    edges = [0, *(np.flatnonzero(np.diff(subjects.codes)) + 1).tolist(), n]
    return [(subjects.words[subjects.codes[a]], a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
