"""Columns of CSV and Parquet files, only those asked for."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from emargin_train.data.files import bounded, reading
from emargin_train.errors import UserError, nearest

Column = str | int  # a name, or a position counted from 1


@dataclass(frozen=True)
class TextFormat:
    """How a text file is laid out."""

    delimiter: str = ","  # one character, or "whitespace"
    decimal: str = "."
    skip_lines: int = 0  # lines before the header, or before the values where there is none
    header: bool = True  # whether a line of names comes before the values


@dataclass(frozen=True)
class Clock:
    """How a column tells the time: a number of `unit`, or (None) a date and time."""

    unit: str | None = None
    format: str | None = None  # strptime; None = ISO 8601


@dataclass(frozen=True)
class Words:
    """A column of few different words: `codes` (n,) int32 index `words`; -1 where a cell is empty."""

    codes: np.ndarray
    words: tuple[str, ...]


SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
STAMP = pa.timestamp("ns")
ZONED = pa.timestamp("ns", "UTC")
MAX_WORDS = 10_000


def read_columns(
    path: Path,
    numbers: Sequence[Column] = (),
    words: Sequence[Column] = (),
    stamps: Sequence[Column] = (),
    *,
    parquet: bool = False,
    text: TextFormat | None = None,
    clock: Clock | None = None,
) -> tuple[np.ndarray, list[Words], list[np.ndarray]]:
    """`numbers` as (len, n) float32, NaN where a cell is empty; `words`; `stamps` as (n,) float64 seconds."""
    text, clock = text or TextFormat(), clock or Clock()
    kind = "Parquet" if parquet else "CSV"
    with reading(path, kind):
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty: get it again, or leave it out of the pattern")
        file = pa.parquet.ParquetFile(path) if parquet else None
        names = file.schema_arrow.names if file is not None else _header(path, text)
        place = {column: _position(column, names, path) for column in (*numbers, *words, *stamps)}
        if file is not None:
            bounded(path, file.metadata.num_rows * (len(place) + 1))
            table = _parquet(file, path, [names[i] for i in place.values()])
        else:
            bounded(path, path.stat().st_size // 2)
            types: dict[str, Any] = {names[place[c]]: pa.float32() for c in numbers}
            types |= {names[place[c]]: pa.dictionary(pa.int32(), pa.string()) for c in words}
            types |= {names[place[c]]: STAMP if clock.unit is None else pa.float64() for c in stamps}
            table = _csv(path, names, types, text, clock)
        columns = {column: table.column(names[i]) for column, i in place.items()}
        out = np.empty((len(numbers), table.num_rows), np.float32)
        for row, column in enumerate(numbers):
            out[row] = _floats(columns[column], pa.float32())
        return out, [_words(columns[c], path) for c in words], [_seconds(columns[c], clock) for c in stamps]


def _position(column: Column, names: list[str], path: Path) -> int:
    if isinstance(column, int):
        if column > len(names):
            raise UserError(
                f"{path} has {len(names)} columns, but column {column} is asked for: name one it has"
            )
        return column - 1
    if names.count(column) != 1:
        what = "has no column" if column not in names else "has more than one column"
        raise UserError(f"{path} {what} '{column}': {nearest(column, [name[:40] for name in names[:40]])}")
    return names.index(column)


def _header(path: Path, text: TextFormat) -> list[str]:
    """Names in the header line; without one, a name for each column of the first line."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        for _ in range(text.skip_lines):
            lines.readline(1 << 20)
        line = lines.readline(1 << 20).rstrip("\r\n")
    if not line:
        raise UserError(
            f"{path} has no line after the {text.skip_lines} skipped: get it again, or check skip_lines"
        )
    if text.delimiter == "whitespace":
        cells = line.split()
    else:
        cells = next(csv.reader([line], delimiter=text.delimiter))
    return cells if text.header else [f"column {i}" for i in range(1, len(cells) + 1)]


