"""A dataset of your own, described by a TOML file: its keys, checked strictly.

docs/own_data.md shows every key; examples/*.toml are complete descriptions.
"""

import codecs
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emargin_train.data.columns import SECONDS, Clock, Column
from emargin_train.data.table_keys import Keys
from emargin_train.data.table_paths import PLACE
from emargin_train.data.text_tables import TextFormat
from emargin_train.errors import UserError

SUFFIX_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".edf": "edf",
    ".bdf": "edf",
    ".hea": "wfdb",
    ".mat": "mat",
}
FORMATS = ("csv", "parquet", "edf", "wfdb", "wfdb-rr", "mat")
TABLES = ("csv", "parquet", "mat")  # formats with columns
LABEL_SOURCES = ("column", "name", "values", "intervals", "annotations")
MAX_TOML_BYTES = 1_000_000


@dataclass(frozen=True)
class SignalSpec:
    """One [[signal]]: the files of one sensor."""

    files: str
    format: str
    channels: tuple[Column, ...]
    names: tuple[str, ...] | None  # None = as `channels`; of those given by position, the file's own names
    units: tuple[str, ...] | None  # what the file's units are converted to; None = as the file says
    rate_hz: float | dict[str, float] | None  # by record name; None = in the file or derived
    time: Column | None
    clock: Clock
    even: bool  # stamps are trusted at the ends of a stretch only
    text: TextFormat
    variable: str | None = None  # mat: the matrix whose rows or columns are the channels
    annotator: str = "atr"  # wfdb-rr: the suffix of the file with the beats


@dataclass(frozen=True)
class LabelSpec:
    """[labels]: where each sample's class is written; without that table, nowhere (`none`)."""

    source: str = "none"
    map: dict[str, str] | None = None  # value as written -> class; None = as written
    column: Column | None = None
    file: str | None = None
    seconds: float = 0.0  # values: each holds so long
    start: Column | None = None  # intervals
    end: Column | None = None
    duration: Column | None = None
    value: str | None = None  # intervals: the label of all, where no column has it
    clock: Clock = Clock("s")
    annotator: str = "atr"  # annotations, WFDB
    note: str = "text"  # annotations, WFDB: text | symbol
    prefix: str = ""  # annotations: only notes starting so, without it
    before_first: str | None = None  # annotations: the label of the time before the first of these notes
    without_notes: str | None = None  # annotations: the label of a whole record without such notes
    where: tuple[tuple[Column, str], ...] = ()  # rows that count: column = text with places
    ignore_leading_zeros: bool = False  # of `where`: 01 is 1
    first_sample: int = 0  # intervals in samples: the number of the first sample
    inclusive: bool = False  # intervals in samples: the sample at `end` belongs to the interval
    text: TextFormat = field(default_factory=TextFormat)


@dataclass(frozen=True)
class TableSpec:
    """A whole description."""

    path: Path
    title: str
    classes: tuple[str, ...] | None
    rate_hz: float | None
    gap_s: float | None
    signals: tuple[SignalSpec, ...]
    labels: LabelSpec
    subject_column: Column | None
    same_subject: tuple[tuple[str, ...], ...]
    frame_length: float  # samples, or seconds where frame_in_s
    frame_hop: float
    frame_in_s: bool
    sequence_length: int
    normalise: str


