"""Lines of names and lines of values, names that come twice, row numbers, and numbers written otherwise."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import scipy.io

from emargin_train.data.columns import read_columns
from emargin_train.data.text_tables import TextFormat
from emargin_train.errors import UserError
from tests.emargin_train.data.made import FRAMES, GOOD, csv
from tests.emargin_train.data.test_table import names, read

NUMBERS = np.random.default_rng(0).normal(0, 1, 200).round(3).tolist()
VALUES = '[signal]\nfiles = "{r}.csv"\nchannels = ["x"]\nrate_hz = 10\n[labels]\nfrom = "values"\n'
VALUES += 'file = "{r}.lab"\nseconds = 1\n'
COLUMN = '[labels]\nfrom = "column"\ncolumn = "label"\n'


def hypnogram(folder, first, words):
    csv(folder / "a.csv", "x", [(v,) for v in NUMBERS])
    (folder / "a.lab").write_text("".join(f"{line}\n" for line in [*first, *words]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["0"] * 10 + ["1"] * 10, "'0' in column 1, which may be a name or a value"),
        (["5"] + ["0"] * 10 + ["1"] * 9, "'5' in column 1, which may be a name or a value"),
        (["W"] * 10 + ["N1"] * 10, "'W' in column 1, which other lines have as a value"),
    ],
)
def test_a_file_without_a_line_of_names_loses_no_value(tmp_path, words, said):
    hypnogram(tmp_path, [], words)
    with pytest.raises(UserError, match=f"{said}.*give header = true or header = false"):
        read(tmp_path, VALUES + FRAMES)
    (recording,) = read(tmp_path, VALUES + "header = false\n" + FRAMES)
    assert names(recording) == [word for word in words for _ in range(10)]


def test_a_line_of_names_is_no_value(tmp_path):
    words = ["0"] * 10 + ["1"] * 10
    hypnogram(tmp_path, ["stage"], words)
    with pytest.raises(UserError, match="first value of column 1 is 'stage', all others are numbers.*header"):
        read(tmp_path, VALUES + "header = false\n" + FRAMES)
    for more in ("", "header = true\n", "header = false\nskip_lines = 1\n"):
        (recording,) = read(tmp_path, VALUES + more + FRAMES)
        assert names(recording) == [word for word in words for _ in range(10)]
    hypnogram(tmp_path, ["0"], words)  # as pandas calls a column without a name
    (recording,) = read(tmp_path, VALUES + "header = true\n" + FRAMES)
    assert names(recording) == [word for word in words for _ in range(10)]


@pytest.mark.parametrize("delimiter", [",", "whitespace"])
def test_a_signal_without_a_line_of_names_keeps_its_first_sample(tmp_path, delimiter):
    space = " " if delimiter == "whitespace" else ","
    (tmp_path / "a.txt").write_text("".join(f"{v}{space}{k // 100}\n" for k, v in enumerate(NUMBERS)))
    with pytest.raises(UserError, match="may be a name or a value: give header"):
        read_columns(tmp_path / "a.txt", [1], text=TextFormat(delimiter=delimiter))
    with pytest.raises(UserError, match="may be a name or a value: give header"):
        read_columns(tmp_path / "a.txt", words=[2], text=TextFormat(delimiter=delimiter))
    (values,), _, _ = read_columns(tmp_path / "a.txt", [1], text=TextFormat(delimiter, header=False))
    np.testing.assert_allclose(values, NUMBERS, rtol=1e-6)


def test_columns_of_one_name_are_told_apart_by_position_or_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x,x,w\n1,2,a\n3,4,b\n")
    values, (words,), _ = read_columns(tmp_path / "a.csv", [2, 1], ["w"])
    assert values.tolist() == [[2, 4], [1, 3]] and words.words == ("a", "b")
    with pytest.raises(UserError, match="has more than one column 'x'"):
        read_columns(tmp_path / "a.csv", ["x"])
    table = pa.table([pa.array([1.0]), pa.array([2.0])], names=["x", "x"])
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    for asked in (["x"], [2]):
        with pytest.raises(UserError, match="has more than one column 'x'"):
            read_columns(tmp_path / "a.parquet", asked, kind="parquet")


@pytest.mark.parametrize("header", ["true", "false"])
def test_row_numbers_in_place_of_a_channel_are_doubtful(tmp_path, header):
    """pandas leaves their name empty; R writes none, so that positions are one off."""
    rows = [(k, v, "ab"[k % 2]) for k, v in enumerate(NUMBERS)]
    if header == "true":
        csv(tmp_path / "a.csv", ",x,label", rows)
    else:
        (tmp_path / "a.csv").write_text("".join(f'"{k}",{v},{w}\n' for k, v, w in rows))
    toml = (
        f'[signal]\nfiles = "a.csv"\nchannels = [1, 2]\nnames = ["p", "q"]\nrate_hz = 10\nheader = {header}\n'
    )
    (recording,) = read(tmp_path, toml + '[labels]\nfrom = "column"\ncolumn = 3\n' + FRAMES)
    (doubt,) = recording.source.doubts
    assert "counts rows: name a channel that holds a signal" in doubt


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("delimiter", [",", "whitespace"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marked_encodings_and_every_end_of_line(tmp_path, encoding, delimiter, end):
    space = " " if delimiter == "whitespace" else ","
    lines = [f"x{space}w", *(f"{v}{space}müde" for v in NUMBERS)]
    (tmp_path / "a.txt").write_bytes("".join(line + end for line in lines).encode(encoding))
    (values,), (words,), _ = read_columns(tmp_path / "a.txt", ["x"], ["w"], text=TextFormat(delimiter))
    np.testing.assert_allclose(values, NUMBERS, rtol=1e-6)
    assert words.words == ("müde",) and (words.codes == 0).all()


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("0,126", r"column 'x' has '0,126' where a number is expected.*decimal = \",\""),
        ("1.304,5", r"column 'x' has '1.304,5' where a number is expected"),
        ("soon", "column 'x' has 'soon' where a number is expected: name another column"),
    ],
)
def test_numbers_written_otherwise_are_named_with_the_key(tmp_path, cell, said):
    (tmp_path / "a.csv").write_text(f"x;w\n{cell};a\n")
    with pytest.raises(UserError, match=said):
        read_columns(tmp_path / "a.csv", ["x"], text=TextFormat(delimiter=";"))


def test_columns_of_a_type_that_is_no_word_or_number_are_named(tmp_path):
    for values, said in (
        (pa.array([["a"]]), "a column of list"),
        (pa.array(np.ones(1, np.float16)), "a column of halffloat"),
    ):
        pa.parquet.write_table(pa.table({"w": values}), tmp_path / "a.parquet")
        with pytest.raises(UserError, match=f"{said}.*where words are expected: save it as text"):
            read_columns(tmp_path / "a.parquet", words=["w"], kind="parquet")
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.ones(5) + 1j})
    with pytest.raises(UserError, match="'x' holds complex numbers"):
        read_columns(tmp_path / "a.mat", ["x"], kind="mat")


def test_sensors_without_stamps_that_last_differently_are_doubtful(tmp_path):
    for name, n in (("p", 200), ("q", 150)):
        csv(tmp_path / f"1_{name}.csv", "x,label", [(v, "ab"[k % 2]) for k, v in enumerate(NUMBERS[:n])])
    signal = '[[signal]]\nfiles = "{{r}}_{0}.csv"\nchannels = ["x"]\nnames = ["{0}"]\nrate_hz = 10\n'
    (recording,) = read(tmp_path, signal.format("p") + signal.format("q") + COLUMN + FRAMES)
    (doubt,) = recording.source.doubts
    assert doubt.startswith("its sensors last 20.0, 15.0 s") and "give time in [[signal]]" in doubt
    csv(tmp_path / "1_q.csv", "x", [(v,) for v in NUMBERS])
    (recording,) = read(tmp_path, signal.format("p") + signal.format("q") + COLUMN + FRAMES)
    assert not recording.source.doubts


@pytest.mark.parametrize(("n", "doubtful"), [(20, False), (19, True), (22, True)])
def test_label_values_that_do_not_last_as_long_as_the_signal_are_doubtful(tmp_path, n, doubtful):
    hypnogram(tmp_path, ["stage"], ["0"] * 10 + ["1"] * (n - 10))
    (recording,) = read(tmp_path, VALUES + FRAMES)
    assert any("check seconds, skip_lines and header" in d for d in recording.source.doubts) == doubtful


@pytest.mark.parametrize(("n", "doubtful"), [(2000, False), (2006, True), (1990, True)])
def test_a_rate_by_labels_that_no_device_has_is_doubtful(tmp_path, n, doubtful):
    csv(tmp_path / "a.csv", "x", [(k % 7,) for k in range(n)])
    (tmp_path / "a.lab").write_text("stage\n" + "0\n1\n" * 10)
    toml = VALUES.replace("rate_hz = 10\n", "")
    (recording,) = read(tmp_path, toml + FRAMES)
    assert recording.rate_hz == n / 20
    assert any("which no usual device has: give rate_hz" in d for d in recording.source.doubts) == doubtful


def test_a_good_table_has_no_doubts(tmp_path):
    csv(tmp_path / "a.csv", "x,label", [(v, "ab"[k % 2]) for k, v in enumerate(NUMBERS)])
    (recording,) = read(tmp_path, GOOD)
    assert recording.source.doubts == ()
