"""Annotations with clocks of their own, units of one set, valid files that look odd."""

import datetime

import numpy as np
import pytest

from emargin_train.config import DataConfig
from emargin_train.data import catalogue, edf_files, load, units, wfdb_files
from emargin_train.data.sequences import checked, read_all
from emargin_train.errors import UserError
from tests.emargin_train.data.made import FRAMES, csv, refused, write_edf, write_wfdb
from tests.emargin_train.data.test_table import names, read

EDF = '[signal]\nfiles = "{subject}-PSG.edf"\nchannels = ["EEG"]\n[labels]\nfrom = "annotations"\n'
EDF += 'file = "{subject}-Hyp.edf"\nprefix = "Sleep stage "\n' + FRAMES
HIDDEN = b"Startdate X X X X"


def dated(path, day, second):
    """The file with another date (None = taken out) and time of day."""
    content = bytearray(path.read_bytes())
    start = datetime.datetime(2000, 1, 1) + datetime.timedelta(seconds=second)
    content[176:184] = start.strftime("%H.%M.%S").encode()
    content[168:176] = b"01.01.85" if day is None else day.strftime("%d.%m.%y").encode()
    word = HIDDEN if day is None else b"Startdate " + day.strftime("%d-%b-%Y").upper().encode() + b" X X X"
    content[88:168] = word.ljust(80)
    path.write_bytes(content)


def night(
    folder, signal_start, notes_start, notes=((0.0, 600.0, "Sleep stage W"), (600.0, 300.0, "Sleep stage 2"))
):
    write_edf(folder / "s1-PSG.edf", [("EEG", np.zeros(20 * 1800), 20)], record_s=30)
    write_edf(folder / "s1-Hyp.edf", [], list(notes))
    dated(folder / "s1-PSG.edf", *signal_start)
    dated(folder / "s1-Hyp.edf", *notes_start)


DAY, LATER = datetime.date(2020, 1, 2), datetime.date(2020, 1, 3)
TEN = 22 * 3600
EXPECTED = [None] * 6000 + ["W"] * 12000 + ["2"] * 6000 + [None] * 12000


@pytest.mark.parametrize(
    ("signal", "notes"),
    [
        ((DAY, TEN), (DAY, TEN + 300)),
        ((None, TEN), (None, TEN + 300)),
        ((None, TEN), (DAY, TEN + 300)),
        ((DAY, TEN), (None, TEN + 300)),
        ((datetime.date(1985, 1, 1), TEN), (DAY, TEN + 300)),
        ((DAY, 86100), (LATER, 0)),
        ((None, 86100), (None, 0)),
        ((None, 86100), (LATER, 0)),
    ],
)
def test_scoring_that_starts_elsewhere_is_matched_by_what_both_files_state(tmp_path, signal, notes):
    night(tmp_path, signal, notes)
    (recording,) = read(tmp_path, EDF)
    assert names(recording) == EXPECTED


def test_clocks_that_cannot_be_matched_are_refused(tmp_path, capsys):
    night(tmp_path, (datetime.date(1999, 5, 1), TEN), (DAY, TEN + 300))
    (tmp_path / "my.toml").write_text(EDF)
    assert "their clocks do not match" in refused(capsys, "describe", tmp_path / "my.toml")
    night(tmp_path, (DAY, TEN), (DAY, TEN + 7200))
    assert "none of the labels of record s1 lies within" in refused(capsys, "describe", tmp_path / "my.toml")


@pytest.mark.parametrize(
    "text", ["Sleep stage W\nbright", "Sleep stage müde", "Sleep stage 日本", "Sleep stage W;x,y"]
)
def test_edf_notes_of_any_text_are_kept(tmp_path, text):
    path = write_edf(tmp_path / "a.edf", [("EEG", np.zeros(2000), 100)], [(2.0, 5.0, text), (9.0, 1.0, "b")])
    found, _ = edf_files.notes(path)
    assert [(n.start_s, n.seconds, n.text) for n in found] == [(2, 5, text), (9, 1, "b")]


