"""Sleep-EDF nights in the published layout, and its real hypnograms."""

from collections import Counter
from datetime import time

import numpy as np
import pytest

from emargin_train.data import catalogue, edf_files, load, sleepeeg
from emargin_train.data.settings import DataConfig
from tests.emargin_train.data.made import command, refused, write_edf, write_night

NIGHT = [
    (90, "W"),
    (2, "1"),
    (4, "2"),
    (3, "3"),
    (3, "4"),
    (1, "M"),
    (5, "R"),
    (2, "?"),
    (2, "2"),
    (100, "W"),
]


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Three subjects, the first one with two nights."""
    folder = tmp_path_factory.mktemp("sleep-edfx")
    rng = np.random.default_rng(0)
    for name in ("SC4001", "SC4002", "SC4011", "SC4021"):
        write_night(folder / "sleep-cassette", name, NIGHT, rng)
    return folder


def read(folder, name="sleepeeg", **more):
    config = DataConfig(dataset=name, data_dir=str(folder), **more)
    return [r for part in catalogue.find(name).parts(config) for r in part.read()]


def runs(recording):
    """(30 s epochs, class) of each run of labels."""
    edges = [0, *(np.flatnonzero(np.diff(recording.labels)) + 1).tolist(), len(recording.labels)]
    return [((b - a) / 3000, int(recording.labels[a])) for a, b in zip(edges, edges[1:], strict=False)]


def test_stages_and_wake_trimmed_to_half_an_hour(nights):
    recordings = read(nights)
    assert [(r.subject, r.record) for r in recordings] == [
        ("SC400", "SC4001"), ("SC400", "SC4002"), ("SC401", "SC4011"), ("SC402", "SC4021"),
    ]  # fmt: skip
    (first, *_) = recordings
    assert first.channels == ("Fpz-Cz",) and first.units == ("uV",) and first.rate_hz == 100
    assert first.class_names == ("W", "N1", "N2", "N3", "REM")
    assert runs(first) == [(60, 0), (2, 1), (4, 2), (6, 3), (1, -1), (5, 4), (2, -1), (2, 2), (60, 0)]
    assert first.start == 30 * 3000


def test_untrimmed_keeps_every_second_and_the_same_signal(nights):
    whole, trimmed = read(nights, "sleepeeg-untrimmed")[0], read(nights)[0]
    assert whole.seconds == 30 * sum(n for n, _ in NIGHT) and whole.start == 0
    end = trimmed.start + trimmed.signal.shape[1]
    assert np.array_equal(whole.signal[:, trimmed.start : end], trimmed.signal)
    assert np.array_equal(whole.labels[trimmed.start : end], trimmed.labels)


def test_the_signal_is_what_was_written(tmp_path):
    rng = np.random.default_rng(0)
    write_night(tmp_path, "SC4001", NIGHT, rng)
    written = np.random.default_rng(0).normal(0, 30, 30 * sum(n for n, _ in NIGHT) * 100)
    got = read(tmp_path, "sleepeeg-untrimmed")[0].signal[0]
    assert np.abs(got - written).max() < 1000 / 65535 + 1e-3


def test_a_scoring_that_starts_later_is_shifted(tmp_path):
    write_night(tmp_path, "SC4001", NIGHT, np.random.default_rng(0))
    notes = [(0.0, 2700.0, "Sleep stage W"), (2700.0, 300.0, "Sleep stage 2")]
    write_edf(tmp_path / "SC4001EC-Hypnogram.edf", [], notes, start=time(16, 14, 0))
    recording = read(tmp_path, "sleepeeg-untrimmed")[0]
    assert runs(recording)[:3] == [(2, -1), (90, 0), (10, 2)]


def test_subjects_takes_the_first_with_all_their_nights(nights):
    assert {r.record for r in read(nights, subjects=2)} == {"SC4001", "SC4002", "SC4011"}


def test_frames_of_three_sleepers(nights):
    splits = load(DataConfig(dataset="sleepeeg", data_dir=str(nights), sequence_length=20))
    assert splits.train.shape[1:] == (20, 90)
    assert not set(splits.train.subject) & set(splits.validation.subject)


def test_described_by_the_command(nights, tmp_path, capsys):
    code, out, err = command(
        capsys,
        "describe",
        "sleepeeg",
        "--data-dir",
        nights,
        "--sequence-length",
        20,
        "--plot",
        tmp_path / "a.svg",
    )
    assert code == 0, err
    assert "4 of 3 subjects" in out and "Fpz-Cz (uV) at 100 Hz" in out and "unlabelled" in out
    assert (tmp_path / "a.svg").read_text().startswith("<svg")


def test_real_hypnograms_hold_what_provenance_says(shared):
    """Seconds per class of 20 nights, through the reader's own reading of annotations."""
    seconds: Counter[int] = Counter()
    texts: Counter[str] = Counter()
    for path in sorted((shared / "data" / "sleepeeg" / "sleep-edf-hypnograms").glob("*-Hypnogram.edf")):
        notes, start = edf_files.notes(path)
        assert start.day is not None and start.day.year in (1989, 1990, 1991)
        for note in notes:
            seconds[sleepeeg.STAGES[note.text]] += int(note.seconds)
            texts[note.text.removeprefix("Sleep stage ")] += int(note.seconds)
    assert texts == {
        "W": 1113450, "2": 267810, "R": 110790, "?": 92100, "3": 51000, "1": 50670, "4": 41220,
        "Movement time": 960,
    }  # fmt: skip
    assert seconds == {0: 1113450, 1: 50670, 2: 267810, 3: 51000 + 41220, 4: 110790, -1: 92100 + 960}


