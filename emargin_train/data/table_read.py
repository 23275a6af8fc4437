"""One recording of a table: its files loaded, brought to one even rate, and labelled."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from emargin_train.data import edf_files, table_labels, timeline
from emargin_train.data.columns import Clock, states_zone
from emargin_train.data.recording import UNLABELLED, Native, Recording, Source
from emargin_train.data.table_labels import Track
from emargin_train.data.table_load import Loaded, load
from emargin_train.data.table_paths import Found
from emargin_train.data.table_spec import TableSpec
from emargin_train.data.timeline import Stretch
from emargin_train.errors import UserError

DRIFT = 0.05  # share by which derived rates of one dataset may differ
BEYOND = 0.1  # share of the time of labels that may lie outside the signal
SAME_S = 1.0  # by which sensors without time stamps may differ in length
CLOCK_SOURCES = ("values", "intervals", "annotations")  # labels with a clock of their own


def read(
    spec: TableSpec, own: Found, root: Path, class_names: tuple[str, ...], rate_hz: float
) -> Iterator[Recording]:
    """The recording's stretches at `rate_hz`, each with its labels."""
    loaded = [load(spec, i, own, root) for i in range(len(spec.signals))]
    track = None
    if spec.labels.source == "name":
        track = table_labels.of_name(own)
    elif spec.labels.source == "none":
        track = table_labels.NOWHERE
    elif spec.labels.source != "column":
        track = table_labels.from_file(spec.labels, own, root, first_rate(loaded[0]))
    check_zones(spec, own, root, loaded)
    if spec.labels.clock.unit == "samples" and spec.signals[0].format == "edf":
        edf_files.refuse_interrupted(own.paths[0], "labels.time_unit = samples")
    source = joined(spec, loaded, track, rate_hz)
    if track is not None and spec.labels.source in ("intervals", "annotations"):
        known = class_index(spec, track, class_names) != UNLABELLED
        source = replace(source, doubts=(*source.doubts, *beyond(loaded, track, known)))
    empty, labelled = True, False
    for run, (subject, first) in enumerate(loaded[0].runs):
        sensors = [first, *([s for _, stretches in one.runs for s in stretches] for one in loaded[1:])]
        check_rates(spec, own, sensors, rate_hz)
        sensors, doubts = in_order(spec, own, sensors)
        native = tuple(
            Native(s.values, one.native_hz, one.source.lowest, one.source.highest)
            for one, parts in zip(loaded, sensors, strict=True)
            for s in parts
        )
        origin = None
        for start_s, end_s, stretches in timeline.together(sensors):
            n = int((end_s - start_s) * rate_hz + 1e-6)
            if n < 1:
                continue
            empty = False
            origin = start_s if origin is None else origin
            labels = track or table_labels.of_samples(stretches[0], loaded[0].words)
            codes = labels.at(start_s, n, rate_hz)
            labelled |= bool((codes >= 0).any())
            yield Recording(
                np.concatenate([timeline.at_rate(s, start_s, n, rate_hz) for s in stretches]),
                rate_hz,
                class_index(spec, labels, class_names)[codes],
                class_names,
                subject_of(spec, own, subject),
                own.record if subject is None else f"{own.record}-{run}-{subject}",
                tuple(name for one in loaded for name in one.names),
                tuple(unit for one in loaded for unit in one.units),
                start=max(0, round((start_s - origin) * rate_hz)),
                source=replace(source, doubts=(*source.doubts, *doubts), native=native),
            )
    if empty:
        what = "have no time in common" if len(loaded) > 1 else "have no two samples in a row"
        names = ", ".join(path.name for path in own.paths)
        raise UserError(f"the files of record {own.record} ({names}) {what}: check their clocks")
    if track is not None and (track.codes >= 0).any() and not labelled:
        held = np.concatenate([np.append(s.start_s, s.end_s) for s in loaded[0].runs[0][1]])
        raise UserError(
            f"{spec.path}: none of the labels of record {own.record} lies within its signal: they hold from "
            f"{track.edges_s[0]:g} to {track.edges_s[-1]:g} s, the signal lasts from {held.min():g} to "
            f"{held.max():g} s; check the clocks and time_unit"
        )