def test_edf_notes_and_headers_in_latin_1(tmp_path):
    path = write_edf(tmp_path / "a.edf", [("EEG", np.full(200, 40.0), 100)], [(0.0, 1.0, "Sleep stage mxde")])
    content = path.read_bytes().replace(b"mxde", "müde".encode("latin-1"))
    place = 256 + 2 * (16 + 80)
    content = content[:place] + "µV".encode("latin-1").ljust(8) + content[place + 8 :]
    path.write_bytes(content)
    found, _ = edf_files.notes(path)
    assert [n.text for n in found] == ["Sleep stage müde"]
    values, _, _, unit, _ = edf_files.channels(path, ["EEG"])
    assert unit == ["µV"] and units.plain(unit[0]) == "uV" and values.mean() == pytest.approx(40, abs=0.1)


def test_bdf_is_read_as_edfio_reads_it(tmp_path):
    import edfio

    wave = np.sin(np.arange(2000) / 9) * 100
    bdf = edfio.Bdf(
        [edfio.BdfSignal(wave, 100, label="EEG", physical_dimension="uV", physical_range=(-500, 500))],
        annotations=[edfio.EdfAnnotation(3, 4, "Sleep stage W"), edfio.EdfAnnotation(7, 2, "Sleep stage 2")],
    )
    bdf.write(tmp_path / "s1.bdf")
    toml = '[signal]\nfiles = "{s}.bdf"\nchannels = ["EEG"]\n[labels]\nfrom = "annotations"\n'
    (recording,) = read(tmp_path, toml + 'prefix = "Sleep stage "\n' + FRAMES)
    assert np.abs(recording.signal[0] - wave).max() < 1e-3
    assert names(recording) == [None] * 300 + ["W"] * 400 + ["2"] * 200 + [None] * 1100


def write_notes(folder, name, samples, texts, fs=None):
    import wfdb

    wfdb.wrann(
        name, "atr", np.array(samples), symbol=["+"] * len(samples), aux_note=list(texts), fs=fs,
        write_dir=str(folder),
    )  # fmt: skip


def test_wfdb_notes_with_a_resolution_of_their_own(tmp_path):
    signal = np.random.default_rng(0).normal(0, 0.2, (2500, 1))
    toml = (
        '[signal]\nfiles = "{r}.hea"\nchannels = [1]\n[labels]\nfrom = "annotations"\nprefix = "("\n' + FRAMES
    )
    for fs, scale in ((None, 1), (250, 1), (1000, 4), (25, 0.1)):
        write_wfdb(tmp_path, "a1", signal, [(0, "(N")])
        write_notes(tmp_path, "a1", [int(500 * scale), int(2000 * scale)], ["(AFIB", "(N"], fs)
        (recording,) = read(tmp_path, toml)
        assert names(recording) == [None] * 500 + ["AFIB"] * 1500 + ["N"] * 500, fs


def test_wfdb_labels_before_the_first_note_and_without_notes(tmp_path):
    signal = np.random.default_rng(0).normal(0, 0.2, (1000, 1))
    write_wfdb(tmp_path, "a1", signal, [(500, "(AFIB")])
    write_wfdb(tmp_path, "a2", signal, [(300, "note")])
    toml = '[signal]\nfiles = "{r}.hea"\nchannels = [1]\n[labels]\nfrom = "annotations"\nprefix = "("\n'
    toml += 'before_first = "N"\nwithout_notes = "N"\nmap = { N = "normal", AFIB = "AF" }\n' + FRAMES
    one, other = read(tmp_path, toml)
    assert names(one) == ["normal"] * 500 + ["AF"] * 500 and names(other) == ["normal"] * 1000


