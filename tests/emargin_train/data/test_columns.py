"""Columns of text and Parquet files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from emargin_train.data import columns
from emargin_train.data.columns import Clock, read_columns
from emargin_train.data.text_tables import TextFormat
from emargin_train.errors import UserError


def write(tmp_path, text, name="a.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_only_the_columns_asked_for_by_name_and_by_place(tmp_path):
    path = write(tmp_path, "t,x,y,label,note\n0,1.5,2,walk,\n1,,4,,hello\n2,3.5,nan,run,\n")
    values, (words,), (time_s,) = read_columns(path, ["y", 2], ["label"], [1], clock=Clock("s"))
    assert np.array_equal(values, np.array([[2, 4, np.nan], [1.5, np.nan, 3.5]], np.float32), equal_nan=True)
    assert [words.words[c] if c >= 0 else None for c in words.codes] == ["walk", None, "run"]
    assert time_s.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("stamps", "clock", "expected"),
    [
        (["2020-01-01 00:00:00", "2020-01-01 00:00:00.02"], Clock(), [1577836800, 1577836800.02]),
        (["2020-01-01T00:00:00.5Z", "2020-01-01T01:00:00Z"], Clock(), [1577836800.5, 1577840400]),
        (
            ["01/02/2020 03:04:05", "01/02/2020 03:04:06"],
            Clock(None, "%d/%m/%Y %H:%M:%S"),
            [1580526245, 1580526246],
        ),
        (["1577836800000", "1577836800020"], Clock("ms"), [1577836800, 1577836800.02]),
        (["0", "1500"], Clock("us"), [0, 0.0015]),
    ],
)
def test_clocks(tmp_path, stamps, clock, expected):
    path = write(tmp_path, "time,x\n" + "".join(f"{s},0\n" for s in stamps))
    _, _, (time_s,) = read_columns(path, ["x"], stamps=["time"], clock=clock)
    assert time_s == pytest.approx(expected, abs=1e-5)


def test_text_layouts(tmp_path):
    european = write(tmp_path, "x;y\n1,5;2\n-0,25;3\n")
    values, _, _ = read_columns(european, ["x", "y"], text=TextFormat(delimiter=";", decimal=","))
    assert values.tolist() == [[1.5, -0.25], [2, 3]]
    spaced = write(tmp_path, "[title]\n   1.0\t 2.0\n  3.0   4.0\n", "b.txt")
    layout = TextFormat(delimiter="whitespace", skip_lines=1, header=False)
    values, (words,), _ = read_columns(spaced, [2], [1], text=layout)
    assert values.tolist() == [[2, 4]] and words.words == ("1.0", "3.0")
    quoted = write(tmp_path, '"a, b",c\n1,2\n', "c.csv")
    assert read_columns(quoted, ["a, b"])[0].tolist() == [[1]]
    marked = tmp_path / "d.csv"
    marked.write_bytes(b"\xef\xbb\xbfx,y\r\n1,2\r\n")  # as Excel saves it
    assert read_columns(marked, ["x", "y"])[0].tolist() == [[1], [2]]


def test_parquet_says_the_same_as_csv(tmp_path):
    table = pa.table(
        {
            "t": pa.array([0, 20, 40], pa.timestamp("ms")),
            "x": pa.array([1, None, 3], pa.int16()),
            "label": pa.array([5.0, 4.0, None]),
            "big": pa.array([1e300, 0, 0]),
        }
    )
    pa.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    values, (words,), (time_s,) = read_columns(
        tmp_path / "a.parquet", ["x"], ["label"], ["t"], kind="parquet"
    )
    assert np.array_equal(values, [[1, np.nan, 3]], equal_nan=True)
    assert words.words == ("5.0", "4.0") and words.codes.tolist() == [0, 1, -1]
    assert time_s == pytest.approx([0, 0.02, 0.04])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5", "5"),
        ("5.0", "5.0"),
        (5, "5"),
        (" run ", "run"),
        ("1e2", "1e2"),
        ("nan", "nan"),
        ("007", "007"),
        (5.0, "5.0"),
        (float("nan"), ""),
        (None, ""),
        (b"run", "run"),
        ("5.5", "5.5"),
    ],
)
def test_words_are_as_written_in_a_map(value, expected):
    assert columns.word_of(value) == expected


@pytest.mark.parametrize(
    ("text", "wanted", "said"),
    [
        ("", ["x"], "is empty"),
        ("a,b\n1,2\n", ["x"], "has no column 'x': known: a, b"),
        ("acc_x,b\n1,2\n", ["acc_y"], "did you mean 'acc_x'?"),
        ("x,x\n1,2\n", ["x"], "has more than one column 'x'"),
        ("a,b\n1,2\n", [3], "has 2 columns, but column 3"),
        ("x,y\n1,2\n3\n", ["x"], "Expected 2 columns, got 1"),
        ("x,y\n1,two\n", ["y"], "has 'two' where a number is expected"),
        ("x\n\xff\xfe\n", ["x"], "is not written in utf-8"),
    ],
)
def test_damaged_text_is_named(tmp_path, text, wanted, said):
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(UserError, match=said.replace("?", r"\?")) as error:
        read_columns(path, wanted)
    assert str(path) in str(error.value)


def test_too_many_words_are_no_classes(tmp_path):
    path = write(tmp_path, "label\n" + "".join(f"w{i}\n" for i in range(columns.MAX_WORDS + 1)))
    with pytest.raises(UserError, match="10,001 different values where classes are expected"):
        read_columns(path, words=["label"])


def test_a_parquet_file_that_unpacks_beyond_reason_is_refused(tmp_path, monkeypatch):
    """20 million equal values pack into a few kB; the limit is lowered here so that the test stays small."""
    from emargin_train.data import files

    pa.parquet.write_table(pa.table({"x": np.zeros(2_000_000)}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    monkeypatch.setattr(files, "MAX_VALUES", 1_000_000)
    with pytest.raises(UserError, match="more than the 1,000,000 read from one file"):
        read_columns(tmp_path / "a.parquet", ["x"], kind="parquet")


def test_a_parquet_file_without_rows(tmp_path):
    pa.parquet.write_table(pa.table({"x": pa.array([], pa.float64())}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="holds no row"):
        read_columns(tmp_path / "a.parquet", ["x"], kind="parquet")


def test_numbers_and_times_of_the_wrong_kind_are_named(tmp_path):
    pa.parquet.write_table(pa.table({"x": ["a", "b"], "t": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="a column of string was asked for as numbers"):
        read_columns(tmp_path / "a.parquet", ["x"], kind="parquet")
    with pytest.raises(UserError, match="say what they count"):
        read_columns(tmp_path / "a.parquet", stamps=["t"], kind="parquet")