def _parquet(file: pa.parquet.ParquetFile, path: Path, names: list[str]) -> pa.Table:
    """The columns, batch by batch, so that a file that unpacks to more than it claims is stopped.

    Its row groups' own descriptions are not asked: on damaged ones pyarrow aborts the process.
    """
    batches: list[pa.RecordBatch] = []
    n_rows = 0
    for batch in file.iter_batches(columns=names):
        n_rows += batch.num_rows
        bounded(path, n_rows * (len(names) + 1))
        batches.append(batch)
    if not batches:
        raise UserError(f"{path} holds no row: get it again, or leave it out of the pattern")
    return pa.Table.from_batches(batches)


def _csv(path: Path, names: list[str], types: dict[str, Any], text: TextFormat, clock: Clock) -> pa.Table:
    if text.delimiter == "whitespace":
        return _spaced(path, names, types, text)
    formats = [clock.format] if clock.format else []
    convert = pa.csv.ConvertOptions(
        include_columns=list(types),
        column_types=types,
        strings_can_be_null=True,
        decimal_point=text.decimal,
        timestamp_parsers=[*formats, pa.csv.ISO8601],
    )
    skipped = text.skip_lines + text.header
    options = pa.csv.ReadOptions(column_names=names, skip_rows=skipped, block_size=1 << 24)
    parse = pa.csv.ParseOptions(delimiter=text.delimiter)
    if STAMP not in types.values():
        return pa.csv.read_csv(path, options, parse, convert)
    try:
        return pa.csv.read_csv(path, options, parse, convert)
    except pa.ArrowInvalid as error:
        if "conversion error to timestamp" not in str(error):
            raise
    convert.column_types = {name: ZONED if type_ == STAMP else type_ for name, type_ in types.items()}
    try:
        return pa.csv.read_csv(path, options, parse, convert)
    except pa.ArrowInvalid as error:
        raise UserError(
            f"{path} has times that are no dates ({' '.join(str(error).split())[:100]}): say how they are "
            'written by time_format, or what they count by time_unit, like "s"'
        ) from None


def _spaced(path: Path, names: list[str], types: dict[str, Any], text: TextFormat) -> pa.Table:
    """Columns set apart by any number of spaces or tabs."""
    import pandas as pd

    frame = pd.read_csv(
        path,
        sep=r"\s+",
        names=names,
        usecols=[n for n in names if n in types],
        dtype={n: "str" for n, t in types.items() if not pa.types.is_floating(t)},
        skiprows=text.skip_lines + text.header,
        decimal=text.decimal,
    )
    return pa.table({n: pa.array(frame[n], from_pandas=True).cast(types[n]) for n in types})


def _floats(column: pa.ChunkedArray, kind: pa.DataType) -> np.ndarray:
    if not (
        pa.types.is_floating(column.type)
        or pa.types.is_integer(column.type)
        or pa.types.is_boolean(column.type)
    ):
        raise UserError(f"a column of {column.type} was asked for as numbers: name one that holds them")
    return column.cast(kind, safe=False).to_numpy()


def _seconds(column: pa.ChunkedArray, clock: Clock) -> np.ndarray:
    if pa.types.is_timestamp(column.type):
        nanoseconds = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
        whole = nanoseconds.to_numpy() if not nanoseconds.null_count else _floats(nanoseconds, pa.float64())
        return whole / 1e9
    if clock.unit is None:
        raise UserError('the time column holds numbers: say what they count, like time_unit = "s"')
    return _floats(column, pa.float64()) * SECONDS[clock.unit]


def _words(column: pa.ChunkedArray, path: Path) -> Words:
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
    whole = column.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    words = whole.dictionary.to_pylist()
    if len(words) > MAX_WORDS:
        raise UserError(
            f"{path} has {len(words):,} different values where classes are expected: name another column"
        )
    codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return Words(codes, tuple(word_of(w) for w in words))


def word_of(value: object) -> str:
    """A value as written in a map: 5, 5.0 and "5" alike are 5."""
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else text