def test_edf_labels_before_the_first_note(tmp_path):
    notes = [(10.0, 5.0, "Sleep stage 2")]
    write_edf(tmp_path / "a.edf", [("EEG", np.zeros(2000), 100)], notes)
    toml = '[signal]\nfiles = "{r}.edf"\nchannels = ["EEG"]\n[labels]\nfrom = "annotations"\n'
    toml += 'prefix = "Sleep stage "\nbefore_first = "W"\n' + FRAMES
    (recording,) = read(tmp_path, toml)
    assert names(recording) == ["W"] * 1000 + ["2"] * 500 + [None] * 500


def test_wfdb_texts_beyond_ascii(tmp_path):
    for text in ("(AFIB é", "(日本"):
        write_wfdb(tmp_path, "a1", np.zeros((500, 1)), [(0, "(N")])
        content = (tmp_path / "a1.atr").read_bytes()
        raw = text.encode()
        raw += b"\0" * (len(raw) % 2)
        at = content.index(b"(N")
        (tmp_path / "a1.atr").write_bytes(
            content[: at - 2] + bytes([len(text.encode()), 0xFC]) + raw + content[at + 2 :]
        )
        assert [n.text for n in wfdb_files.notes(tmp_path / "a1.hea", "atr")] == [text]


@pytest.mark.parametrize(
    ("own", "wanted", "by"),
    [
        ("uV", "mV", 1e-3), ("µV", "uV", 1), ("μV", "V", 1e-6), ("m/s²", "g", 1 / 9.80665),
        ("mg", "m/s2", 9.80665e-3), ("deg/s", "rad/s", np.pi / 180), ("mmHg", "mmHg", 1),
        ("mmHg", "mV", None), ("", "mV", None), ("g", "rad/s", None),
    ],
)  # fmt: skip
def test_units(own, wanted, by):
    assert units.factor(own, wanted) == (by if by is None else pytest.approx(by))


def edfs_in_units(folder, second_unit, second_scale, second_label="C3"):
    for k, (unit, scale, label) in enumerate([("uV", 1, "C3"), (second_unit, second_scale, second_label)]):
        path = write_edf(
            folder / f"s{k}.edf",
            [(label, np.sin(np.arange(2000) / 5) * 50, 100)],
            [(0, 10, "W"), (10, 10, "N")],
        )
        content = bytearray(path.read_bytes())
        place = 256 + 2 * 96
        content[place : place + 8] = unit.encode("latin-1").ljust(8)
        content[place + 16 : place + 24] = f"{-500 * scale:g}".encode().ljust(8)
        content[place + 32 : place + 40] = f"{500 * scale:g}".encode().ljust(8)
        path.write_bytes(content)


UNITS = '[signal]\nfiles = "{subject}.edf"\nchannels = ["C3"]\n[labels]\nfrom = "annotations"\n' + FRAMES


def agreeing(folder, toml):
    (folder / "my.toml").write_text(toml)
    dataset = catalogue.find(str(folder / "my.toml"))
    parts = dataset.parts(DataConfig(dataset=str(folder / "my.toml")))
    return [recording for _, recording in checked(dataset, read_all(parts))]


@pytest.mark.parametrize(("unit", "scale"), [("mV", 1e-3), ("V", 1e-6), ("µV", 1), ("nV", 1e3)])
def test_recordings_in_other_units_are_converted(tmp_path, unit, scale):
    edfs_in_units(tmp_path, unit, scale)
    for toml, wanted, sd in (
        (UNITS, "uV", 35.36),
        (UNITS.replace("[labels]", 'units = "mV"\n[labels]'), "mV", 0.03536),
    ):
        got = agreeing(tmp_path, toml)
        assert [r.units for r in got] == [(wanted,)] * 2
        assert [r.signal.std() for r in got] == pytest.approx([sd] * 2, rel=0.01)


