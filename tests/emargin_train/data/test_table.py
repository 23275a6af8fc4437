"""Your own recordings by a TOML file: formats, sources of labels, rates, joins; refusals by the command."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from emargin_train.config import DataConfig
from emargin_train.data import catalogue, load
from emargin_train.errors import UserError
from tests.emargin_train.data.made import command, refused, write_edf, write_wfdb

FRAMES = "[frames]\nlength_s = 1\nsequence_length = 3\n"


def read(tmp_path, toml, data_dir=None):
    """All recordings that a description finds."""
    (tmp_path / "my.toml").write_text(toml)
    dataset = catalogue.find(str(tmp_path / "my.toml"))
    config = DataConfig(dataset=str(tmp_path / "my.toml"), data_dir=data_dir and str(data_dir))
    return [recording for part in dataset.parts(config) for recording in part.read()]


def csv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


def names(recording):
    return [recording.class_names[c] if c >= 0 else None for c in recording.labels]


def test_labels_and_subjects_in_columns(tmp_path):
    rows = [(i, "a" if i < 60 else "b", "walk" if i % 40 < 20 else "", i / 10) for i in range(100)]
    csv(tmp_path / "all.csv", "n,who,what,x", rows)
    got = read(
        tmp_path,
        '[signal]\nfiles = "all.csv"\nchannels = ["x"]\nrate_hz = 10\nunits = "V"\n'
        '[labels]\nfrom = "column"\ncolumn = "what"\n[subject]\ncolumn = "who"\n' + FRAMES,
    )
    assert [(r.subject, r.signal.shape, r.units) for r in got] == [
        ("a", (1, 60), ("V",)),
        ("b", (1, 40), ("V",)),
    ]
    assert got[1].signal[0, 0] == 6 and got[0].class_names == ("walk",)
    assert names(got[0]) == [("walk" if i % 40 < 20 else None) for i in range(60)]
    assert names(got[1]) == [("walk" if i % 40 < 20 else None) for i in range(60, 100)]


def test_labels_and_subjects_in_names(tmp_path):
    for who in ("ann", "bob"):
        for what in ("run", "sit"):
            csv(tmp_path / "raw" / what / f"{who}_1.csv", "x", [(k,) for k in range(30)])
    got = read(
        tmp_path,
        'classes = ["sit", "run"]\n[signal]\nfiles = "raw/{label}/{subject}_{take}.csv"\nchannels = ["x"]\n'
        'rate_hz = 10\n[labels]\nfrom = "name"\n' + FRAMES,
    )
    assert [(r.record, r.subject, set(names(r))) for r in got] == [
        ("run-ann-1", "ann", {"run"}),
        ("run-bob-1", "bob", {"run"}),
        ("sit-ann-1", "ann", {"sit"}),
        ("sit-bob-1", "bob", {"sit"}),
    ]


def test_values_beside_the_signal_tell_its_rate(tmp_path):
    csv(tmp_path / "s1.csv", "x", [(k,) for k in range(200)])
    csv(tmp_path / "s1.hyp.csv", "stage", [(5,), (2,), (9,), (2,)])
    toml = (
        '[signal]\nfiles = "{night}.csv"\nchannels = ["x"]\n'
        '[labels]\nfrom = "values"\nfile = "{night}.hyp.csv"\nseconds = 5\nmap = { 5 = "W", 2 = "N2" }\n'
        + FRAMES
    )
    (tmp_path / "my.toml").write_text(toml)
    with pytest.raises(UserError, match="no file under .* for 's1.hyp.hyp.csv'"):
        read(tmp_path, toml)  # {night} also finds s1.hyp
    (recording,) = read(tmp_path, toml.replace('files = "{night}.csv"', 'files = "{night:2}.csv"'))
    assert recording.rate_hz == 10
    assert names(recording) == ["W"] * 50 + ["N2"] * 50 + [None] * 50 + ["N2"] * 50


def test_intervals_by_end_duration_and_constant(tmp_path):
    csv(tmp_path / "r.csv", "x", [(k,) for k in range(100)])
    csv(tmp_path / "r_marks.csv", "from,to,len,what", [(5, 7, 2, "b"), (1, 3, 2, "a"), (3, 4, 1, "a")])
    head = '[signal]\nfiles = "{r:1}.csv"\nchannels = ["x"]\nrate_hz = 10\n[labels]\nfrom = "intervals"\n'
    head += 'file = "{r}_marks.csv"\nstart = "from"\n'
    expected = [None] * 10 + ["a"] * 30 + [None] * 10 + ["b"] * 20 + [None] * 30
    for tail in ('end = "to"\n', 'duration = "len"\n'):
        (recording,) = read(tmp_path, head + tail + 'column = "what"\n' + FRAMES)
        assert names(recording) == expected
    (recording,) = read(tmp_path, head + 'end = "to"\nvalue = "spindle"\n' + FRAMES)
    assert [n is not None for n in names(recording)] == [n is not None for n in expected]


def test_intervals_and_stamps_share_a_clock(tmp_path):
    stamps = [f"2020-01-01 00:00:{k / 10:04.1f}" for k in range(100)]
    csv(tmp_path / "r.csv", "t,x", zip(stamps, range(100), strict=True))
    csv(tmp_path / "marks.csv", "a,b,what", [("2020-01-01 00:00:02", "2020-01-01 00:00:04", "on")])
    (recording,) = read(
        tmp_path,
        '[signal]\nfiles = "r.csv"\nchannels = ["x"]\ntime = "t"\n[labels]\nfrom = "intervals"\n'
        'file = "marks.csv"\nstart = "a"\nend = "b"\ncolumn = "what"\ntime_unit = "date"\n' + FRAMES,
    )
    assert recording.rate_hz == 10
    assert names(recording) == [None] * 20 + ["on"] * 20 + [None] * 60


def test_wfdb_rhythms_and_beats(tmp_path):
    signal = np.random.default_rng(0).normal(0, 0.2, (2500, 2))
    write_wfdb(tmp_path, "a1", signal, [(500, "(AFIB"), (1250, "TS"), (2000, "(N")])
    toml = '[signal]\nfiles = "{record}.hea"\nchannels = ["ECG2"]\n[labels]\nfrom = "annotations"\n'
    toml += 'prefix = "("\n' + FRAMES
    (recording,) = read(tmp_path, toml)
    assert recording.channels == ("ECG2",) and recording.units == ("mV",) and recording.rate_hz == 250
    assert names(recording) == [None] * 500 + ["AFIB"] * 1500 + ["N"] * 500
    assert np.abs(recording.signal[0] - signal[:, 1]).max() < 0.01
    (beats,) = read(tmp_path, toml.replace('prefix = "("', 'note = "symbol"'))
    assert names(beats) == [None] * 500 + ["+"] * 2000


def test_edf_with_its_own_and_with_separate_annotations(tmp_path):
    rng = np.random.default_rng(0)
    eeg, resp = rng.normal(0, 50, 6000), rng.normal(0, 1, 60)
    notes = [(0.0, 30.0, "Sleep stage W"), (30.0, None, "Sleep stage 2")]
    write_edf(tmp_path / "n1.edf", [("EEG", eeg, 100), ("Resp", resp, 1)], notes)
    toml = '[signal]\nfiles = "{n}.edf"\nchannels = ["EEG"]\n[labels]\nfrom = "annotations"\n'
    toml += 'prefix = "Sleep stage "\n' + FRAMES
    (recording,) = read(tmp_path, toml)
    assert names(recording) == ["W"] * 3000 + ["2"] * 3000
    assert np.abs(recording.signal[0] - eeg).max() < 0.02 and recording.units == ("uV",)

    from datetime import time

    write_edf(tmp_path / "n1.scores", [], [(0.0, 10.0, "Sleep stage R")], start=time(16, 13, 20))
    (tmp_path / "n1.scores").rename(tmp_path / "scores-n1.EDF")
    apart = toml.replace('"{n}.edf"', '"n{n}.edf"').replace("prefix", 'file = "scores-n{n}.EDF"\nprefix')
    (recording,) = read(tmp_path, apart)
    assert names(recording) == [None] * 2000 + ["R"] * 1000 + [None] * 3000, "the scoring began 20 s later"


def test_two_edf_rates_are_joined_as_two_signals(tmp_path):
    eeg, slow = np.zeros(6000), np.linspace(0, 59, 60)
    write_edf(tmp_path / "n1.edf", [("EEG", eeg, 100), ("Temp", slow, 1)], [(0.0, 60.0, "x")])
    both = '[signal]\nfiles = "n1.edf"\nchannels = ["EEG", "Temp"]\n[labels]\nfrom = "annotations"\n' + FRAMES
    with pytest.raises(UserError, match=r"at \[1.0, 100.0\] Hz: give one \[\[signal\]\] for each rate"):
        read(tmp_path, both)
    apart = (
        'rate_hz = 10\n[[signal]]\nfiles = "n1.edf"\nchannels = ["EEG"]\n'
        '[[signal]]\nfiles = "n1.edf"\nchannels = ["Temp"]\n[labels]\nfrom = "annotations"\n' + FRAMES
    )
    (recording,) = read(tmp_path, apart)
    assert recording.signal.shape == (2, 600)
    assert np.abs(recording.signal[1, 20:-20] - np.arange(600)[20:-20] / 10).max() < 0.2


def test_two_drifting_sensors_meet_on_time_and_a_gap_of_either_breaks(tmp_path):
    rng = np.random.default_rng(1)
    for name, start, rate in (("p", 100.0, 101.7), ("q", 101.3, 98.2)):
        time_s = start + np.cumsum(1 / rate * rng.uniform(0.9, 1.1, int(20 * rate)))
        if name == "q":
            time_s[1000:] += 3
        csv(
            tmp_path / f"1_{name}.csv",
            "t,x,label",
            ((f"{t:.4f}", f"{np.sin(t):.5f}", "a" if t < 110 else "b") for t in time_s),
        )
    signal = '[[signal]]\nfiles = "{}"\nchannels = ["x"]\ntime = "t"\ntime_unit = "s"\n'
    toml = "rate_hz = 50\n" + signal.format("{n}_p.csv") + signal.format("{n}_q.csv")
    got = read(tmp_path, toml + '[labels]\nfrom = "column"\ncolumn = "label"\n' + FRAMES)
    assert len(got) == 2 and all(r.signal.shape[0] == 2 for r in got)
    for r in got:
        start_s = 101.3 + r.start / 50
        truth = np.sin(start_s + np.arange(r.signal.shape[1]) / 50)
        assert np.abs(r.signal - truth)[:, 20:-20].max() < 0.03, "both sensors see the same sine"
        change = int((r.labels == 0).sum())
        assert abs((110 - start_s) * 50 - change) <= 2 or change in (0, r.labels.size)


def test_missing_cells_break_an_even_signal(tmp_path):
    csv(tmp_path / "a.csv", "x,label", [("" if k in (30, 31) else k, "u") for k in range(60)])
    toml = '[signal]\nfiles = "a.csv"\nchannels = ["x"]\nrate_hz = 10\n[labels]\nfrom = "column"\n'
    got = read(tmp_path, toml + 'column = "label"\n' + FRAMES)
    assert [(r.start, r.signal.shape[1]) for r in got] == [(0, 30), (32, 28)]


def test_rate_by_record_and_resampling_to_one(tmp_path):
    for record, rate in (("a", 20), ("b", 40)):
        csv(tmp_path / f"{record}.csv", "x,label", [(k / rate, "u") for k in range(10 * rate)])
    toml = (
        '[signal]\nfiles = "{record}.csv"\nchannels = ["x"]\nrate_hz = { a = 20, b = 40 }\n'
        '[labels]\nfrom = "column"\ncolumn = "label"\n' + FRAMES
    )
    with pytest.raises(UserError, match="record b has 40 samples per second, others 20: give rate_hz"):
        read(tmp_path, toml)
    got = read(tmp_path, "rate_hz = 20\n" + toml)
    assert [r.signal.shape for r in got] == [(1, 200), (1, 200)]
    assert np.abs(got[0].signal - got[1].signal).max() < 0.05
    with pytest.raises(UserError, match="record b has no rate: the table rate_hz lists a"):
        read(tmp_path, toml.replace(", b = 40", ""))


def test_parquet_and_pattern_in_folders(tmp_path):
    for who in ("s1", "s2"):
        (tmp_path / "deep" / who).mkdir(parents=True)
        table = pa.table({"t": np.arange(40) * 25, "x": np.arange(40.0), "y": ["a", "b"] * 20})
        pa.parquet.write_table(table, tmp_path / "deep" / who / "rec.parquet")
    got = read(
        tmp_path,
        '[signal]\nfiles = "**/{subject}/rec.parquet"\nchannels = ["x"]\ntime = "t"\ntime_unit = "ms"\n'
        '[labels]\nfrom = "column"\ncolumn = "y"\n' + FRAMES,
    )
    assert [(r.subject, r.rate_hz) for r in got] == [("s1", 40), ("s2", 40)]
    assert names(got[0])[:4] == ["a", "b", "a", "b"]


def test_a_subset_by_subjects_reads_no_other_file(tmp_path):
    for who in ("1", "2", "3"):
        csv(tmp_path / f"{who}.csv", "x,label", [(k, k % 2) for k in range(30)])
    (tmp_path / "3.csv").write_text("broken")
    (tmp_path / "my.toml").write_text(GOOD)
    config = DataConfig(dataset=str(tmp_path / "my.toml"), subjects=2)
    parts = catalogue.find(config.dataset).parts(config)
    assert [r.subject for part in parts for r in part.read()] == ["1", "2"]


def test_classes_from_folder_names(tmp_path):
    for what in ("run", "sit"):
        csv(tmp_path / f"{what}.csv", "x", [(k,) for k in range(30)])
    got = read(
        tmp_path,
        '[signal]\nfiles = "[!q]*{label:2}.csv"\nchannels = [1]\nrate_hz = 10\n[labels]\nfrom = "name"\n'
        + FRAMES,
    )
    assert [(r.class_names, r.subject) for r in got] == [(("it", "un"), "un"), (("it", "un"), "it")]


def test_intervals_that_overlap_with_their_like_and_sensors_that_barely_meet(tmp_path):
    csv(tmp_path / "a.csv", "x", [(k,) for k in range(60)])
    csv(tmp_path / "m.csv", "a,b", [(1, 3), (2, 4), (2.5, 3.5)])
    toml = '[signal]\nfiles = "a.csv"\nchannels = ["x"]\nrate_hz = 10\n[labels]\nfrom = "intervals"\n'
    toml += 'file = "m.csv"\nstart = 1\nend = 2\nvalue = "v"\n'
    (recording,) = read(tmp_path, toml + FRAMES)
    assert names(recording) == [None] * 10 + ["v"] * 30 + [None] * 20
    csv(tmp_path / "m.csv", "a,b", [])
    (recording,) = read(tmp_path, 'classes = ["v"]\n' + toml + FRAMES)
    assert set(names(recording)) == {None}
    signal = '[[signal]]\nfiles = "{}.csv"\nchannels = ["x"]\ntime = "t"\ntime_unit = "s"\n'
    csv(tmp_path / "p.csv", "t,x,label", [(k / 10, k, "u") for k in range(50)])
    csv(tmp_path / "q.csv", "t,x", [(4.95 + k / 10, k) for k in range(50)])
    label = '[labels]\nfrom = "column"\ncolumn = "label"\n'
    with pytest.raises(UserError, match="have no time in common"):
        read(tmp_path, "rate_hz = 10\n" + signal.format("p") + signal.format("q") + label + FRAMES)


def test_one_person_under_two_names(tmp_path):
    for who in ("1", "2", "3"):
        csv(tmp_path / f"{who}.csv", "x,label", [(k, k % 2) for k in range(30)])
    got = read(
        tmp_path,
        '[signal]\nfiles = "{subject}.csv"\nchannels = ["x"]\nrate_hz = 10\n'
        '[labels]\nfrom = "column"\ncolumn = "label"\n[subject]\nsame = [["1", "3"]]\n' + FRAMES,
    )
    assert [r.subject for r in got] == ["1+3", "2", "1+3"]


def test_the_whole_line_from_toml_to_frames(tmp_path):
    """Frames in samples, subjects apart, cached under the description's content."""
    rng = np.random.default_rng(0)
    for who in range(6):
        rows = [(f"{v:.3f}", k // 50 % 2) for k, v in enumerate(rng.normal(0, 1, 600))]
        csv(tmp_path / f"{who}.csv", "x,label", rows)
    toml = (
        '[signal]\nfiles = "{subject}.csv"\nchannels = ["x"]\nrate_hz = 10\n[labels]\nfrom = "column"\n'
        'column = "label"\n[frames]\nlength = 10\nhop = 5\nsequence_length = 20\nnormalise = "channel"\n'
    )
    (tmp_path / "my.toml").write_text(toml)
    splits = load(DataConfig(dataset=str(tmp_path / "my.toml")))
    assert splits.train.shape[1:] == (20, 6) and splits.class_names == ("0", "1")
    sides = [set(frames.subject) for frames in splits.sides().values()]
    assert sum(map(len, sides)) == 6 and len(set.union(*sides)) == 6
    (tmp_path / "my.toml").write_text(toml.replace("hop = 5", "hop = 10"))
    again = load(DataConfig(dataset=str(tmp_path / "my.toml")))
    assert again.data_hash != splits.data_hash
    assert sum(map(len, again.sides().values())) < sum(map(len, splits.sides().values()))


GOOD = (
    '[signal]\nfiles = "{subject}.csv"\nchannels = ["x"]\nrate_hz = 10\n'
    '[labels]\nfrom = "column"\ncolumn = "label"\n' + FRAMES
)
INTERVALS = '[labels]\nfrom = "intervals"\nfile = "m.csv"\nstart = 1\nend = 2\nvalue = "v"\n'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rate_hz", "rate_khz", "signal[1].rate_khz is not a key: did you mean 'rate_hz'?"),
        ("[frames]", "[framse]", "frames is missing"),
        (
            "sequence_length = 3",
            "sequence_length = 3\nsequence_lenght = 4",
            "frames.sequence_lenght is not a key: did",
        ),
        ("sequence_length = 3", "sequence_length = 2", "frames.sequence_length is '2'"),
        ("sequence_length = 3", "sequence_length = true", "frames.sequence_length is 'True'"),
        ("length_s = 1", "length_s = 1\nlength = 10", "frames.length is 'given twice'"),
        ("length_s = 1", "", "frames.length is 'missing'"),
        ("length_s = 1", "length_s = -1", "must be seconds, above 0"),
        ("length_s = 1", "length_s = nan", "must be seconds, above 0"),
        ('from = "column"', 'from = "colunm"', "labels.from is 'colunm': did you mean 'column'?"),
        ('from = "column"', 'from = "name"', "a {label} in the first signal's files"),
        ('from = "column"\ncolumn = "label"', 'from = "annotations"', "EDF or WFDB signals"),
        ('channels = ["x"]', 'channels = ["z"]', "has no column 'z': known: label, x"),
        ('channels = ["x"]', "channels = []", "a list of columns"),
        ('channels = ["x"]', 'channels = ["x", "x"]', "different names, or positions"),
        ('channels = ["x"]', 'channels = ["x"]\nnames = ["p", "q"]', "1 names, one for each channel"),
        ('channels = ["x"]', 'channels = ["x"]\nunits = ["p", "q"]', "a unit, or one for each channel"),
        ('channels = ["x"]', 'channels = ["x"]\ndelimiter = "ab"', "one character or 'whitespace'"),
        ('channels = ["x"]', 'channels = ["x"]\ndecimal = ","', "different from the delimiter"),
        ('column = "label"', 'column = "lable"', "has no column 'lable': did you mean 'label'?"),
        ('column = "label"', "column = 0", "a position counted from 1"),
        ('column = "label"', 'column = "label"\nmap = { q = "Q" }', "no labelled frame"),
        ('column = "label"', 'column = "label"\nmap = {}', "value as written = class"),
        ('files = "{subject}.csv"', 'files = "/etc/{subject}.csv"', "leaves the data folder"),
        ('files = "{subject}.csv"', 'files = "../{subject}.csv"', "leaves the data folder"),
        ('files = "{subject}.csv"', 'files = "{subject}.tsv"', "matches '{subject}.tsv'"),
        ('files = "{subject}.csv"', 'files = "{subject}.xyz"', "signal[1].format is missing"),
        ('files = "{subject}.csv"', 'files = "*.csv"\nformat = "edf"', "from is 'column'"),
        ("rate_hz = 10\n", "", "does not tell its rate"),
        ("rate_hz = 10\n", "rate_hz = 0\n", "signal[1].rate_hz is '0'"),
        ("rate_hz = 10\n", 'time = "x"\n', "times that are no dates"),
        ("rate_hz = 10\n", "rate_hz = { q = 10 }\n", "has no rate"),
        ("[signal]", "[[signal]]\n[[signal]]", "signal[1].files is missing"),
        ("[signal]", "signal = 5\n[x]", "signal is '5'"),
        ("[labels]", 'classes = ["a", "a"]\n[labels]', "is not a key"),
        ("[labels]", "[labels", "is not TOML"),
        ('[labels]\nfrom = "column"\ncolumn = "label"\n', INTERVALS, "no file under"),
        (
            '[labels]\nfrom = "column"\ncolumn = "label"\n',
            INTERVALS.replace("end = 2", "end = 2\nduration = 3"),
            "labels.end",
        ),
        ("[signal]", "signal = []\n[x]", "one or more [[signal]] tables"),
        ("[signal]", "signal = [1]\n[x]", "signal[1] is '1', but must be a table of keys"),
        ('files = "{subject}.csv"', 'files = ""', "signal[1].files is ''"),
        ('files = "{subject}.csv"', 'files = "[z-a]{subject}.csv"', "is not a pattern of files"),
        ('files = "{subject}.csv"', 'files = "{1}.csv"', "is not a pattern of files"),
        ('files = "{subject}.csv"', 'files = "**{subject}.csv"', "is not a pattern of files|no file under"),
        ("[frames]", '[subject]\nsame = ["a"]\n[frames]', "lists of subjects who are one person"),
        ("[signal]", 'classes = ["a", "a"]\n[signal]', "a list of different class names"),
        ("[signal]", 'classes = ["z"]\n[signal]', "no labelled frame"),
        ("[signal]", f'title = "{"x" * 1_000_000}"\n[signal]', "over 1,000,000 bytes"),
        ("rate_hz = 10\n", "rate_hz = 10\nskip_lines = 1000\n", "has no line after the 1000 skipped"),
        (
            "[labels]",
            '[[signal]]\nfiles = "{subject}.csv"\nchannels = [1]\ntime = 1\n[labels]',
            "is not TOML",
        ),
        (
            'column = "label"',
            'column = "label"\nmap = { 1 = "p" }\n[subject]\ncolumn = "who"',
            "has no column 'who'",
        ),
        (
            '[labels]\nfrom = "column"\ncolumn = "label"\n',
            'classes = ["q"]\n[labels]\nfrom = "column"\ncolumn = "label"\nmap = { 1 = "p" }\n',
            "is not a key",
        ),
        (
            '[labels]\nfrom = "column"\ncolumn = "label"\n',
            INTERVALS.replace('value = "v"', ""),
            "labels.column is 'None', but must be given, or value",
        ),
    ],
)
def test_descriptions_refused_by_the_command(tmp_path, capsys, old, new, said):
    for who in "ab":
        csv(tmp_path / f"{who}.csv", "x,label", [(k, k % 2) for k in range(60)])
    assert old in GOOD
    (tmp_path / "my.toml").write_text(GOOD.replace(old, new))
    message = refused(capsys, "describe", tmp_path / "my.toml")
    assert any(one in message for one in said.split("|")), message


