"""Your own recordings by a TOML file: formats, sources of labels, rates, joins."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from emargin_train.data import catalogue, load
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError
from tests.emargin_train.data.made import FRAMES, GOOD, csv, write_edf, write_wfdb


def read(tmp_path, toml, data_dir=None):
    """All recordings that a description finds."""
    (tmp_path / "my.toml").write_text(toml)
    dataset = catalogue.find(str(tmp_path / "my.toml"))
    config = DataConfig(dataset=str(tmp_path / "my.toml"), data_dir=data_dir and str(data_dir))
    return [recording for part in dataset.parts(config) for recording in part.read()]


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
    subjects = [set(frames.subject) for frames in splits.by_name().values()]
    assert sum(map(len, subjects)) == 6 and len(set.union(*subjects)) == 6
    (tmp_path / "my.toml").write_text(toml.replace("hop = 5", "hop = 10"))
    again = load(DataConfig(dataset=str(tmp_path / "my.toml")))
    assert again.data_hash != splits.data_hash
    assert sum(map(len, again.by_name().values())) < sum(map(len, splits.by_name().values()))