@pytest.mark.parametrize("unit", ["mmHg", "", "counts"])
def test_recordings_in_units_that_cannot_be_converted_are_refused(tmp_path, capsys, unit):
    edfs_in_units(tmp_path, unit, 1)
    (tmp_path / "my.toml").write_text(UNITS)
    assert "record s1 is in" in refused(capsys, "describe", tmp_path / "my.toml")
    if unit:
        (tmp_path / "my.toml").write_text(UNITS.replace("[labels]", 'units = "uV"\n[labels]'))
        assert "cannot be converted to the 'uV' of units" in refused(capsys, "describe", tmp_path / "my.toml")


def test_channels_by_position_that_are_not_the_same_are_refused_or_named(tmp_path, capsys):
    edfs_in_units(tmp_path, "uV", 1, "C4")
    by_position = UNITS.replace('["C3"]', "[1]")
    (tmp_path / "my.toml").write_text(by_position)
    assert "record s1 has the channels C4, but record s0 C3" in refused(
        capsys, "describe", tmp_path / "my.toml"
    )
    got = agreeing(tmp_path, by_position.replace("[labels]", 'names = ["central"]\n[labels]'))
    assert [r.channels for r in got] == [("central",)] * 2
    assert [r.source.channels for r in got] == [("C3",), ("C4",)]


def test_tables_with_their_columns_in_another_order_are_refused_by_position(tmp_path):
    csv(tmp_path / "a.csv", "x,y,label", [(k, 1, k % 2) for k in range(30)])
    csv(tmp_path / "b.csv", "y,x,label", [(1, k, k % 2) for k in range(30)])
    toml = '[signal]\nfiles = "{s}.csv"\nchannels = [1, 2]\nrate_hz = 10\n'
    toml += '[labels]\nfrom = "column"\ncolumn = "label"\n'
    with pytest.raises(UserError, match="record b has the channels y, x, but record a x, y"):
        agreeing(tmp_path, toml + FRAMES)
    one, other = agreeing(tmp_path, toml.replace("[1, 2]", '["x", "y"]') + FRAMES)
    assert (one.signal == other.signal).all()


def test_ecg_records_with_other_leads_are_called_by_number_and_put_in_order(tmp_path):
    import wfdb

    rng = np.random.default_rng(0)
    for name, leads in (("1", ["MLII", "V1"]), ("2", ["MLII", "V5"]), ("3", ["V5", "MLII"])):
        values = np.stack(
            [np.sin(np.arange(2000) / 9) if lead == "MLII" else rng.normal(0, 1, 2000) for lead in leads]
        )
        wfdb.wrsamp(name, 250, ["mV"] * 2, leads, p_signal=values.T, fmt=["16"] * 2, write_dir=str(tmp_path))
        write_notes(tmp_path, name, [0, 1000], ["(N", "(AFIB"])
    parts = catalogue.find("ecg").parts(DataConfig(dataset="ecg", data_dir=str(tmp_path)))
    got = [r for part in parts for r in part.read()]
    assert {r.channels for r in got} == {("lead 1", "lead 2")}
    assert [r.source.channels for r in got] == [("MLII", "V1"), ("MLII", "V5"), ("MLII", "V5")]
    assert max(np.abs(r.signal[0] - np.sin(np.arange(2000) / 9)).max() for r in got) < 0.01


def skewed(folder, skew):
    write_wfdb(folder, "a1", np.round(np.random.default_rng(0).normal(0, 0.2, (1000, 2)), 2), [(0, "(N")])
    header = (folder / "a1.hea").read_text().splitlines()
    header[2] = header[2].replace(" 212 ", f" 212:{skew} ", 1)
    (folder / "a1.hea").write_text("\n".join(header) + "\n")


@pytest.mark.parametrize("skew", [0, 1, 3, 40])
def test_skewed_signals_are_read_as_wfdb_reads_them(tmp_path, skew):
    import wfdb

    skewed(tmp_path, skew)
    expected = wfdb.rdrecord(str(tmp_path / "a1")).p_signal.T
    values, rate_hz, *_ = wfdb_files.channels(tmp_path / "a1.hea", [1, 2])
    assert rate_hz == 250
    np.testing.assert_allclose(values[:, : 1000 - skew], expected[:, : 1000 - skew], atol=1e-6)
    assert np.isnan(values[1, 1000 - skew :]).all()