def first_rate(loaded: Loaded) -> float | None:
    """Samples per second of the first signal's file."""
    rates = [stretch.rate_hz for _, stretches in loaded.runs for stretch in stretches]
    return rates[0] if rates else None


def check_zones(spec: TableSpec, own: Found, root: Path, loaded: list[Loaded]) -> None:
    """Refuse dates of which some say their time zone and others do not: they cannot be matched."""
    said = {path.name: one.source.zoned for path, one in zip(own.paths, loaded, strict=True)}
    labels = spec.labels
    if labels.source == "intervals" and labels.start is not None:
        (path,) = table_labels.files(labels, own, root)
        said[path.name] = states_zone(
            path, labels.start, kind=table_labels.kind_of(path), text=labels.text, clock=labels.clock
        )
    with_zone = [name for name, zoned in said.items() if zoned is True]
    without = [name for name, zoned in said.items() if zoned is False]
    if with_zone and without:
        raise UserError(
            f"{spec.path}: the times in {with_zone[0]} have a time zone, but those in {without[0]} do not, "
            "so they cannot be matched: write all times in the same way"
        )


def joined(spec: TableSpec, loaded: list[Loaded], track: Track | None, rate_hz: float) -> Source:
    """What was found in all files of a recording together."""
    sources = [one.source for one in loaded]
    own_doubts = (doubt for s in sources for doubt in s.doubts)
    return Source(
        channels=tuple(name for s in sources for name in s.channels),
        stated_hz=sources[0].stated_hz,
        derived_hz=sources[0].derived_hz,
        merged=sum(s.merged for s in sources),
        lowest=tuple(value for s in sources for value in s.lowest),
        highest=tuple(value for s in sources for value in s.highest),
        doubts=tuple(
            dict.fromkeys(
                [*own_doubts, *raised(loaded, rate_hz), *unequal(loaded), *lasting(spec, loaded, track)]
            )
        ),
    )


def raised(loaded: list[Loaded], rate_hz: float) -> Iterator[str]:
    """What to say of signals that are brought to a higher rate than they were recorded with."""
    for native in dict.fromkeys(one.native_hz for one in loaded):
        if native is not None and rate_hz > native * (1 + DRIFT):
            yield (
                f"it has {native:g} samples per second and is resampled to {rate_hz:g} by rate_hz, so it has "
                f"nothing above {native / 2:g} Hz: give rate_hz = {native:g}, or leave it out of files"
            )


def length_s(one: Loaded) -> float:
    """Seconds from the start of a file's clock to its last sample."""
    return max((stretch.end_s for _, stretches in one.runs for stretch in stretches), default=0.0)


def unequal(loaded: list[Loaded]) -> Iterator[str]:
    """What to say of sensors without time stamps that do not last equally long."""
    lengths = [length_s(one) for one in loaded if one.source.derived_hz is None]
    if len(lengths) == len(loaded) and max(lengths) - min(lengths) > SAME_S:
        told = ", ".join(f"{seconds:,.1f}" for seconds in lengths)
        yield (
            f"its sensors last {told} s and have no time stamps: they were joined at their starts; give time "
            "in [[signal]], or check rate_hz"
        )


def beyond(loaded: list[Loaded], track: Track, known: np.ndarray) -> Iterator[str]:
    """What to say of labels of which more than BEYOND lie outside the signal.

    known: (words + 1,) bool, whether each word of the track is a class
    """
    start = min((s.start_s for _, stretches in loaded[0].runs for s in stretches), default=0.0)
    inside = track.edges_s.clip(start, length_s(loaded[0]))
    counted = known[track.codes] & np.isfinite(np.diff(track.edges_s))
    whole, held = np.diff(track.edges_s)[counted].sum(), np.diff(inside)[counted].sum()
    if held < (1 - BEYOND) * whole - SAME_S:
        yield (
            f"{1 - held / whole:.0%} of the time of its labels lies outside the signal: check the clocks, "
            "and time_unit in [labels]"
        )


