"""Columns of tables (CSV, Parquet, MATLAB), only those asked for."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from emargin_train.data import mat_files, text_tables
from emargin_train.data.files import bounded, reading
from emargin_train.data.stream import Block
from emargin_train.data.text_tables import TextFormat
from emargin_train.errors import UserError, nearest

Column = str | int  # a name, or a position counted from 1
KINDS = {"csv": "CSV", "parquet": "Parquet", "mat": "MATLAB"}


@dataclass(frozen=True)
class Clock:
    """How a column tells the time: a number of `unit`, or (None) a date and time."""

    unit: str | None = None  # a key of SECONDS, or "samples" in label files
    format: str | None = None  # strptime, with %f for fractions of a second; None = ISO 8601


@dataclass(frozen=True)
class Words:
    """A column of few different words: `codes` (n,) int32 index `words`; -1 where a cell is empty."""

    codes: np.ndarray
    words: tuple[str, ...]


SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "samples": 1.0}
STAMP = pa.timestamp("ns")
ZONED = pa.timestamp("ns", "UTC")
MAX_WORDS = 10_000
ZONE = r"(?:[zZ]|[+-]\d\d:?\d\d|:\d\d(?:\.\d+)?[+-]\d\d)$"  # at the end of a date with a time
NANS = ("nan", "NaN", "-nan", "-NaN", "+nan", "+NaN")
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|NaN)", re.ASCII)


def read_columns(
    path: Path,
    numbers: Sequence[Column] = (),
    words: Sequence[Column] = (),
    stamps: Sequence[Column] = (),
    *,
    kind: str = "csv",
    text: TextFormat | None = None,
    clock: Clock | None = None,
    variable: str | None = None,
) -> tuple[np.ndarray, list[Words], list[np.ndarray]]:
    """`numbers` as (len, n) float32, NaN where a cell is empty; `words`; `stamps` as (n,) float64 seconds.

    kind: csv, parquet or mat; variable: of a .mat file, the matrix whose columns are asked for.
    """
    text, clock = text or TextFormat(), clock or Clock()
    with reading(path, KINDS[kind]):
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty: get it again, or leave it out of the pattern")
        asked = (*numbers, *words, *stamps)
        if kind == "csv":
            columns = _of_text(path, numbers, words, stamps, text, clock)
        elif kind == "parquet":
            columns = _of_parquet(path, asked)
        else:
            columns = mat_files.read_columns(path, asked, variable)
        n = len(next(iter(columns.values()))) if columns else 0
        out = np.empty((len(numbers), n), np.float32)
        for row, column in enumerate(numbers):
            out[row] = _floats(columns[column], pa.float32())
        return (
            out,
            [_words(columns[c], path) for c in words],
            [_seconds(columns[c], clock, path) for c in stamps],
        )


def names_of(path: Path, *, kind: str, text: TextFormat | None = None) -> list[str]:
    """The names of a table's columns; empty where the file has none."""
    text = text or TextFormat()
    with reading(path, KINDS[kind]):
        if kind == "parquet":
            return list(pa.parquet.ParquetFile(path).schema_arrow.names)
        return text_tables.read_head(path, text).names if kind == "csv" and text.has_names else []


