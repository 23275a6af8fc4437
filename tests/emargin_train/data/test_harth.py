"""HARTH's files in the published layout."""

import numpy as np
import pytest

from emargin_train.data import catalogue, harth, load
from emargin_train.data.settings import DataConfig
from tests.emargin_train.data.made import command, refused, write_harth

CODES = [1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 130, 140]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("harth")
    rng = np.random.default_rng(0)
    for subject in ("S006", "S008", "S009"):
        labels = np.repeat(CODES, 200)
        write_harth(folder / "harth" / f"{subject}.csv", np.arange(len(labels)) / 50, labels, rng)
    return folder


def read(folder, **more):
    config = DataConfig(dataset="harth", data_dir=str(folder), **more)
    return [r for part in catalogue.find("harth").parts(config) for r in part.read()]


def test_twelve_classes_in_the_papers_order(folder):
    first, *_ = recordings = read(folder)
    assert [r.subject for r in recordings] == ["S006", "S008", "S009"]
    assert first.channels == harth.CHANNELS and first.rate_hz == 50 and first.units == ("g",) * 6
    assert first.labels.tolist() == np.repeat(np.arange(12), 200).tolist()
    assert first.class_names[0] == "walking" and first.class_names[-1] == "cycling (stand, inactive)"
    assert first.signal.shape == (6, 2400) and abs(first.signal[0].mean() + 1) < 0.02


def test_gaps_break_and_jitter_does_not(tmp_path):
    rng = np.random.default_rng(1)
    time_s = np.arange(1000) / 50 + rng.uniform(-0.004, 0.004, 1000)
    time_s[400:] += 0.5
    time_s[700:] -= 60
    write_harth(tmp_path / "S010.csv", time_s, np.full(1000, 7), rng)
    recordings = read(tmp_path)
    assert [r.signal.shape[1] for r in recordings] == pytest.approx([400, 300, 300], abs=1)
    assert [r.start for r in recordings][:2] == pytest.approx([0, 425], abs=1)


def test_other_codes_and_columns_in_another_order(tmp_path):
    """Some files of the dataset carry an index column; unknown codes stay unlabelled."""
    rng = np.random.default_rng(0)
    write_harth(tmp_path / "a.csv", np.arange(60) / 50, np.repeat([1, 99, 6], 20), rng)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    with (tmp_path / "S021.csv").open("w") as file:
        for number, line in enumerate(lines):
            file.write(f"{'Unnamed: 0' if number == 0 else number - 1},{line}\n")
    (recording,) = read(tmp_path)
    assert recording.labels.tolist() == [0] * 20 + [-1] * 20 + [5] * 20


def test_normalised_by_training_data(folder):
    splits = load(DataConfig(dataset="harth", data_dir=str(folder), sequence_length=19))
    assert splits.train.shape[1:] == (19, 156)
    at_zero = splits.train.x()[..., 0::26][..., 1:6:2]  # bin 0 of three channels
    assert np.median(at_zero) < 10, "gravity is gone: 1 g would make 25"


def test_first_subjects(folder):
    assert {r.subject for r in read(folder, subjects=2)} == {"S006", "S008"}


def test_described_by_the_command(folder, tmp_path, capsys):
    code, out, err = command(
        capsys,
        "describe",
        "harth",
        "--data-dir",
        folder,
        "--sequence-length",
        19,
        "--plot",
        tmp_path / "a.svg",
    )
    assert code == 0, err
    assert "back_x (g)" in out and "cycling (stand, inactive)" in out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: "", "is empty"),
        (lambda t: t.replace("thigh_z", "thigh_q", 1), "has no column 'thigh_z': did you mean"),
        (lambda t: t[: len(t) // 2] + "\n1,2\n", "Expected 8 columns"),
        (lambda t: t.replace("2019-01-12", "yesterday"), "times that are not written"),
        (lambda t: t.replace("-0.9", "-O.9"), "where a number is expected"),
        (lambda t: "\n".join(t.splitlines()[:2]) + "\n", "no two samples in a row"),
        (lambda t: "\n".join(t.splitlines()[:1]) + "\n", "no two samples in a row"),
    ],
    ids=range(7),
)
def test_damage_is_refused_by_the_command(folder, tmp_path, capsys, change, said):
    text = (folder / "harth" / "S006.csv").read_text()
    (tmp_path / "S006.csv").write_text(change(text))
    message = refused(capsys, "describe", "harth", "--data-dir", tmp_path)
    assert said in message and "S006.csv" in message


def test_an_empty_folder_is_refused_by_the_command(tmp_path, capsys):
    assert "holds no file like S006.csv" in refused(capsys, "describe", "harth", "--data-dir", tmp_path)
