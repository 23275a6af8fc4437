"""Sets of the UCR/UEA archive; those that aeon brings along need no network."""

import numpy as np
import pytest

from emargin_train.data import catalogue, load, ucr, ucr_bundled
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError
from tests.emargin_train.data.made import refused


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nothing here may leave this machine: port 9 of it answers to nobody."""
    monkeypatch.setenv("EMARGIN_MIRROR", "http://127.0.0.1:9")


def test_acsf1_is_as_the_archive_splits_it():
    """10 classes, 100 training and 100 test series of 1460 samples, 10 of each class in each split."""
    from aeon.datasets import load_classification

    splits = load(DataConfig(dataset="ucr:ACSF1"))
    assert splits.class_names == tuple("0123456789")
    assert splits.test is not None
    counts = {split: len(frames) for split, frames in splits.by_name().items()}
    assert counts == {"train": 75, "validation": 25, "test": 100}
    assert all(s.startswith("train-") for s in {*splits.train.subject, *splits.validation.subject})
    values, labels = load_classification("ACSF1", split="test")
    assert splits.test.shape == (100, 15, 92)
    for row in (0, 57, 99):
        number = int(splits.test.subject[row].removeprefix("test-"))
        assert set(splits.test.y[row]) == {int(labels[number])}
        first = np.abs(np.fft.rfft(values[number, 0, :182] * np.hanning(183)[:182]))
        assert splits.test.x([row])[0, 0] == pytest.approx(first, rel=1e-3, abs=1e-3)


def test_several_channels_and_named_classes():
    splits = load(DataConfig(dataset="ucr:BasicMotions"))
    assert splits.train.shape[1:] == (15, 6 * 7)
    assert set(splits.class_names) == {"standing", "running", "walking", "badminton"}


def test_longer_series_make_further_sequences_and_lost_ones_are_told():
    splits = load(DataConfig(dataset="ucr:PickupGestureWiimoteZ"))
    assert len(np.unique(splits.test.subject)) < len(splits.test)
    assert any("--sequence-length" in line for line in splits.described)


@pytest.mark.parametrize("name", ["ACSF1", "GunPoint", "ArrowHead", "ItalyPowerDemand", "UnitTest"])
def test_frames_fit_series_of_any_length(name):
    dataset = catalogue.find(f"ucr:{name}")
    train, test = dataset.parts(DataConfig(dataset=f"ucr:{name}"))
    recordings = [*train.read(), *test.read()]
    lengths = {r.signal.shape[1] for r in recordings}
    frame, hop = dataset.frame_and_hop(recordings[0].rate_hz)
    assert ucr.SHORTEST_FRAME <= frame <= min(lengths) and 0 < hop <= frame
    assert {r.rate_hz for r in recordings} == {min(lengths)}
    assert len({r.subject for r in recordings}) == len(recordings)


def test_missing_values_break_a_series(tmp_path):
    """A set of one's own in the archive's format, given as --data-dir."""
    folder = tmp_path / "Mine"
    folder.mkdir()
    header = "@problemName Mine\n@timeStamps false\n@missing true\n@univariate true\n@equalLength true\n"
    header += "@seriesLength 40\n@classLabel true a b\n@data\n"
    series = ["1.0"] * 20 + ["?"] + ["2.0"] * 19
    for split in ("TRAIN", "TEST"):
        text = header + "".join(f"{','.join(series)}:{label}\n" for label in "abab")
        (folder / f"Mine_{split}.ts").write_text(text)
    parts = catalogue.find("ucr:Mine").parts(DataConfig(dataset="ucr:Mine", data_dir=str(tmp_path)))
    got = [(r.subject, r.start, r.signal.shape[1], r.class_names[r.labels[0]]) for r in parts[0].read()]
    assert got[:2] == [("train-00000", 0, 20, "a"), ("train-00000", 21, 19, "a")]


def test_offline_names_hold_a_set_of_ten_classes():
    assert {"ACSF1", "GunPoint", "BasicMotions"} <= set(ucr_bundled.offline_names())


def test_refused_by_the_command(tmp_path, capsys):
    said = refused(capsys, "describe", "ucr:ACSF")
    assert "cannot be reached" in said and "ucr:ACSF1" in said and "--data-dir" in said
    assert "letters and digits" in refused(capsys, "describe", "ucr:../../etc/passwd")
    assert "holds no GunPoint/GunPoint_TRAIN.ts" in refused(
        capsys, "describe", "ucr:GunPoint", "--data-dir", tmp_path
    )
    (tmp_path / "Bad").mkdir()
    for split in ("TRAIN", "TEST"):
        (tmp_path / "Bad" / f"Bad_{split}.ts").write_text("@problemName Bad\n@data\n1,2,x,4:5\n")
    assert "Bad_TRAIN.ts" in refused(capsys, "describe", "ucr:Bad", "--data-dir", tmp_path)
    head = "@problemName Bad\n@timeStamps false\n@missing false\n@univariate true\n@equalLength true\n"
    head += "@seriesLength 3\n"
    (tmp_path / "Bad" / "Bad_TRAIN.ts").write_text(head + "@classLabel false\n@data\n1,2,3\n4,5,6\n")
    assert "no series with classes" in refused(capsys, "describe", "ucr:Bad", "--data-dir", tmp_path)
    (tmp_path / "Bad" / "Bad_TRAIN.ts").write_bytes(b"\x00\xff" * 50)
    assert "Bad_TRAIN.ts" in refused(capsys, "describe", "ucr:Bad", "--data-dir", tmp_path)


def test_a_damaged_conversion_names_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EMARGIN_CACHE", str(tmp_path))
    catalogue.find("ucr:UnitTest").parts(DataConfig(dataset="ucr:UnitTest"))
    (converted,) = (tmp_path / "ucr").glob("UnitTest-*.npz")
    converted.write_bytes(converted.read_bytes()[:200])
    assert "delete it to convert it again" in refused(capsys, "describe", "ucr:UnitTest")


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EMARGIN_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot be written"):
        ucr.convert("UnitTest", ucr_bundled.files_of(ucr_bundled.bundled(), "UnitTest"))