def load_spec(path: Path) -> TableSpec:
    """The description in a TOML file; UserError naming the key where it is not one."""
    try:
        if path.stat().st_size > MAX_TOML_BYTES:
            raise UserError(f"{path} has over {MAX_TOML_BYTES:,} bytes: a description is a short TOML file")
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: give the path of a TOML file describing your data") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not written in UTF-8, as TOML is: save it as UTF-8") from None
    except (OSError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not TOML ({error}): see docs/own_data.md") from None
    return parse_spec(raw, path)


def parse_spec(raw: dict[str, Any], path: Path) -> TableSpec:
    """A parsed TOML file as a description."""
    top = Keys(raw, "", path)
    given = top.take("signal", (list, dict), "one or more [[signal]] tables")
    tables = given if isinstance(given, list) else [given]
    if not tables:
        top.refuse("signal", given, "one or more [[signal]] tables")
    signals = tuple(_signal(Keys(t, f"signal[{i}]", path)) for i, t in enumerate(tables, 1))
    stamped = [s.time is not None for s in signals]
    if any(stamped) and not all(stamped):
        raise UserError(
            f"{path}: one signal has a time column, another none: signals are joined on time, give all"
        )
    subject = Keys(top.take("subject", dict, "a table", {}), "subject", path)
    subject_column = subject.column("column", None)
    if subject_column is not None and (len(signals) > 1 or signals[0].format not in TABLES):
        subject.refuse("column", subject_column, "left out unless there is one signal, in a table")
    same = subject.take("same", list, "lists of subjects who are one person", [])
    if not all(isinstance(g, list) and all(isinstance(s, str) for s in g) for g in same):
        subject.refuse("same", same, "lists of subjects who are one person")
    subject.done()
    labels = LabelSpec()
    if top.has("labels"):
        keys = Keys(top.take("labels", dict, "where classes are written"), "labels", path)
        labels = _labels(keys, signals[0])
    if labels.clock.unit == "samples" and (stamped[0] or signals[0].format == "wfdb-rr"):
        top.refuse("labels.time_unit", "samples", "a unit of time: the first signal has times of its own")
    frames = Keys(top.take("frames", dict, "length, hop and sequence_length"), "frames", path)
    in_s = frames.has("length_s")
    if in_s == frames.has("length"):
        frames.refuse(
            "length", "missing" if not in_s else "given twice", "given in samples, or as length_s in seconds"
        )
    if in_s:
        length = float(frames.number("length_s", "seconds"))
        hop = float(frames.number("hop_s", "seconds", length))
    else:
        length = frames.count("length", "samples", 4)
        hop = frames.count("hop", "samples", 1, length)
    spec = TableSpec(
        path=path,
        title=top.text("title", "a line of text", path.stem),
        classes=top.texts("classes", "a list of different class names", None),
        rate_hz=top.number("rate_hz", "samples per second", None),
        gap_s=top.number("gap_s", "seconds", None),
        signals=signals,
        labels=labels,
        subject_column=subject_column,
        same_subject=tuple(tuple(g) for g in same),
        frame_length=length,
        frame_hop=hop,
        frame_in_s=in_s,
        sequence_length=frames.count("sequence_length", "frames", 3),
        normalise=frames.choice("normalise", ("none", "channel"), "none"),
    )
    frames.done()
    top.done()
    if spec.classes is not None and labels.source == "none":
        raise UserError(
            f"{path}: classes are listed, but [labels] is missing: say where they are written, or leave "
            "classes out of a description of recordings without labels"
        )
    if spec.classes is not None and labels.map is not None:
        agree(path, set(spec.classes), set(labels.map.values()))
    return spec


def agree(path: Path, classes: set[str], mapped: set[str]) -> None:
    """Refuse classes that the map never gives, and values of the map that are not classes."""
    for one in sorted(classes ^ mapped):
        what = "classes has" if one in classes else "labels.map gives"
        other = "labels.map gives no such class" if one in classes else "classes does not list it"
        raise UserError(
            f"{path}: {what} '{one}', but {other}: make them agree (classes: {', '.join(sorted(classes))}; "
            f"labels.map gives: {', '.join(sorted(mapped))})"
        )


def _signal(keys: Keys) -> SignalSpec:
    files = keys.text("files", "a pattern of files")
    guess = SUFFIX_FORMATS.get(Path(files).suffix.lower())
    format_ = keys.choice("format", FORMATS, guess if guess else ...)
    rr = format_ == "wfdb-rr"
    listed = keys.take("channels", list, "a list of columns or channels", *([["RR"]] if rr else []))
    if not listed or not all(isinstance(c, str | int) and not isinstance(c, bool) for c in listed):
        keys.refuse("channels", listed, "a list of columns or channels")
    if len(set(listed)) < len(listed) or any(c == "" or (isinstance(c, int) and c < 1) for c in listed):
        keys.refuse("channels", listed, "different names, or positions counted from 1")
    channels = tuple(listed)
    if rr and len(channels) > 1:
        keys.refuse("channels", listed, "left out: beats give one channel, the intervals between them")
    names = keys.texts("names", "a list of different channel names", None)
    if names is not None and len(names) != len(channels):
        keys.refuse("names", names, f"{len(channels)} names, one for each channel")
    units = keys.take("units", (str, list), "a unit, or one for each channel", None)
    if isinstance(units, str):
        units = [units] * len(channels)
    if units is not None and (len(units) != len(channels) or not all(isinstance(u, str) for u in units)):
        keys.refuse("units", units, "a unit, or one for each channel")
    rate: float | dict[str, float] | None
    if isinstance(keys.raw.get("rate_hz"), dict):
        by_record = Keys(keys.take("rate_hz", dict, "rates"), f"{keys.where}.rate_hz", keys.path)
        rate = {record: float(by_record.number(record, "samples per second")) for record in by_record.raw}
    else:
        rate = keys.number("rate_hz", "samples per second, or a table of them by record", None)
    time, clock, even = None, Clock(), False
    text = TextFormat()
    variable, annotator = None, "atr"
    if format_ == "mat":
        variable = keys.text("variable", "the name of a matrix", None)
    if rr:
        annotator = keys.text("annotator", "the suffix of an annotation file", "atr")
    if format_ in TABLES:
        time = keys.column("time", None)
        clock = _clock(keys, "date")
        even = keys.take("even", bool, "true or false", False)
    if format_ == "csv":
        text = _text(keys, files)
    keys.done()
    return SignalSpec(
        files, format_, channels, names, tuple(units) if units is not None else None,
        rate, time, clock, even, text, variable, annotator,
    )  # fmt: skip


def _clock(keys: Keys, default: str, *, samples: bool = False) -> Clock:
    known = [unit for unit in SECONDS if samples or unit != "samples"]
    unit = keys.choice("time_unit", ("date", *known), default)
    format_ = keys.text("time_format", "a strptime format", None)
    if format_ is not None and "%I" in format_ and "%p" not in format_:
        keys.refuse("time_format", format_, "given with %p too: hours from 1 to 12 come twice a day")
    return Clock(None if unit == "date" else unit, format_)


def _text(keys: Keys, files: str) -> TextFormat:
    delimiter = keys.text(
        "delimiter", "one character or 'whitespace'", "\t" if files.endswith(".tsv") else ","
    )
    if delimiter != "whitespace" and (
        len(delimiter) != 1 or not delimiter.isascii() or delimiter in '\r\n"\0'
    ):
        keys.refuse("delimiter", delimiter, "one character or 'whitespace'")
    decimal = keys.choice("decimal", (".", ","), ".")
    if decimal == delimiter:
        keys.refuse("decimal", decimal, "different from the delimiter")
    skip = keys.count("skip_lines", "a number of lines", 0, 0)
    header = keys.take("header", bool, "true or false", None)
    encoding = keys.text("encoding", "a text encoding, like latin-1", None)
    if encoding is not None:
        try:
            "".encode(encoding)
            codecs.lookup(encoding)
        except (LookupError, ValueError):
            keys.refuse("encoding", encoding, "a text encoding, like utf-8, latin-1 or utf-16")
    return TextFormat(delimiter, decimal, skip, header, encoding)


def _where(keys: Keys) -> dict[str, Any]:
    """Which rows of a shared label file belong to a recording."""
    table = keys.take("where", dict, 'a table: column = text with places, like "{subject}"', {})
    rows: list[tuple[Column, str]] = []
    for column, text in table.items():
        if not isinstance(text, str) or not PLACE.search(text):
            keys.refuse(
                f"where.{column}", text, "a text with a place of the first signal's files, like {subject}"
            )
        rows.append((int(column) if column.isdecimal() and int(column) else column, text))
    zeros = keys.take("ignore_leading_zeros", bool, "true or false", False)
    return {"where": tuple(rows), "ignore_leading_zeros": zeros}


def _labels(keys: Keys, signal: SignalSpec) -> LabelSpec:
    source = keys.choice("from", LABEL_SOURCES)
    mapping: dict[str, str] | None = None
    if keys.has("map"):
        table = Keys(keys.take("map", dict, "a table: value as written = class"), "labels.map", keys.path)
        mapping = {value: table.text(value, "a class name") for value in table.raw}
        if not mapping:
            keys.refuse("map", mapping, "a table: value as written = class")
    out: dict[str, Any] = {"source": source, "map": mapping}
    if source == "column":
        if signal.format not in TABLES:
            keys.refuse("from", source, f"something else: {signal.format} files have no columns of labels")
        out["column"] = keys.column("column")
    elif source == "name":
        if "{label" not in signal.files:
            keys.refuse("from", source, "used with a {label} in the first signal's files")
    elif source == "values":
        out |= {"file": keys.text("file", "a pattern of one file"), "column": keys.column("column", 1)}
        out |= {
            "seconds": float(keys.number("seconds", "how long each value holds")),
            "text": _text(keys, out["file"]),
        } | _where(keys)
    elif source == "intervals":
        out |= {"file": keys.text("file", "a pattern of one file"), "start": keys.column("start")}
        out |= {"end": keys.column("end", None), "duration": keys.column("duration", None)}
        if (out["end"] is None) == (out["duration"] is None):
            keys.refuse("end", out["end"], "given, or duration in its place")
        out |= {"column": keys.column("column", None), "value": keys.text("value", "a label", None)}
        if (out["column"] is None) == (out["value"] is None):
            keys.refuse("column", out["column"], "given, or value in its place")
        out["clock"] = _clock(keys, "s", samples=True)
        out["text"] = _text(keys, out["file"])
        out |= _where(keys)
        if out["clock"].unit == "samples":
            out["first_sample"] = keys.count("first_sample", "the number of the first sample", 0, 0)
            out["inclusive"] = keys.take("inclusive", bool, "true or false", False)
    else:
        out["file"] = keys.text("file", "a pattern of one file", None)
        out["prefix"] = keys.text("prefix", "what a note starts with", "")
        out["before_first"] = keys.text("before_first", "a label as written in notes", None)
        out["without_notes"] = keys.text("without_notes", "a label as written in notes", None)
        if signal.format in ("wfdb", "wfdb-rr") and out["file"] is None:
            out["annotator"] = keys.text("annotator", "the suffix of an annotation file", "atr")
            out["note"] = keys.choice("note", ("text", "symbol"), "text")
        elif out["file"] is None and signal.format != "edf":
            keys.refuse("from", source, "used with EDF or WFDB signals, or with a file")
        elif out["file"] is not None and not out["file"].lower().endswith((".edf", ".bdf")):
            keys.refuse("file", out["file"], "an EDF+ or BDF+ file; for WFDB leave it out")
    keys.done()
    return LabelSpec(**out)
