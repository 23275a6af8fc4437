"""One recording of a table: its files loaded, brought to one even rate, and labelled."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emargin_train.data import edf_files, table_labels, timeline, wfdb_files
from emargin_train.data.columns import Words, read_columns
from emargin_train.data.recording import UNLABELLED, Recording
from emargin_train.data.table_labels import Track
from emargin_train.data.table_paths import Found
from emargin_train.data.table_spec import SignalSpec, TableSpec
from emargin_train.data.timeline import Stretch
from emargin_train.errors import UserError

DRIFT = 0.05  # share by which derived rates of one data set may differ


@dataclass(frozen=True)
class Loaded:
    """One signal's file: its stretches by subject; `words` are the labels that their codes mean."""

    runs: list[tuple[str | None, list[Stretch]]]
    words: tuple[str, ...]
    units: tuple[str, ...]


def read(
    spec: TableSpec, own: Found, root: Path, class_names: tuple[str, ...], rate_hz: float
) -> Iterator[Recording]:
    """The recording's stretches at `rate_hz`, each with its labels."""
    loaded = [load(spec, i, own, root) for i in range(len(spec.signals))]
    track = None
    if spec.labels.source == "name":
        track = table_labels.of_name(own)
    elif spec.labels.source != "column":
        track = table_labels.from_file(spec.labels, own, root)
    channels = tuple(name for signal in spec.signals for name in signal.names)
    units = tuple(unit for one in loaded for unit in one.units)
    empty = True
    for run, (subject, first) in enumerate(loaded[0].runs):
        sensors = [first, *([s for _, stretches in one.runs for s in stretches] for one in loaded[1:])]
        check_rates(spec, own, sensors, rate_hz)
        origin = None
        for start_s, end_s, stretches in timeline.together(sensors):
            n = int((end_s - start_s) * rate_hz + 1e-6)
            if n < 1:
                continue
            empty = False
            origin = start_s if origin is None else origin
            labels = track or table_labels.of_samples(stretches[0], loaded[0].words)
            yield Recording(
                np.concatenate([timeline.at_rate(s, start_s, n, rate_hz) for s in stretches]),
                rate_hz,
                class_index(spec, labels, class_names)[labels.at(start_s, n, rate_hz)],
                class_names,
                subject_of(spec, own, subject),
                own.record if subject is None else f"{own.record}-{run}-{subject}",
                channels,
                units,
                start=max(0, round((start_s - origin) * rate_hz)),
            )
    if empty:
        what = "have no time in common" if len(loaded) > 1 else "hold no two samples together"
        names = ", ".join(path.name for path in own.paths)
        raise UserError(f"the files of record {own.record} ({names}) {what}: check their clocks")


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


def subject_of(spec: TableSpec, own: Found, written: str | None = None) -> str:
    """As `written` in a column, else by the files' names; one name where [subject] same lists several."""
    subject = written or own.names.get("subject") or own.record
    for group in spec.same_subject:
        if subject in group:
            return "+".join(group)
    return subject


def load(spec: TableSpec, i: int, own: Found, root: Path) -> Loaded:
    """Signal number `i` of a recording, with its columns of labels and subjects if it is the first."""
    signal, path = spec.signals[i], own.paths[i]
    if signal.format in ("edf", "wfdb"):
        reader = edf_files.channels if signal.format == "edf" else wfdb_files.channels
        values, rate_hz, _, units = reader(path, signal.channels)
        stretches = timeline.even_stretches(values, given_rate(signal, own) or rate_hz)
        return Loaded([(None, stretches)], (), signal.units or tuple(units))
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
        parquet=signal.format == "parquet",
    )
    by_column = dict(zip(columns, words, strict=True))
    time_s = stamps[0] if stamps else None
    n = values.shape[1]
    if n == 0:
        raise UserError(f"{path} holds no sample: get it again, or leave it out of the pattern")
    gap_s = spec.gap_s or (timeline.longest_step(time_s) if time_s is not None else 0.0)
    rate_hz = native_rate(spec, signal, own, root, n, time_s, gap_s)
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
    unit = signal.units or ("",) * len(signal.channels)
    return Loaded(runs, by_column[label].words if label is not None else (), unit)


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
            f"{own.paths[0]} does not tell its rate: give rate_hz, or a time column, in [[signal]]"
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