def test_descriptions_of_several_signals_refused_by_the_command(tmp_path, capsys):
    signal = '[[signal]]\nfiles = "{n}.csv"\nchannels = ["x"]\n'
    labels = '[labels]\nfrom = "column"\ncolumn = "label"\n'
    csv(tmp_path / "1.csv", "x,t,who,label", [(1, 1, "", 1)] * 5)

    def said(text: str) -> str:
        (tmp_path / "my.toml").write_text(text + FRAMES)
        return refused(capsys, "describe", tmp_path / "my.toml")

    assert "signals are joined on time, give all" in said(signal + 'time = "t"\n' + signal + labels)
    assert "left out unless there is one signal" in said(2 * signal + labels + '[subject]\ncolumn = "who"\n')
    assert "no value of labels.map is in classes" in said(
        'classes = ["q"]\n' + signal + labels + 'map = { 1 = "p" }\n'
    )
    assert "names {m}, but the first" in said(signal + signal.replace("{n}", "{m}") + labels)
    assert "row 1 has no subject" in said(signal + "rate_hz = 5\n" + labels + '[subject]\ncolumn = "who"\n')
    notes = '[labels]\nfrom = "annotations"\nfile = "{n}.csv"\n'
    assert "an EDF+ file; for WFDB leave it out" in said(signal + notes)