def test_a_real_hypnogram_over_a_made_up_signal(shared, tmp_path):
    """The whole night as the reader labels it, epoch by epoch."""
    real = shared / "data" / "sleepeeg" / "sleep-edf-hypnograms" / "SC4001EC-Hypnogram.edf"
    (tmp_path / real.name).write_bytes(real.read_bytes())
    notes, start = edf_files.notes(real)
    n = 30 * 2650 * 100
    signal = np.random.default_rng(0).normal(0, 20, n)
    hours, rest = divmod(int(start.second), 3600)
    began = time(hours, *divmod(rest, 60))
    write_edf(tmp_path / "SC4001E0-PSG.edf", [("EEG Fpz-Cz", signal, 100)], record_s=30, start=began)
    (recording,) = read(tmp_path)
    whole = np.full(n, -1)
    for note in notes:
        whole[int(note.start_s * 100) : int((note.start_s + note.seconds) * 100)] = sleepeeg.STAGES[note.text]
    asleep = np.flatnonzero(whole > 0)
    first, end = asleep[0] - 180_000, min(n, asleep[-1] + 1 + 180_000)
    assert recording.start == first and np.array_equal(recording.labels, whole[first:end])


def damaged(nights, tmp_path, which, change):
    """A copy of one night with one file's bytes changed."""
    for path in (nights / "sleep-cassette").glob("SC4011*"):
        content = bytearray(path.read_bytes())
        if which in path.name:
            content = change(content)
        (tmp_path / path.name).write_bytes(content)
    return tmp_path


def put(at, text):
    def change(content):
        content[at : at + len(text)] = text
        return content

    return change


@pytest.mark.parametrize(
    ("which", "change", "said"),
    [
        ("PSG", lambda c: c[:-1000], "it was cut short"),
        ("PSG", lambda c: c[:100], "is not an EDF file"),
        ("PSG", lambda c: b"", "is not an EDF file"),
        ("PSG", lambda c: c[:256], "cannot be read as EDF"),
        ("PSG", put(0, b"BIOSEMI "), "is not an EDF file"),
        ("PSG", put(236, b"99999999"), "it was cut short"),
        ("PSG", put(236, b"-5      "), "claims -5 records"),
        ("PSG", put(236, b"many    "), "cannot be read as EDF"),
        ("PSG", put(244, b"-1      "), "in records of -1 s"),
        ("PSG", put(244, b"0       "), "no scale|cannot be read as EDF"),
        ("PSG", put(252, b"9999"), "claims 9999 signals"),
        ("PSG", put(184, b"512     "), "header of another length"),
        ("PSG", put(256, b"EEG Cz-Oz "), "has no channel 'EEG Fpz-Cz': did you mean"),
        ("PSG", put(256 + 16 * 3 + 80 * 3 + 8 * 3, b"500     "), "no scale"),  # physical minimum = maximum
        ("PSG", put(256 + 216 * 3, b"1500    "), "cut short|Hz, not 100|claims"),
        ("PSG", put(256 + 216 * 3, b"-100    "), "samples in a record"),
        ("Hypnogram", lambda c: c.replace(b"Sleep stage 2", b"Sleep stage X"), "not a sleep stage"),
        ("Hypnogram", lambda c: c[:-20], "it was cut short"),
        (
            "Hypnogram",
            lambda c: c.replace(b"Sleep stage", b"Sleep\xff\xfe\xfftage"),
            "not a sleep stage",
        ),
    ],
    ids=range(19),
)
def test_damage_is_refused_by_the_command(nights, tmp_path, capsys, which, change, said):
    import re

    folder = damaged(nights, tmp_path, which, change)
    message = refused(capsys, "describe", "sleepeeg", "--data-dir", folder)
    assert re.search(said, message) and "SC4011E" in message, message