@pytest.mark.parametrize("fmt", ["16", "212", "516"])
def test_several_samples_a_frame_have_their_own_rates(tmp_path, fmt):
    import wfdb

    rng = np.random.default_rng(0)
    signal = [np.round(rng.normal(0, 0.3, 4000), 2), np.round(rng.normal(0, 0.3, 1000), 2)]
    wfdb.wrsamp(
        "m1", fs=125, units=["mV", "mmHg"], sig_name=["ECG", "ABP"], e_p_signal=signal,
        samps_per_frame=[4, 1],
        fmt=[fmt] * 2, adc_gain=[200.0, 100.0], baseline=[0, 0], write_dir=str(tmp_path),
    )  # fmt: skip
    values, rate_hz, _, unit, _ = wfdb_files.channels(tmp_path / "m1.hea", ["ECG"])
    assert rate_hz == 500 and unit == ["mV"] and np.abs(values[0] - signal[0]).max() < 0.006
    values, rate_hz, *_ = wfdb_files.channels(tmp_path / "m1.hea", ["ABP"])
    assert rate_hz == 125 and np.abs(values[0] - signal[1]).max() < 0.011
    with pytest.raises(UserError, match=r"several samples a frame\): give one \[\[signal\]\] for each rate"):
        wfdb_files.channels(tmp_path / "m1.hea", ["ECG", "ABP"])


def test_a_layout_header_is_named_and_left_out_of_ecg(tmp_path):
    write_wfdb(tmp_path, "a1", np.zeros((2500, 1)), [(0, "(N"), (1000, "(AFIB")])
    (tmp_path / "a_layout.hea").write_text("a_layout 1 250 0\n~ 0 200/mV 12 0 0 0 0 ECG1\n")
    with pytest.raises(UserError, match="a_layout.hea is the layout of a record of several segments"):
        wfdb_files.open_header(tmp_path / "a_layout.hea")
    assert len(catalogue.find("ecg").parts(DataConfig(dataset="ecg", data_dir=str(tmp_path)))) == 1


def test_a_header_with_a_unit_beyond_ascii(tmp_path):
    write_wfdb(tmp_path, "a1", np.full((500, 1), 0.1), [(0, "(N")])
    header = (tmp_path / "a1.hea").read_text()
    for encoding in ("utf-8", "latin-1"):
        (tmp_path / "a1.hea").write_bytes(header.replace("/mV", "/µV").encode(encoding))
        assert wfdb_files.channels(tmp_path / "a1.hea", [1])[3] == ["µV"]


def test_a_header_without_the_number_of_samples(tmp_path):
    import re

    write_wfdb(tmp_path, "a1", np.full((500, 1), 0.1), [(0, "(N")])
    header = (tmp_path / "a1.hea").read_text()
    (tmp_path / "a1.hea").write_text(re.sub(r"^a1 1 250 500", "a1 1 250", header))
    values, rate_hz, *_ = wfdb_files.channels(tmp_path / "a1.hea", [1])
    assert values.shape == (1, 500) and rate_hz == 250


