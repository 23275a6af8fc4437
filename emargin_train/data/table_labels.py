"""Labels of a recording, wherever they are written, as one track on its clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emargin_train.data import edf_files, wfdb_files
from emargin_train.data.columns import SECONDS, Words, read_columns, word_of
from emargin_train.data.table_paths import Found, filled, partner
from emargin_train.data.table_spec import LabelSpec
from emargin_train.data.timeline import Stretch
from emargin_train.errors import UserError


@dataclass(frozen=True)
class Track:
    """Piecewise constant labels: `words[codes[k]]` holds from `edges_s[k]` to `edges_s[k + 1]`.

    edges_s: (K + 1,) float64, not decreasing, seconds on the signal's clock
    codes: (K,) int64; -1 = no label
    """

    edges_s: np.ndarray
    codes: np.ndarray
    words: tuple[str, ...]

    def at(self, start_s: float, n: int, rate_hz: float) -> np.ndarray:
        """(n,) int64: the codes at `start_s + k / rate_hz`."""
        # A thousandth of a period forgives rounding: a label beginning at a sample belongs to it.
        first = np.ceil((self.edges_s - start_s) * rate_hz - 1e-3).clip(0, n).astype(np.int64)
        if not len(first):
            return np.full(n, -1, np.int64)
        codes = np.concatenate([[-1], self.codes, [-1]])
        return np.repeat(codes, np.diff(first, prepend=0, append=n))


NOWHERE = Track(np.array([-np.inf, np.inf]), np.full(1, -1), ())


def of_samples(stretch: Stretch, words: tuple[str, ...]) -> Track:
    """From a column: each sample's label holds until the next sample."""
    assert stretch.codes is not None
    change = np.flatnonzero(np.diff(stretch.codes, prepend=stretch.codes[:1] - 1))
    return Track(
        np.append(stretch.times[change], stretch.end_s), stretch.codes[change].astype(np.int64), words
    )


def of_name(found: Found) -> Track:
    """From a file or folder name: one label throughout."""
    return Track(np.array([-np.inf, np.inf]), np.zeros(1, np.int64), (word_of(found.names["label"]),))


def of_spans(spans: Sequence[tuple[float, float, str]], where: Path) -> Track:
    """From (start, end, label), in any order; they may touch, not overlap with another label."""
    spans = sorted(spans)
    words = tuple(dict.fromkeys(word for _, _, word in spans))
    edges: list[float] = []
    codes: list[int] = []
    last_end = -np.inf
    for start, end, word in spans:
        if end < start:
            raise UserError(
                f"{where}: label '{word}' ends at {end:g} s, before it starts at {start:g} s: "
                "correct the file"
            )
        if start < last_end - 1e-6:
            if words.index(word) != codes[-1]:
                raise UserError(
                    f"{where}: at {start:g} s both '{words[codes[-1]]}' and '{word}' hold: correct the file"
                )
            edges[-1] = last_end = max(end, last_end)
            continue
        if edges and start <= last_end + 1e-6:
            edges.pop()
        elif edges:
            codes.append(-1)
        edges += [start, end]
        codes.append(words.index(word))
        last_end = end
    return Track(np.array(edges, np.float64), np.array(codes, np.int64), words)


def files(spec: LabelSpec, found: Found, root: Path) -> tuple[Path, ...]:
    """The files that a recording's labels are read from; none for `name` and `column`."""
    if spec.file is not None:
        return (partner(spec.file, found.names, root),)
    if spec.source != "annotations":
        return ()
    signal = found.paths[0]
    return (signal.with_suffix(f".{spec.annotator}") if signal.suffix.lower() == ".hea" else signal,)


def from_file(spec: LabelSpec, found: Found, root: Path, rate_hz: float | None = None) -> Track:
    """The track of sources `values`, `intervals` and `annotations`.

    rate_hz: samples per second of the first signal's file, for intervals given in samples
    """
    (path,) = files(spec, found, root)
    if spec.source == "values":
        assert spec.column is not None
        columns = [spec.column, *(column for column, _ in spec.where)]
        _, (labels, *keys), _ = read_columns(path, words=columns, text=spec.text, kind=kind_of(path))
        codes = labels.codes[chosen(spec, found, keys, len(labels.codes), path)].astype(np.int64)
        return Track(np.arange(len(codes) + 1) * spec.seconds, codes, labels.words)
    if spec.source == "intervals":
        return of_spans(_intervals(spec, path, found, rate_hz), path)
    if path.suffix == f".{spec.annotator}" and spec.file is None:
        return _wfdb_notes(spec, found.paths[0])
    return _edf_notes(spec, path, found.paths[0])