def test_data_refused_by_the_command(tmp_path, capsys):
    toml = tmp_path / "my.toml"
    toml.write_text(GOOD)
    assert "is not a folder" in refused(capsys, "describe", toml, "--data-dir", tmp_path / "absent")
    assert "no file under" in refused(capsys, "describe", toml)
    assert "does not exist" in refused(capsys, "describe", tmp_path / "absent.toml")
    outside = tmp_path / "outside.csv"
    csv(outside, "x,label", [(1, 1)])
    inside = tmp_path / "data"
    inside.mkdir()
    (inside / "a.csv").symlink_to(outside)
    assert "links to" in refused(capsys, "describe", toml, "--data-dir", inside)
    (inside / "a.csv").unlink()
    csv(inside / "a.csv", "x,label", [])
    assert "no recording has a label" in refused(capsys, "describe", toml, "--data-dir", inside)
    toml.write_text('classes = ["u"]\n' + GOOD)
    assert "holds no sample" in refused(capsys, "describe", toml, "--data-dir", inside)
    toml.write_text(GOOD)
    csv(inside / "a.csv", "x,label", [("", "u")] * 5)
    assert "holds no two samples" in refused(capsys, "describe", toml, "--data-dir", inside)
    csv(inside / "a.csv", "x,label", [(k, k) for k in range(300)])
    assert "over 200 different values" in refused(capsys, "describe", toml, "--data-dir", inside)
    csv(inside / "a.csv", "x,label", [(1, "")] * 5)
    assert "no recording has a label" in refused(capsys, "describe", toml, "--data-dir", inside)


