"""One recording of a table: its files loaded, brought to one even rate, and labelled."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from emargin_train.data import table_labels, timeline
from emargin_train.data.recording import UNLABELLED, Recording, Source
from emargin_train.data.table_labels import Track
from emargin_train.data.table_load import Loaded, load
from emargin_train.data.table_paths import Found
from emargin_train.data.table_spec import TableSpec
from emargin_train.data.timeline import Stretch
from emargin_train.errors import UserError

DRIFT = 0.05  # share by which derived rates of one data set may differ
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
    source = joined(loaded)
    empty, labelled = True, False
    for run, (subject, first) in enumerate(loaded[0].runs):
        sensors = [first, *([s for _, stretches in one.runs for s in stretches] for one in loaded[1:])]
        check_rates(spec, own, sensors, rate_hz)
        sensors, doubts = in_order(spec, own, sensors)
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
                source=replace(source, doubts=(*source.doubts, *doubts)),
            )
    if empty:
        what = "have no time in common" if len(loaded) > 1 else "hold no two samples together"
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


def joined(loaded: list[Loaded]) -> Source:
    """What was found in all files of a recording together."""
    sources = [one.source for one in loaded]
    return Source(
        channels=tuple(name for s in sources for name in s.channels),
        stated_hz=sources[0].stated_hz,
        derived_hz=sources[0].derived_hz,
        merged=sum(s.merged for s in sources),
        lowest=tuple(value for s in sources for value in s.lowest),
        highest=tuple(value for s in sources for value in s.highest),
        doubts=tuple(doubt for s in sources for doubt in s.doubts),
    )


def in_order(
    spec: TableSpec, own: Found, sensors: list[list[Stretch]]
) -> tuple[list[list[Stretch]], tuple[str, ...]]:
    """The sensors' stretches without overlaps in time, and what to say of clocks that were set back.

    The order of the rows tells what was first. With several sensors, all clocks have to be set back alike;
    with labels that have a clock of their own, the time that comes twice is not known and refused.
    """
    parts, shifts = zip(*(timeline.unfolded(stretches) for stretches in sensors), strict=True)
    if not any(shifts):
        return list(parts), ()
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


def class_index(spec: TableSpec, track: Track, class_names: tuple[str, ...]) -> np.ndarray:
    """(words + 1,) int16: class of each of the track's words; the last one, for code -1, is unlabelled."""
    mapped = [spec.labels.map.get(w, "") if spec.labels.map is not None else w for w in track.words]
    known = {name: i for i, name in enumerate(class_names)}
    return np.array([*(known.get(name, UNLABELLED) for name in mapped), UNLABELLED], np.int16)


def check_rates(spec: TableSpec, own: Found, sensors: list[list[Stretch]], rate_hz: float) -> None:
    """Without a wished rate, all recordings have to have the same."""
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