def chosen(spec: LabelSpec, found: Found, keys: Sequence[Words], n: int, path: Path) -> np.ndarray:
    """(n,) bool: the rows of a shared label file that are the recording's; UserError if there is none."""
    rows = np.ones(n, bool)
    for (column, text), own in zip(spec.where, keys, strict=True):
        wanted = filled(text, found.names)
        alike = [_key(spec, word) == _key(spec, wanted) for word in own.words]
        rows &= np.array([*alike, False])[own.codes]
        if not any(alike):
            raise UserError(
                f"{path}: no row has '{wanted}' in column {column} (found: {_list(own.words)}): correct "
                "labels.where, or give ignore_leading_zeros = true where 01 means 1"
            )
    return rows


def _key(spec: LabelSpec, word: str) -> str:
    return (word.lstrip("0") or "0") if spec.ignore_leading_zeros and word else word


def _list(words: Sequence[str], most: int = 20) -> str:
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")


def kind_of(path: Path) -> str:
    return {".parquet": "parquet", ".pq": "parquet", ".mat": "mat"}.get(path.suffix.lower(), "csv")


def _intervals(
    spec: LabelSpec, path: Path, found: Found, rate_hz: float | None
) -> list[tuple[float, float, str]]:
    assert spec.start is not None
    if spec.end is not None:
        numbers, stamps = [], [spec.start, spec.end]
    else:
        assert spec.duration is not None
        numbers, stamps = [spec.duration], [spec.start]
    column = [] if spec.column is None else [spec.column]
    columns = list(dict.fromkeys([*column, *(c for c, _ in spec.where)]))
    lengths, words, times = read_columns(
        path, numbers, columns, stamps, text=spec.text, clock=spec.clock, kind=kind_of(path)
    )
    by_column = dict(zip(columns, words, strict=True))
    rows = chosen(spec, found, [by_column[c] for c, _ in spec.where], len(times[0]), path)
    starts = times[0]
    if spec.clock.unit is None:
        durations = 1.0  # of dates, a duration counts seconds
    else:
        durations = SECONDS[spec.clock.unit]
    ends = times[1] if spec.end is not None else starts + lengths[0].astype(np.float64) * durations
    if spec.clock.unit == "samples":
        if rate_hz is None:
            raise UserError(f"{path} counts samples, but their rate is not known: give rate_hz in [[signal]]")
        if (starts[rows] < spec.first_sample).any():
            raise UserError(
                f"{path}: an interval starts at sample {np.nanmin(starts[rows]):g}, before the first one: "
                f"give first_sample = {np.nanmin(starts[rows]):g}, or correct the file"
            )
        last = 1 if spec.inclusive and spec.end is not None else 0
        starts, ends = (starts - spec.first_sample) / rate_hz, (ends - spec.first_sample + last) / rate_hz
    starts, ends = starts[rows], ends[rows]
    if not (np.isfinite(starts).all() and np.isfinite(ends).all()):
        raise UserError(f"{path}: an interval has no start or no end: correct the file")
    if spec.value is not None:
        labels = [word_of(spec.value)] * len(ends)
    else:
        own = by_column[column[0]]
        labels = [own.words[code] if code >= 0 else "" for code in own.codes[rows]]
    return [(float(a), float(b), w) for a, b, w in zip(starts, ends, labels, strict=True) if w]


def _wfdb_notes(spec: LabelSpec, header: Path) -> Track:
    """Each note that starts with the prefix holds until the next such note, the last one to the end."""
    notes = [
        (note.start_s, word)
        for note in wfdb_files.notes(header, spec.annotator)
        if (word := _without(spec.prefix, note.symbol if spec.note == "symbol" else note.text))
    ]
    notes = completed(spec, notes)
    words = tuple(dict.fromkeys(word for _, word in notes))
    edges = np.array([start for start, _ in notes] + [np.inf])
    return Track(edges, np.array([words.index(word) for _, word in notes], np.int64), words)


def completed(spec: LabelSpec, notes: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """The notes with the label of the time before the first one, where the description gives one."""
    label = spec.before_first if notes else spec.without_notes
    return notes if label is None else [(-np.inf, word_of(label)), *notes]


def _edf_notes(spec: LabelSpec, path: Path, signal: Path) -> Track:
    """Annotations of an EDF+ file; those without a duration hold until the next one."""
    notes, clock = edf_files.notes(path)
    offset = 0.0
    if path != signal and signal.suffix.lower() in (".edf", ".bdf"):
        offset = edf_files.offset_s(path, clock, signal, edf_files.clock_of(signal))
    chosen = [(note, word) for note in notes if (word := _without(spec.prefix, note.text))]
    nexts = [note.start_s for note, _ in chosen[1:]] + [np.inf]
    spans = [
        (n.start_s + offset, (n.start_s + n.seconds if n.seconds else following) + offset, word)
        for (n, word), following in zip(chosen, nexts, strict=True)
    ]
    labelled = completed(spec, [(start, word) for start, _, word in spans])
    if len(labelled) > len(spans):
        spans.insert(0, (-np.inf, spans[0][0] if spans else np.inf, labelled[0][1]))
    return of_spans(spans, path)


def _without(prefix: str, text: str) -> str:
    """The text after the prefix; empty where it does not start so."""
    return word_of(text.removeprefix(prefix)) if text.startswith(prefix) else ""