def _of_text(
    path: Path,
    numbers: Sequence[Column],
    words: Sequence[Column],
    stamps: Sequence[Column],
    text: TextFormat,
    clock: Clock,
) -> dict[Column, pa.ChunkedArray]:
    bounded(path, path.stat().st_size // 2)
    head = text_tables.read_head(path, text)
    place = {column: position(column, head.names, path) for column in (*numbers, *words, *stamps)}
    refuse_values_as_names(path, text, head.names, place)
    types: dict[str, Any] = {head.keys[place[c]]: pa.float32() for c in numbers}
    types |= {head.keys[place[c]]: pa.dictionary(pa.int32(), pa.string()) for c in words}
    dated = {head.keys[place[c]] for c in stamps}
    twice = [c for c in numbers if c in words or (c in stamps and clock.unit is None)]
    if twice:
        raise UserError(
            f"{path}: column '{twice[0]}' cannot be a channel and a label or date: name it for one of them"
        )
    ways = [pa.float64()]
    if clock.unit is None:
        ways = [pa.string()] if clock.format else [STAMP, ZONED, pa.string()]
    for last, type_ in enumerate(ways, 1 - len(ways)):
        try:
            table = text_tables.read_text(path, head, types | dict.fromkeys(dated, type_), text)
            break
        except pa.ArrowInvalid as error:
            if last == 0 or "conversion error to timestamp" not in str(error):
                raise
    columns = {column: table.column(head.keys[i]) for column, i in place.items()}
    refuse_names_as_values(path, text, head.names, {c: (place[c], columns[c]) for c in words})
    return columns


def refuse_values_as_names(
    path: Path, text: TextFormat, names: Sequence[str], place: dict[Column, int]
) -> None:
    """Refuse a first line of numbers, where columns are given by position and `header` is not given."""
    if text.header is not None:
        return
    for column, i in place.items():
        if isinstance(column, int) and NUMBER.fullmatch(names[i]):
            raise UserError(
                f"{path}: its first line has '{names[i]}' in column {column}, which may be a name or a "
                "value: give header = true or header = false"
            )


def refuse_names_as_values(
    path: Path, text: TextFormat, names: Sequence[str], columns: dict[Column, tuple[int, pa.ChunkedArray]]
) -> None:
    """Refuse a first line that is taken for names but has a word of the column, or the other way round."""
    for column, (i, values) in columns.items():
        found = [one for one in values.value_counts().to_pylist() if one["values"] is not None]
        counts = {one["values"].strip(): one["counts"] for one in found}
        if text.header is None and isinstance(column, int) and names[i] in counts:
            raise UserError(
                f"{path}: its first line has '{names[i]}' in column {column}, which other lines have as a "
                "value: give header = true or header = false"
            )
        first = str(values[0].as_py() or "").strip() if len(values) else ""
        others = [word for word in counts if word not in (first, "")]
        if text.header is False and first and counts[first] == 1 and not NUMBER.fullmatch(first):
            if len(others) > 1 and all(NUMBER.fullmatch(word) for word in others):
                raise UserError(
                    f"{path}: the first value of column {column} is '{first[:40]}', all others are numbers: "
                    "if it is a name, leave out header = false; else give skip_lines = 1"
                )


def _of_parquet(path: Path, asked: Sequence[Column]) -> dict[Column, pa.ChunkedArray]:
    """The columns, batch by batch, so that a file that unpacks to more than it claims is stopped.

    Its row groups' own descriptions are not asked: on damaged ones pyarrow aborts the process.
    """
    file = pa.parquet.ParquetFile(path)
    names = file.schema_arrow.names
    place = {column: position(column, names, path) for column in asked}
    for i in place.values():
        if names.count(names[i]) > 1:
            raise UserError(f"{path} has more than one column '{names[i]}': give every column its own name")
    bounded(path, file.metadata.num_rows * (len(place) + 1))
    batches: list[pa.RecordBatch] = []
    n_rows = 0
    for batch in file.iter_batches(columns=[names[i] for i in place.values()]):
        n_rows += batch.num_rows
        bounded(path, n_rows * (len(place) + 1))
        batches.append(batch)
    if not batches:
        raise UserError(f"{path} holds no row: get it again, or leave it out of the pattern")
    table = pa.Table.from_batches(batches)
    return {column: table.column(names[i]) for column, i in place.items()}


def stream(
    path: Path, wanted: Sequence[Column], *, kind: str, text: TextFormat | None = None
) -> Iterator[Block]:
    """Columns of numbers of a CSV or Parquet file, read block by block: the values of `read_columns`."""
    text = text or TextFormat()
    with reading(path, KINDS[kind]):
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty: get it again")
        batches: Iterator[pa.RecordBatch]
        if kind == "csv":
            head = text_tables.read_head(path, text)
            place = {column: position(column, head.names, path) for column in wanted}
            refuse_values_as_names(path, text, head.names, place)
            names = [head.keys[i] for i in place.values()]
            batches = text_tables.stream_text(path, head, dict.fromkeys(names, pa.float32()), text)
        else:
            file = pa.parquet.ParquetFile(path)
            names = [file.schema_arrow.names[position(c, file.schema_arrow.names, path)] for c in wanted]
            batches = file.iter_batches(columns=names)
        first = 0
        for batch in batches:
            columns = [pa.chunked_array([batch.column(name)]) for name in names]
            yield first, np.stack([_floats(column, pa.float32()) for column in columns])
            first += batch.num_rows


def position(column: Column, names: list[str], path: Path) -> int:
    """The place of a column among `names`; UserError where it is not there, or there twice."""
    if isinstance(column, int):
        if column > len(names):
            raise UserError(
                f"{path} has {len(names)} columns, but column {column} is asked for: name one of them"
            )
        return column - 1
    if names.count(column) != 1:
        what = "has no column" if column not in names else "has more than one column"
        raise UserError(f"{path} {what} '{column}': {nearest(column, [name[:40] for name in names[:40]])}")
    return names.index(column)


def states_zone(path: Path, column: Column, *, kind: str, text: TextFormat, clock: Clock) -> bool | None:
    """Whether a column of dates says its time zone; None where it holds no dates.

    The first date tells it: a column with both kinds is refused when it is read.
    """
    if clock.unit is not None or kind == "mat":
        return None
    if clock.format is not None:
        return "%z" in clock.format
    with reading(path, KINDS[kind]):
        if kind == "parquet":
            file = pa.parquet.ParquetFile(path)
            schema = file.schema_arrow
            place = position(column, schema.names, path)
            if pa.types.is_timestamp(schema.field(place).type):
                return schema.field(place).type.tz is not None
            batches = file.iter_batches(batch_size=1000, columns=[schema.names[place]])
            dates = (word_of(v.as_py(), path) for batch in batches for v in batch.column(0))
        else:
            head = text_tables.read_head(path, text)
            place = position(column, head.names, path)
            dates = (row[place].strip() for row in text_tables.rows(path, head, text) if len(row) > place)
        first = next((date for date in dates if date not in text_tables.MISSING), None)
    return None if first is None else bool(re.search(ZONE, first))


def _floats(column: pa.ChunkedArray, kind: pa.DataType) -> np.ndarray:
    if not (
        pa.types.is_floating(column.type)
        or pa.types.is_integer(column.type)
        or pa.types.is_boolean(column.type)
        or pa.types.is_decimal(column.type)
    ):
        raise UserError(f"a column of {column.type} was asked for as numbers: name one that holds them")
    return column.cast(kind, safe=False).to_numpy()


def _seconds(column: pa.ChunkedArray, clock: Clock, path: Path) -> np.ndarray:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _parsed(column, clock, path)
    if pa.types.is_timestamp(column.type):
        nanoseconds = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
        whole = nanoseconds.to_numpy() if not nanoseconds.null_count else _floats(nanoseconds, pa.float64())
        return whole / 1e9
    if clock.unit is None:
        raise UserError('the time column holds numbers: say what they count, like time_unit = "s"')
    return _floats(column, pa.float64()) * SECONDS[clock.unit]


def _parsed(column: pa.ChunkedArray, clock: Clock, path: Path) -> np.ndarray:
    """Seconds of dates written as text; NaN where a cell is missing."""
    import pandas as pd

    if clock.unit is not None:
        raise UserError(f'{path}: the times are text, not numbers: leave out time_unit = "{clock.unit}"')
    texts = pd.Series(column.to_pandas(), dtype="str").str.strip()
    texts = texts.where(~texts.isin(text_tables.MISSING))
    written = texts.dropna()
    parsed = pd.to_datetime(texts, format=clock.format or "ISO8601", utc=True, errors="coerce")
    wrong = written[parsed[written.index].isna()]
    if len(wrong):
        remedy = (
            f"its time_format is '{clock.format}', where fractions of a second are %f"
            if clock.format
            else "that is not an ISO 8601 date: say how times are written by time_format, like "
            '"%d/%m/%Y %H:%M:%S.%f", or what they count by time_unit, like "s"'
        )
        raise UserError(
            f"{path} has times that are not written as described: row {int(wrong.index[0]) + 1} has "
            f"'{str(wrong.iloc[0])[:40]}', but {remedy}"
        )
    zoned = written.str.contains(ZONE)
    if clock.format is None and zoned.any() and not zoned.all():
        raise UserError(f"{path} has times with and without a time zone: write all in the same way")
    nanoseconds = parsed.dt.tz_localize(None).to_numpy("datetime64[ns]")
    seconds = nanoseconds.astype(np.int64) / 1e9
    seconds[np.isnat(nanoseconds)] = np.nan
    return seconds


def _words(column: pa.ChunkedArray, path: Path) -> Words:
    """As written: no word passes through a number. Only an empty cell is missing.

    In a column of numbers, NaN is missing too, in every format.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind) or pa.types.is_float16(kind):
        raise UserError(f"{path} has a column of {kind} where words are expected: save it as text")
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
    whole = column.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    values = whole.dictionary.to_pylist()
    if len(values) > MAX_WORDS:
        raise UserError(
            f"{path} has {len(values):,} different values where classes are expected: name another column"
        )
    short = pa.types.is_float32(whole.dictionary.type)
    texts = [word_of(np.float32(v) if short and v is not None else v, path) for v in values]
    if are_numbers(texts):
        texts = ["" if text in NANS else text for text in texts]
    words = tuple(dict.fromkeys(text for text in texts if text))
    place = {word: i for i, word in enumerate(words)}
    code = np.array([*(place.get(text, -1) for text in texts), -1], np.int32)
    return Words(code[whole.indices.fill_null(-1).to_numpy(zero_copy_only=False)], words)


def are_numbers(texts: Sequence[str]) -> bool:
    """Whether a column holds numbers written as text, so that NaN in it is no word: 1.0, 2.0, NaN."""
    numbers = [text for text in texts if NUMBER.fullmatch(text)]
    return bool(numbers) and all(text == "" or text in numbers for text in texts)


def word_of(value: object, path: Path | None = None) -> str:
    """A value as it is written, without spaces around it; "" where there is none."""
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode().strip()
        except UnicodeDecodeError:
            raise UserError(
                f"{path} has words that are not UTF-8, like {value[:40]!r}: save them as text"
            ) from None
    return str(value).strip()
