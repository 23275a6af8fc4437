"""Read tables in text files, whose cells are separated by one character or white space, as Arrow columns.

Every row needs as many cells as there are names. In a column of numbers or times, an empty cell and the words
of `MISSING` are missing; in a column of words, only an empty cell is (columns.py).

Where the description does not say whether there is a line of names, there is one. A first line that looks
like values is then refused where columns are given by position, since a row would be lost.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from emargin_train.errors import UserError

MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA",
    "NULL", "NaN", "n/a", "nan", "null",
)  # fmt: skip
MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
)  # fmt: skip
LONGEST_LINE = 1 << 20
WRONG_NUMBER = re.compile(
    r"CSV column #(\d+): CSV conversion error to (?:float|double): invalid value '(.*)'"
)


@dataclass(frozen=True)
class TextFormat:
    """How a text file is laid out."""

    delimiter: str = ","  # one character, or "whitespace"
    decimal: str = "."
    skip_lines: int = 0  # lines before the header, or before the values where there is none
    header: bool | None = None  # whether a line of names comes before the values; None: yes, but not stated
    encoding: str | None = None  # None: UTF-8, or UTF-16 where the file's first bytes say so

    @property
    def has_names(self) -> bool:
        """Whether a line of names is read."""
        return self.header is not False


@dataclass(frozen=True)
class Head:
    """What is known of a text file before its values are read."""

    names: list[str]
    lines: int  # before the values
    encoding: str

    @property
    def keys(self) -> list[str]:
        """What Arrow calls the columns: their names may not be different."""
        return [str(i) for i in range(len(self.names))]


def read_head(path: Path, text: TextFormat) -> Head:
    """Names and their line; without such a line, a name for each cell of the first row."""
    encoding = text.encoding or marked_encoding(path)
    try:
        with path.open(encoding=encoding, newline="") as file:
            lines = iter(lambda: file.readline(LONGEST_LINE), "")
            for _ in range(text.skip_lines):
                next(lines, "")
            cells = reader(lines, text)
            first: list[str] = next(cells, [])
            used = cells.line_num
            second: list[str] = next((row for row in cells if row), []) if text.has_names else []
    except UnicodeError as error:
        raise other_encoding(path, encoding, error) from None
    if not first:
        raise UserError(
            f"{path} has no line after the {text.skip_lines} skipped: get it again, or check skip_lines"
        )
    if not text.has_names:
        return Head([f"column {i}" for i in range(1, len(first) + 1)], text.skip_lines, encoding)
    names = [name.strip() for name in first]
    if second and len(second) != len(names):
        raise UserError(
            f"{path} has {len(names)} names ({', '.join(names)[:60]}) for {len(second)} columns: give every "
            "column a name (R's write.table leaves out the one of its row names: write with "
            "row.names = FALSE), or skip the line of names and give header = false and positions"
        )
    return Head(names, text.skip_lines + used, encoding)


def rows(path: Path, head: Head, text: TextFormat) -> Iterator[list[str]]:
    """The cells of each line of values, as text; for looking at the first ones."""
    try:
        with path.open(encoding=head.encoding, newline="") as file:
            lines = iter(lambda: file.readline(LONGEST_LINE), "")
            for _ in range(head.lines):
                next(lines, "")
            yield from reader(lines, text)
    except UnicodeError as error:
        raise other_encoding(path, head.encoding, error) from None


def reader(lines: Iterable[str], text: TextFormat) -> Any:
    """Lines as cells, quotes taken off."""
    if text.delimiter == "whitespace":
        return csv.reader((" ".join(_cells(line)) for line in lines), delimiter=" ")
    return csv.reader(lines, delimiter=text.delimiter)


def read_text(path: Path, head: Head, types: dict[str, Any], text: TextFormat) -> pa.Table:
    """The columns of `types`, by `Head.keys`; text columns keep every word, also "null" and "nan"."""
    source, *options = _options(path, head, types, text)
    try:
        table = pa.csv.read_csv(source, *options)
    except (pa.ArrowInvalid, UnicodeError) as error:
        raise _told(path, head, text, error) from None
    return without_empty_end(table) if len(head.names) == 1 else table


def stream_text(path: Path, head: Head, types: dict[str, Any], text: TextFormat) -> Iterator[pa.RecordBatch]:
    """As `read_text`, batch by batch; a single column keeps the empty lines at its end, as missing values.

    A table set apart by white space is read whole.
    """
    source, *options = _options(path, head, types, text)
    try:
        yield from pa.csv.open_csv(source, *options)
    except (pa.ArrowInvalid, UnicodeError) as error:
        raise _told(path, head, text, error) from None


def _told(path: Path, head: Head, text: TextFormat, error: Exception) -> Exception:
    """What to raise for an error of pyarrow."""
    said = " ".join(str(error).split())
    if isinstance(error, UnicodeError) or "UTF8" in said or "utf-8" in said:
        return other_encoding(path, head.encoding, error)
    wrong = WRONG_NUMBER.search(said)
    if wrong:
        column, value = head.names[int(wrong[1])], wrong[2]
        comma = "," in value and text.decimal != ","
        remedy = 'where numbers are written so, give decimal = ","' if comma else "name another column"
        return UserError(
            f"{path}: column '{column}' has '{value[:40]}' where a number is expected: {remedy}, or "
            "correct the file"
        )
    return error


def _options(path: Path, head: Head, types: dict[str, Any], text: TextFormat) -> tuple[Any, Any, Any, Any]:
    """What pyarrow's readers take."""
    plain = head.encoding in ("utf-8", "utf-8-sig")
    single = len(head.names) == 1
    options = pa.csv.ReadOptions(
        column_names=head.keys,
        skip_rows=head.lines,
        block_size=1 << 24,
        encoding="utf8" if plain or text.delimiter == "whitespace" else head.encoding,
    )
    source: Any = path
    if text.delimiter == "whitespace":
        source = pa.BufferReader(tabbed(path, head))
        options.skip_rows = 0
    parse = pa.csv.ParseOptions(
        delimiter="\t" if text.delimiter == "whitespace" else text.delimiter,
        newlines_in_values=has_quotes(path),
        ignore_empty_lines=not single,  # in a single column, an empty line is a missing value
    )
    convert = pa.csv.ConvertOptions(
        include_columns=list(types),
        column_types=types,
        null_values=list(MISSING),
        strings_can_be_null=False,
        decimal_point=text.decimal,
        timestamp_parsers=[pa.csv.ISO8601],
    )
    return source, options, parse, convert