def test_two_files_for_one_record_are_refused(tmp_path, capsys):
    for folder in ("p", "q"):
        csv(tmp_path / folder / "a.csv", "x,label", [(1, 1)])
    (tmp_path / "my.toml").write_text(GOOD.replace('"{subject}.csv"', '"*/{subject}.csv"'))
    assert "would both be record 'a'" in refused(capsys, "describe", tmp_path / "my.toml")


def test_a_partner_that_is_missing_or_never_overlaps_is_named(tmp_path, capsys):
    signal = '[[signal]]\nfiles = "{}"\nchannels = ["x"]\ntime = "t"\ntime_unit = "s"\n'
    toml = "rate_hz = 10\n" + signal.format("{n}_p.csv") + signal.format("{n}_q.csv")
    (tmp_path / "my.toml").write_text(toml + '[labels]\nfrom = "column"\ncolumn = "label"\n' + FRAMES)
    csv(tmp_path / "1_p.csv", "t,x,label", [(k / 10, k, "u") for k in range(50)])
    assert "each recording needs exactly one" in refused(capsys, "describe", tmp_path / "my.toml")
    csv(tmp_path / "1_q.csv", "t,x", [(1000 + k / 10, k) for k in range(50)])
    assert "have no time in common" in refused(capsys, "describe", tmp_path / "my.toml")
    (tmp_path / "my.toml").write_text((toml + FRAMES).replace("{n}_q", "{m}_q") + '[labels]\nfrom="name"\n')
    assert "{label}" in refused(capsys, "describe", tmp_path / "my.toml")