def lasting(spec: TableSpec, loaded: list[Loaded], track: Track | None) -> Iterator[str]:
    """What to say of label values that last longer or shorter than the signal by a value or more."""
    if spec.labels.source == "values" and track is not None and len(track.edges_s):
        labels, signal = float(track.edges_s[-1]), length_s(loaded[0])
        if abs(labels - signal) > spec.labels.seconds * 0.999:
            yield (
                f"its labels last {labels:,.1f} s, its signal {signal:,.1f} s: check seconds, skip_lines and "
                "header in [labels], and rate_hz"
            )


def in_order(
    spec: TableSpec, own: Found, sensors: list[list[Stretch]]
) -> tuple[list[list[Stretch]], tuple[str, ...]]:
    """The sensors' stretches without overlaps in time, and what to say of clocks that were set back.

    The order of the rows says what was first. With several sensors, all clocks have to be set back alike;
    with labels that have a clock of their own, the time that comes twice is not known and refused.
    """
    parts, shifts = zip(
        *(
            timeline.unfolded(stretches, dated=has_date(signal.clock))
            for signal, stretches in zip(spec.signals, sensors, strict=True)
        ),
        strict=True,
    )
    if not any(shifts):
        return list(parts), out_of_order(sensors)
    alike = all(len(s) == len(shifts[0]) and np.allclose(s, shifts[0], atol=1.0) for s in shifts)
    if not alike or spec.labels.source in CLOCK_SOURCES:
        other = "its labels" if alike else "its sensors"
        most = max(max(s, default=0.0) for s in shifts)
        raise UserError(
            f"{spec.path}: the clock of record {own.record} is set back by {most:,.0f} s, "
            f"so that a time comes twice and {other} cannot be matched: give times in UTC, or cut the "
            "files where the clock was set back"
        )
    told = ", ".join(f"{shift:,.0f}" for shift in shifts[0])
    return list(parts), (
        f"the clock is set back (by {told} s): the order of rows was kept; give times in UTC",
    )


def has_date(clock: Clock) -> bool:
    """Whether times written so are of a certain day."""
    return clock.format is None or any(part in clock.format for part in ("%d", "%j", "%x", "%c", "%u", "%w"))


def out_of_order(sensors: list[list[Stretch]]) -> tuple[str, ...]:
    """What to say of stretches that were put in order of their stamps."""
    back = [a.end_s - b.start_s for stretches in sensors for a, b in itertools.pairwise(stretches)]
    if max(back, default=0.0) <= SAME_S:
        return ()
    return (
        f"its rows are not in order of time (they go back by {max(back):,.0f} s) and were put in "
        "order of their stamps: check time, time_unit and time_format",
    )


def class_index(spec: TableSpec, track: Track, class_names: tuple[str, ...]) -> np.ndarray:
    """(words + 1,) int16: class of each of the track's words; the last one, for code -1, is unlabelled."""
    mapped = [spec.labels.map.get(w, "") if spec.labels.map is not None else w for w in track.words]
    known = {name: i for i, name in enumerate(class_names)}
    return np.array([*(known.get(name, UNLABELLED) for name in mapped), UNLABELLED], np.int16)


def check_rates(spec: TableSpec, own: Found, sensors: list[list[Stretch]], rate_hz: float) -> None:
    """Without `rate_hz` in the description, all recordings need the same rate."""
    if spec.rate_hz is not None:
        return
    allowed = DRIFT if spec.signals[0].time is not None else 1e-6
    for stretch in (s for stretches in sensors for s in stretches):
        if abs(stretch.rate_hz / rate_hz - 1) > allowed:
            raise UserError(
                f"{spec.path}: record {own.record} has {stretch.rate_hz:g} samples per second, "
                f"others {rate_hz:g}: give rate_hz, to which all are resampled"
            )


def subject_of(spec: TableSpec, own: Found, written: str | None = None, *, merge: bool = True) -> str:
    """As `written` in a column, else by the files' names; one name where [subject] same lists several."""
    subject = written or own.names.get("subject") or own.record
    for group in spec.same_subject if merge else ():
        if subject in group:
            return "+".join(group)
    return subject