def without_empty_end(table: pa.Table) -> pa.Table:
    """A single column without the empty lines at the end of its file."""
    column = table.column(0)
    n = len(column)
    while n and str(column[n - 1].as_py() or "").strip() == "" and column[n - 1].as_py() != 0:
        n -= 1
    return table.slice(0, n)


def marked_encoding(path: Path) -> str:
    """UTF-16 where the file's first bytes say so, else UTF-8; UserError where these are neither."""
    with path.open("rb") as file:
        start = file.read(64)
    for mark, encoding in MARKS:
        if start.startswith(mark):
            return encoding
    if start[1:2] == b"\0" or start[:1] == b"\0":
        raise UserError(
            f'{path} seems to be UTF-16 without a mark: give encoding = "utf-16-le" or "utf-16-be", or save '
            "it as UTF-8"
        )
    return "utf-8"


def other_encoding(path: Path, encoding: str, error: Exception) -> UserError:
    """What to say of a file that is not written in that encoding."""
    where = f" (byte {error.object[error.start]:#04x})" if isinstance(error, UnicodeDecodeError) else ""
    return UserError(
        f"{path} is not written in {encoding}{where}: say how it is written, like "
        'encoding = "latin-1", "windows-1252" or "utf-16", or save it as UTF-8'
    )


def has_quotes(path: Path) -> bool:
    """Whether cells may be quoted, and then hold ends of lines."""
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            if b'"' in piece:
                return True
    return False


def _cells(line: str) -> list[str]:
    """Cells of a line set apart by white space; quotes are kept."""
    return re.findall(r'"(?:[^"]|"")*"|[^\s"]+', line)


def tabbed(path: Path, head: Head) -> bytes:
    """The values of a file set apart by white space, with one tab between two cells, in UTF-8."""
    raw = path.read_bytes()
    if head.encoding not in ("utf-8", "utf-8-sig"):
        raw = raw.decode(head.encoding).encode()
    if b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")  # as old Macintosh programs end lines
    at = 0
    for _ in range(head.lines):
        at = raw.find(b"\n", at) + 1
        if at == 0:
            return b""
    raw = re.sub(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)", b"", raw[at:])
    if b'"' not in raw:
        return re.sub(rb"[ \t]+", b"\t", raw)
    return re.sub(rb'"(?:[^"]|"")*"|[ \t]+', lambda m: m[0] if m[0][:1] == b'"' else b"\t", raw)