def test_missing_parts_are_refused_by_the_command(nights, tmp_path, capsys):
    assert "holds no file like SC4001E0-PSG.edf" in refused(
        capsys, "describe", "sleepeeg", "--data-dir", tmp_path
    )
    assert "does not exist" in refused(capsys, "describe", "sleepeeg", "--data-dir", tmp_path / "absent")
    folder = damaged(nights, tmp_path, "none", None)
    hypnogram = folder / "SC4011EC-Hypnogram.edf"
    (folder / "SC4011EV-Hypnogram.edf").write_bytes(hypnogram.read_bytes())
    assert "holds 2 files SC4011" in refused(capsys, "describe", "sleepeeg", "--data-dir", folder)
    for path in folder.glob("*-Hypnogram.edf"):
        path.unlink()
    assert "holds no SC4011*-Hypnogram.edf" in refused(capsys, "describe", "sleepeeg", "--data-dir", folder)
    write_edf(hypnogram, [], [(0.0, 600.0, "Sleep stage W")])
    assert "scores no sleep" in refused(capsys, "describe", "sleepeeg", "--data-dir", folder)


def test_an_interrupted_recording_is_read_with_its_gap(tmp_path):
    """EDF+D: the time of the second data record is moved by a minute, and then so that the two overlap."""
    from emargin_train.errors import UserError

    wave = np.round(np.sin(np.arange(6000) / 9) * 100)
    path = write_edf(tmp_path / "a.edf", [("EEG", wave, 100)], [(95.0, 1.0, "x")], record_s=30)
    content = path.read_bytes().replace(b"EDF+C", b"EDF+D")
    assert content.count(b"+30\x14\x14") == 1
    path.write_bytes(content.replace(b"+30\x14\x14", b"+90\x14\x14"))
    (values,), rate_hz, _, _, _ = edf_files.channels(path, ["EEG"])
    assert rate_hz == 100 and len(values) == 12000
    assert np.isnan(values[3000:9000]).all() and not np.isnan(values[:3000]).any()
    assert np.abs(values[9000:] - wave[3000:]).max() < 0.02
    notes, _ = edf_files.notes(path)
    assert [(n.start_s, n.text) for n in notes] == [(95.0, "x")]
    path.write_bytes(content.replace(b"+30\x14\x14", b"+10\x14\x14"))
    with pytest.raises(UserError, match=r"interrupted \(EDF\+D\), and its parts overlap"):
        edf_files.channels(path, ["EEG"])


def test_positions_and_twins_of_channels_are_refused(tmp_path):
    from emargin_train.errors import UserError

    path = write_edf(tmp_path / "a.edf", [("EEG", np.zeros(100), 100), ("EEG", np.zeros(100), 100)])
    assert edf_files.channels(path, [2])[2] == ["EEG"]
    with pytest.raises(UserError, match="has 2 channels, but channel 3 is asked for"):
        edf_files.channels(path, [3])
    with pytest.raises(UserError, match="has more than one channel 'EEG'"):
        edf_files.channels(path, ["EEG"])


def test_a_start_that_was_taken_out_is_none(tmp_path):
    path = write_edf(tmp_path / "a.edf", [("EEG", np.zeros(100), 100)])
    content = bytearray(path.read_bytes())
    content[88:168] = b"Startdate X X X X".ljust(80)
    path.write_bytes(content)
    assert edf_files.clock_of(path) == edf_files.Clock(None, 16 * 3600 + 13 * 60)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    from pathlib import Path

    from emargin_train.errors import UserError

    path = write_edf(tmp_path / "a.edf", [("EEG", np.zeros(100), 100)])

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match="may not be read"):
        edf_files.open_edf(path)