def test_overlapping_and_reversed_intervals_are_named(tmp_path, capsys):
    csv(tmp_path / "a.csv", "x,label", [(k, 0) for k in range(60)])
    (tmp_path / "my.toml").write_text(
        '[signal]\nfiles = "a.csv"\nchannels = ["x"]\nrate_hz = 10\n[labels]\nfrom = "intervals"\n'
        'file = "m.csv"\n'
        "start = 1\nend = 2\ncolumn = 3\n" + FRAMES
    )
    csv(tmp_path / "m.csv", "a,b,c", [(0, 3, "u"), (2, 4, "v")])
    assert "at 2 s both 'u' and 'v' hold" in refused(capsys, "describe", tmp_path / "my.toml")
    csv(tmp_path / "m.csv", "a,b,c", [(3, 1, "u")])
    assert "ends at 1 s, before it starts at 3 s" in refused(capsys, "describe", tmp_path / "my.toml")
    csv(tmp_path / "m.csv", "a,b,c", [(3, "", "u")])
    assert "has no start or no end" in refused(capsys, "describe", tmp_path / "my.toml")


SECONDS = {  # PROVENANCE.md
    "dreams-sleep": {"W": 1200, "N1": 1040, "N2": 4980, "N3": 1780, "REM": 0},
    "mitdb": {"N": 27689, "AFIB": 7956, "AFL": 785, "J": 279},
    "geotec": {"WALKING": 28.6, "TURNING": 14.1, "SITTING_DOWN": 9.2, "STANDING_UP": 7.8, "SEATED": 7.7},
    "selfback": {
        "walk_mod": 1067.3,
        "jogging": 1340.4,
        "upstairs": 449.4,
        "downstairs": 386.8,
        "standing": 1072.1,
        "sitting": 1048.0,
        "lying": 1068.6,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SECONDS)
def test_examples_agree_with_what_is_known_of_the_recordings(shared, name):
    from pathlib import Path

    toml = Path(__file__).parents[3] / "examples" / f"{name}.toml"
    dataset = catalogue.find(str(toml))
    found: dict[str, float] = {}
    for part in dataset.parts(DataConfig(dataset=str(toml), data_dir=str(shared / "data"))):
        for r in part.read():
            for code, cls in enumerate(r.class_names):
                found[cls] = found.get(cls, 0) + float((r.labels == code).sum()) / r.rate_hz
    assert found == pytest.approx(SECONDS[name], abs=0.6 if name != "geotec" else 0.15)


@pytest.mark.slow
@pytest.mark.parametrize("name", SECONDS)
def test_examples_are_described_by_the_command(shared, tmp_path, capsys, name):
    from pathlib import Path

    toml = Path(__file__).parents[3] / "examples" / f"{name}.toml"
    split = "time" if name == "geotec" else "subject"  # one subject
    picture = tmp_path / "a.png"
    code, out, err = command(
        capsys, "describe", toml, "--data-dir", shared / "data", "--split", split, "--plot", picture,
        "--subjects", 16,
    )  # fmt: skip
    assert code == 0, err
    assert all(cls in out for cls in SECONDS[name]) and "means something" in out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_description_in_the_documentation_is_one():
    import re
    import tomllib
    from pathlib import Path

    from emargin_train.data.table_spec import parse_spec

    text = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, flags=re.S)
    spec = parse_spec(tomllib.loads(block), Path("docs.toml"))
    assert len(spec.signals) == 2 and spec.labels.map == {"1": "sit", "2": "walk", "3": "run"}