def test_beats_as_a_signal_of_intervals(tmp_path):
    import wfdb

    at = np.cumsum([250, 250, 200, 300, 250, 150, 350] * 20)
    write_wfdb(tmp_path, "a1", np.zeros((100, 1)), [(0, "(N")])
    symbols = ["N"] * len(at)
    symbols[9] = "+"
    notes = [""] * len(at)
    notes[9] = "(AFIB"
    wfdb.wrann("a1", "atr", at, symbol=symbols, aux_note=notes, write_dir=str(tmp_path))
    (tmp_path / "a1.dat").unlink()
    toml = 'rate_hz = 4\n[signal]\nfiles = "{r}.hea"\nformat = "wfdb-rr"\n'
    toml += '[labels]\nfrom = "annotations"\nprefix = "("\n'
    (recording,) = read(tmp_path, toml + 'before_first = "N"\n' + FRAMES)
    beats = np.delete(at, 9) / 250
    grid = beats[1] + np.arange(recording.signal.shape[1]) / 4
    np.testing.assert_allclose(
        recording.signal[0], np.interp(grid, beats[1:], np.diff(beats) * 1000), rtol=1e-5
    )
    assert recording.units == ("ms",) and recording.channels == ("RR",)
    change = next(i for i, name in enumerate(names(recording)) if name == "AFIB")
    assert change == int(np.ceil((at[9] / 250 - beats[1]) * 4 - 1e-3))


LABELS_TXT = "01 1 5 1 20\n1 1 4 21 40\n2 1 5 11 30\n3 2 4 1 10\n"
SHARED = (
    '[signal]\nfiles = "acc_exp{experiment}_user{subject}.txt"\ndelimiter = "whitespace"\nheader = false\n'
    'channels = [1, 2]\nrate_hz = 10\n[labels]\nfrom = "intervals"\nfile = "labels.txt"\n'
    'delimiter = "whitespace"\nheader = false\ncolumn = 3\nstart = 4\nend = 5\ntime_unit = "samples"\n'
    "first_sample = 1\ninclusive = true\n"
    'where = { 1 = "{experiment}", 2 = "{subject}" }\n'
)


def test_rows_of_a_shared_label_file_with_times_in_samples(tmp_path):
    """As HAPT has it: experiment, user, activity, first and last sample, counted from 1."""
    for name in ("exp01_user01", "exp02_user01", "exp03_user02"):
        (tmp_path / f"acc_{name}.txt").write_text("0.1 0.2\n" * 60)
    (tmp_path / "labels.txt").write_text(LABELS_TXT)
    with pytest.raises(UserError, match="ignore_leading_zeros = true where 01 means 1"):
        read(tmp_path, SHARED + FRAMES)
    got = read(tmp_path, SHARED + "ignore_leading_zeros = true\n" + FRAMES)
    assert [names(r) for r in got] == [
        ["5"] * 20 + ["4"] * 20 + [None] * 20,
        [None] * 10 + ["5"] * 20 + [None] * 30,
        ["4"] * 10 + [None] * 50,
    ]
    (tmp_path / "labels.txt").write_text(LABELS_TXT.replace("3 2 4 1 10\n", ""))
    with pytest.raises(UserError, match="no row has '03' in column 1 .found: 01, 1, 2"):
        read(tmp_path, SHARED + "ignore_leading_zeros = true\n" + FRAMES)


def test_a_split_by_one_subject_left_out(tmp_path):
    rng = np.random.default_rng(0)
    for who in ("d", "a", "c", "b"):
        rows = [(f"{v:.3f}", k // 50 % 2) for k, v in enumerate(rng.normal(0, 1, 600))]
        csv(tmp_path / f"{who}.csv", "x,label", rows)
    (tmp_path / "my.toml").write_text(
        '[signal]\nfiles = "{subject}.csv"\nchannels = ["x"]\nrate_hz = 10\n'
        '[labels]\nfrom = "column"\ncolumn = "label"\n' + FRAMES
    )
    for seed, who in enumerate("abcd"):
        config = DataConfig(dataset=str(tmp_path / "my.toml"), split="leave-one-subject-out", split_seed=seed)
        splits = load(config)
        assert set(splits.test.subject) == {who}
        assert not set(splits.train.subject) & {who, *splits.validation.subject}
    with pytest.raises(UserError, match="there are 4: give 0 to 3"):
        load(DataConfig(dataset=str(tmp_path / "my.toml"), split="leave-one-subject-out", split_seed=4))
