"""Words stay as written; what matches nothing is an error; tables have as many names as columns."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import scipy.io

from emargin_train.data.columns import read_columns
from emargin_train.data.text_tables import TextFormat
from emargin_train.errors import UserError
from tests.emargin_train.data.made import FRAMES, GOOD, csv, refused
from tests.emargin_train.data.test_table import names, read

TRICKY = ["null", "nan", "NA", "None", "1_1", "1E1", "007", "7", "inf", "-", "true", "0x1F", "", "1.0"]


def written_in(words, folder, kind):
    """The same column of words in a file of that kind, and how it is read."""
    text = TextFormat()
    if kind == "csv":
        (folder / "a.csv").write_text("x,w\n" + "".join(f"0,{w}\n" for w in words))
        return folder / "a.csv", "csv", text
    if kind == "quoted":
        (folder / "a.csv").write_text('"x","w"\n' + "".join(f'"0","{w}"\n' for w in words))
        return folder / "a.csv", "csv", text
    if kind == "tab":
        (folder / "a.tsv").write_text("x\tw\n" + "".join(f"0\t{w}\n" for w in words))
        return folder / "a.tsv", "csv", TextFormat(delimiter="\t")
    if kind == "whitespace":
        (folder / "a.txt").write_text("x  w\n" + "".join(f'0   "{w}"\n' for w in words))
        return folder / "a.txt", "csv", TextFormat(delimiter="whitespace")
    if kind == "utf-16":
        (folder / "a.csv").write_text("x,w\n" + "".join(f"0,{w}\n" for w in words), "utf-16")
        return folder / "a.csv", "csv", text
    column = pa.array([w or None for w in words])
    if kind == "binary":
        column = column.cast(pa.binary())
    if kind == "dictionary":
        column = column.dictionary_encode()
    pa.parquet.write_table(pa.table({"x": np.zeros(len(words)), "w": column}), folder / "a.parquet")
    return folder / "a.parquet", "parquet", text


KINDS = ["csv", "quoted", "tab", "whitespace", "utf-16", "parquet", "binary", "dictionary"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_words(tmp_path, kind):
    path, how, text = written_in(TRICKY, tmp_path, kind)
    _, (words,), _ = read_columns(path, ["x"], ["w"], kind=how, text=text)
    assert [words.words[c] if c >= 0 else "" for c in words.codes] == TRICKY


@pytest.mark.parametrize("missing", ["", "NaN", "nan"])
@pytest.mark.parametrize("kind", ["csv", "whitespace", "parquet"])
def test_in_a_column_of_numbers_nan_is_missing(tmp_path, kind, missing):
    path, how, text = written_in(["1.0", missing, "2.0"], tmp_path, kind)
    _, (words,), _ = read_columns(path, words=["w"], kind=how, text=text)
    assert words.words == ("1.0", "2.0") and words.codes.tolist() == [0, -1, 1]
    (values,), _, _ = read_columns(path, ["x"], kind=how, text=text)
    assert values.tolist() == [0, 0, 0]


def test_numbers_are_written_alike_in_parquet_and_csv(tmp_path):
    for values, type_, expected in (
        ([1.0, np.nan, 2.5], pa.float64(), ["1.0", "", "2.5"]),
        ([0.1, np.nan, 1e16], pa.float32(), ["0.1", "", "1e+16"]),
        ([7, None, -3], pa.int16(), ["7", "", "-3"]),
        ([True, None, False], pa.bool_(), ["True", "", "False"]),
    ):
        pa.parquet.write_table(pa.table({"w": pa.array(values, type_)}), tmp_path / "a.parquet")
        _, (words,), _ = read_columns(tmp_path / "a.parquet", words=["w"], kind="parquet")
        assert [words.words[c] if c >= 0 else "" for c in words.codes] == expected


def test_people_whose_names_look_like_numbers_stay_apart(tmp_path):
    people = ["1_1", "11", "1E1", "10", "007", "7", "1.0", "1"]
    csv(tmp_path / "all.csv", "x,label,who", [(k, k % 2, who) for who in people for k in range(20)])
    toml = GOOD.replace('"{subject}.csv"', '"all.csv"').replace(
        "[frames]", '[subject]\ncolumn = "who"\n[frames]'
    )
    got = read(tmp_path, toml)
    assert [r.subject for r in got] == people and {r.seconds for r in got} == {2}


def test_a_class_called_null_is_a_class(tmp_path):
    csv(tmp_path / "a.csv", "x,label", [(k, "null" if k < 30 else "walk") for k in range(60)])
    (recording,) = read(tmp_path, GOOD)
    assert names(recording) == ["null"] * 30 + ["walk"] * 30


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[labels]", 'classes = ["sit", "wlak"]\n[labels]', None),
        (
            'column = "label"',
            'column = "label"\nmap = { sit = "S", Walk = "W" }',
            "labels.map has 'Walk', which",
        ),
        ('column = "label"', 'column = "label"\nmap = { sit = "S", 1 = "W" }', "found: sit, walk"),
        (
            "[frames]",
            '[subject]\nsame = [["a", "c"]]\n[frames]',
            "subject.same has 'c', which matches nothing",
        ),
    ],
)
def test_entries_that_match_nothing_are_refused_with_what_there_is(tmp_path, capsys, old, new, said):
    for who in "ab":
        csv(tmp_path / f"{who}.csv", "x,label", [(k, "sit" if k < 30 else "walk") for k in range(60)])
    text = GOOD.replace(old, new)
    if said is None:
        text, said = (
            'classes = ["sit", "wlak"]\n' + GOOD,
            "classes has 'wlak', which matches nothing (did you mean 'walk'",
        )
    (tmp_path / "my.toml").write_text(text)
    assert said in refused(capsys, "describe", tmp_path / "my.toml")


def test_a_class_that_is_absent_where_nothing_else_is_left_is_no_error(tmp_path):
    csv(tmp_path / "a.csv", "x,label", [(k, k // 30) for k in range(60)])
    (recording,) = read(tmp_path, GOOD.replace('"label"', '"label"\nmap = { 0 = "W", 1 = "N", 4 = "REM" }'))
    assert recording.class_names == ("W", "N", "REM") and set(names(recording)) == {"W", "N"}


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("ax ay az\n1 0 9.8 0\n2 0 9.8 0\n", TextFormat(delimiter="whitespace")),
        ('"ax" "ay" "az"\n"1" 0 9.8 0\n', TextFormat(delimiter="whitespace")),
        ("ax,ay,az\n1,0,9.8,0\n", TextFormat()),
        ('"ax","ay","az"\n"1",0,9.8,0\n', TextFormat()),
        ("ax\tay\taz\n1\t0\t9.8\t0\n", TextFormat(delimiter="\t")),
        ("ax,ay,az\n0,9.8,0,\n", TextFormat()),
        ("ax,ay,az,t\n0,9.8,0\n", TextFormat()),
    ],
)
def test_more_columns_than_names_are_refused_in_every_layout(tmp_path, text, layout):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(UserError, match=r"has [34] names .* for [34] columns"):
        read_columns(tmp_path / "a.txt", ["ax", "ay"], text=layout)


@pytest.mark.parametrize("late", ["3 4\n", "3 4 5 6\n"])
def test_a_late_row_with_another_number_of_cells_is_refused(tmp_path, late):
    (tmp_path / "a.txt").write_text("x y z\n" + "1 2 3\n" * 50 + late)
    with pytest.raises(UserError, match="Expected 3 columns"):
        read_columns(tmp_path / "a.txt", ["x"], text=TextFormat(delimiter="whitespace"))


def test_encodings_are_read_or_named(tmp_path):
    path = tmp_path / "a.csv"
    text = "größe,label\n1,müde\n2,wach\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes(text.encode(encoding))
        values, (words,), _ = read_columns(path, ["größe"], ["label"])
        assert values.tolist() == [[1, 2]] and words.words == ("müde", "wach")
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r'not written in utf-8 \(byte 0xf6\).*encoding = "latin-1"'):
        read_columns(path, ["größe"], ["label"])
    _, (words,), _ = read_columns(path, [1], ["label"], text=TextFormat(encoding="latin-1"))
    assert words.words == ("müde", "wach")
    path.write_bytes("x,label\n1,müde\n".encode("latin-1"))  # the names alone are UTF-8
    with pytest.raises(UserError, match="say how it is written"):
        read_columns(path, ["x"], ["label"])
    path.write_bytes(text.encode("utf-16-le"))
    with pytest.raises(UserError, match='give encoding = "utf-16-le"'):
        read_columns(path, [1])
    spaced = tmp_path / "b.txt"
    spaced.write_bytes("x w\n1  müde\n".encode("latin-1"))
    _, (words,), _ = read_columns(
        spaced, [1], [2], text=TextFormat(delimiter="whitespace", encoding="latin-1")
    )
    assert words.words == ("müde",)


def test_cells_with_ends_of_lines_and_a_single_column_with_empty_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('x,"w\nw"\n1,"two\nlines"\n2,one\n')
    values, (words,), _ = read_columns(path, ["x"], [2])
    assert values.tolist() == [[1, 2]] and words.words == ("two\nlines", "one")
    path.write_text("x\n1\n\n3\n\n\n")
    (values,), _, _ = read_columns(path, ["x"])
    assert values[[0, 2]].tolist() == [1, 3] and np.isnan(values[1]) and len(values) == 3


def test_mat_files_of_both_versions(tmp_path):
    signal, stage = np.arange(12.0).reshape(2, 6), np.array([1, 1, np.nan, 2, 2, 2])
    scipy.io.savemat(
        tmp_path / "five.mat",
        {"val": signal, "stage": stage, "who": np.array(["a", "null"], object), "s": {"x": signal[0]}},
    )
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "seven.mat", "w", userblock_size=512) as file:
        file["val"], file["stage"], file["s/x"] = signal.T, stage[:, None], signal[0][:, None]
    for name in ("five.mat", "seven.mat"):
        path = tmp_path / name
        values, (words,), _ = read_columns(path, [2, 1], ["stage"], kind="mat", variable="val")
        assert values.tolist() == [list(range(6, 12)), list(range(6))]
        assert words.words == ("1", "2") and words.codes.tolist() == [0, 0, -1, 1, 1, 1]
        assert read_columns(path, ["s.x"], kind="mat")[0].tolist() == [list(range(6))]
        with pytest.raises(UserError, match="has no variable 'vall?l?': did you mean 'val'|known"):
            read_columns(path, ["vall"], kind="mat")
        with pytest.raises(UserError, match="has 2 channels, but channel 3"):
            read_columns(path, [3], kind="mat", variable="val")
        with pytest.raises(UserError, match="give variable"):
            read_columns(path, [1], kind="mat")
    _, (who,), _ = read_columns(tmp_path / "five.mat", words=["who"], kind="mat")
    assert who.words == ("a", "null")


def test_a_mat_file_as_a_table(tmp_path):
    scipy.io.savemat(tmp_path / "p.mat", {"val": np.zeros((3, 60)), "stage": np.arange(60) // 30})
    toml = '[signal]\nfiles = "{subject}.mat"\nvariable = "val"\nchannels = [1, 3]\nrate_hz = 10\n'
    toml += 'names = ["a", "b"]\n[labels]\nfrom = "column"\ncolumn = "stage"\n' + FRAMES
    (recording,) = read(tmp_path, toml)
    assert recording.signal.shape == (2, 60) and names(recording) == ["0"] * 30 + ["1"] * 30
