"""The WFDB reader, on records written here in the published layouts, on damaged ones, and on real ones."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wfdb

from emargin_train.data import ecg, load
from emargin_train.data.sequences import read_all
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError

RHYTHMS = ("(N", "(AFIB", "(AFL", "(J")


def write_record(
    folder: Path,
    name: str,
    *,
    rate_hz: int = 250,
    seconds: int = 240,
    channels: int = 2,
    notes: tuple[str, ...] = RHYTHMS,
    seed: int = 0,
) -> None:
    """A record as AFDB has them: format 212; rhythms in .atr, here equally long, the first from sample 5."""
    n = rate_hz * seconds
    rng = np.random.default_rng([seed, *name.encode()])
    signal = rng.normal(0, 0.2, (n, channels)).round(3)
    wfdb.wrsamp(
        name,
        fs=rate_hz,
        units=["mV"] * channels,
        sig_name=[f"ECG{i + 1}" for i in range(channels)],
        p_signal=signal,
        fmt=["212"] * channels,
        adc_gain=[200.0] * channels,
        baseline=[0] * channels,
        write_dir=str(folder),
    )
    sample = 5 + np.arange(len(notes)) * (n // max(1, len(notes)))
    if len(notes):
        wfdb.wrann(
            name, "atr", sample, symbol=["+"] * len(notes), aux_note=list(notes), write_dir=str(folder)
        )


@pytest.fixture()
def folder(tmp_path) -> Path:
    for name in ("04015", "04043", "04048", "04126", "04746"):
        write_record(tmp_path, name)
    return tmp_path


def config(folder: Path, **given) -> DataConfig:
    return DataConfig(dataset="ecg", data_dir=str(folder), **given)


def refusal(folder: Path, **given) -> str:
    with pytest.raises(UserError) as caught:
        load(config(folder, **given))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_records_are_read_as_written(folder):
    parts = ecg.parts(config(folder))
    assert len(parts) == 5
    (recording,) = parts[0].read()
    whole = wfdb.rdrecord(str(folder / "04015")).p_signal.T
    np.testing.assert_allclose(recording.signal, whole, atol=1e-6)
    assert (recording.subject, recording.record, recording.rate_hz) == ("04015", "04015", 250)
    assert recording.channels == ("ECG1", "ECG2") and recording.units == ("mV", "mV")
    n = 250 * 240
    names = [ecg.CLASS_NAMES[i] if i >= 0 else None for i in recording.labels[[4, 5, n // 4 + 5, n - 1]]]
    assert names == [None, "N", "AFIB", "J"]


def test_at_250_hz_frames_are_the_paper_s(folder):
    splits = load(config(folder))
    assert splits.class_names == ("AFIB", "AFL", "J", "N")
    assert splits.train.shape[2] == 1502
    assert splits.train.shape[1] == (250 * 240 - 1500) // 750 + 1


@pytest.mark.parametrize("rate_hz, channels", [(128, 1), (360, 2)])
def test_other_rates_keep_six_seconds(tmp_path, rate_hz, channels):
    for i in range(3):
        write_record(tmp_path, f"r{i}", rate_hz=rate_hz, channels=channels)
    splits = load(config(tmp_path))
    assert splits.train.shape[2] == channels * (6 * rate_hz // 2 + 1)
    assert splits.train.shape[1] == 79 and splits.test is None


def test_nodal_is_junctional_and_other_rhythms_are_unlabelled(tmp_path):
    write_record(tmp_path, "r", notes=("(NOD", "(VT", "(N", "PSE", "(AFL\x00"))
    (recording,) = ecg.parts(config(tmp_path))[0].read()
    fifth = 250 * 240 // 5
    assert recording.labels[5 + fifth * np.arange(5)].tolist() == [2, -1, 3, 3, 1]  # PSE changes no rhythm


def test_invalid_samples_break_a_record(tmp_path):
    write_record(tmp_path, "r", seconds=60)
    dat = bytearray((tmp_path / "r.dat").read_bytes())
    for pair in range(3000, 3100):  # two 12-bit samples in three bytes; -2048 means: no value
        dat[3 * pair : 3 * pair + 3] = bytes([0x00, 0x88, 0x00])
    (tmp_path / "r.dat").write_bytes(dat)
    header = (tmp_path / "r.hea").read_text().splitlines()
    d_signal = wfdb.rdrecord(str(tmp_path / "r"), physical=False).d_signal
    for i in (0, 1):  # checksums as the database would have them
        fields = header[1 + i].split()
        fields[6] = str(int(d_signal[:, i].astype(np.int64).sum() % 65536))
        header[1 + i] = " ".join(fields)
    (tmp_path / "r.hea").write_text("\n".join(header) + "\n")
    recordings = ecg.parts(config(tmp_path))[0].read()
    assert [(r.start, r.start + r.signal.shape[1]) for r in recordings] == [(0, 3000), (3100, 15000)]


def test_records_of_annotations_alone_are_left_out(folder):
    (folder / "00735.hea").write_text("00735 0 250 9205760\n")
    assert len(ecg.parts(config(folder))) == 5


def test_annotations_alone_are_not_enough(tmp_path):
    (tmp_path / "00735.hea").write_text("00735 0 250 9205760\n")
    assert "no record in" in (message := refusal(tmp_path)) and ".dat" in message


def test_known_pairs_of_records_are_one_subject(tmp_path):
    for name in ("200", "201", "202"):
        write_record(tmp_path, name, seconds=30)
    subjects = [r.subject for _, r in read_all(ecg.parts(config(tmp_path)))]
    assert subjects == ["200", "201+202", "201+202"]


def test_a_missing_folder(tmp_path):
    assert "nowhere' does not exist" in refusal(tmp_path / "nowhere")


def test_an_empty_folder(tmp_path):
    assert "holds no WFDB record" in refusal(tmp_path)


def test_a_truncated_signal_file(folder):
    dat = folder / "04043.dat"
    dat.write_bytes(dat.read_bytes()[:-1000])
    assert "04043.dat" in (message := refusal(folder)) and "get it again" in message


def test_a_missing_signal_file(folder):
    (folder / "04043.dat").unlink()
    assert "04043.dat" in refusal(folder)


def test_a_flipped_byte(folder):
    dat = folder / "04043.dat"
    content = bytearray(dat.read_bytes())
    content[1234] ^= 0x04
    dat.write_bytes(content)
    assert "fails its checksum" in (message := refusal(folder)) and "04043" in message


@pytest.mark.parametrize(
    "header",
    ["", "nonsense", "04043 2 250\n", "04043 1 250 60000\n04043.dat 212 200\n04043.dat 212 200\n"]
    + ["04043 2 250 99999999999\n04043.dat 212 200 12 0\n04043.dat 212 200 12 0\n"]
    + ["04043 2 250 60000\n../04043.dat 212 200 12 0\n../04043.dat 212 200 12 0\n"],
)
def test_a_corrupt_header(folder, header):
    (folder / "04043.hea").write_text(header)
    assert "04043" in refusal(folder)


def test_missing_annotations(folder):
    (folder / "04043.atr").unlink()
    assert "04043.atr" in refusal(folder)


def test_damaged_annotations(folder):
    (folder / "04043.atr").write_bytes(b"\x01")
    assert "04043" in refusal(folder)


def test_no_labelled_rhythm(tmp_path):
    for i in range(5):
        write_record(tmp_path, f"r{i}", seconds=60, notes=("(VT", "(B"))
    assert "no labelled frame" in refusal(tmp_path)


def test_one_rhythm_only(tmp_path):
    for i in range(5):
        write_record(tmp_path, f"r{i}", seconds=60, notes=("(N",))
    assert "has 1 class (N;" in refusal(tmp_path)


def test_channels_that_differ_between_records(folder):
    write_record(folder, "05091", channels=1)
    assert "record 05091 has 1 channels at 250 Hz, but record 04015 has 2" in refusal(folder)


def test_three_channels(folder):
    write_record(folder, "05091", channels=3)
    assert "3 signals" in (message := refusal(folder)) and "05091" in message


def test_seconds_of_each_rhythm_agree_with_the_published_table(shared):
    """Provenance of the shared records: all 22 of mitdb."""
    seconds: Counter[str] = Counter()
    subjects = set()
    for _, recording in read_all(ecg.parts(config(shared / "data" / "ecg" / "mitdb"))):
        assert recording.rate_hz == 360 and recording.signal.shape == (2, 650_000)
        subjects.add(recording.subject)
        for i, name in enumerate(ecg.CLASS_NAMES):
            seconds[name] += (recording.labels == i).sum() / 360
    assert {name: round(s) for name, s in seconds.items()} == {"N": 27689, "AFIB": 7956, "AFL": 785, "J": 279}
    assert len(subjects) == 21


def test_real_records_become_splits_without_shared_subjects(shared):
    splits = load(config(shared / "data" / "ecg" / "mitdb"))
    assert splits.train.shape[1:] == (200, 2162)
    subjects = [set(frames.subject) for frames in splits.by_name().values()]
    assert len(subjects) == 3 and sum(map(len, subjects)) == len(set.union(*subjects)) == 21
    for frames in splits.by_name().values():
        assert set(np.unique(frames.y)) == {-1, 0, 1, 2, 3}  # all four classes in every split
