"""What `describe` says: contents, classes, whether adjacency means anything; and its pictures."""

import numpy as np
import pytest

from emargin_train.data import describe, load, picture
from emargin_train.data.catalogue import find
from emargin_train.data.frames import Frames, Splits
from emargin_train.data.recording import Recording
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError
from tests.emargin_train.data import fakes
from tests.emargin_train.data.made import command, refused


def splits_of(x: np.ndarray, y: np.ndarray, record: str = "r") -> Splits:
    """Training frames alone: x (N, T, F), y (N, T), all of one record."""
    n, t = y.shape
    same = np.full(n, record)
    frames = Frames(x.astype(np.float32), np.arange(n), y.astype(np.int64), same, same, np.arange(n) * t)
    return Splits(frames, frames, None, ("a", "b"), "", 1.0, {}, ())


def drifting(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 8) positive spectra that change slowly."""
    return np.exp(np.cumsum(rng.normal(0, 0.3, (n, 8)), axis=0))


def test_drift_means_something_and_its_shuffle_does_not():
    rng = np.random.default_rng(0)
    x, y = drifting(600, rng), np.zeros((30, 20))
    ordered = describe.adjacency(splits_of(x.reshape(30, 20, 8), y), 0.4)
    shuffled = describe.adjacency(splits_of(rng.permutation(x).reshape(30, 20, 8), y), 0.4)
    assert ordered.closer > 0.9 and "means something" in ordered.verdict()
    assert abs(shuffled.closer - 0.5) < 3 * shuffled.closer_error and "WARNING" in shuffled.verdict()


def test_frames_sorted_by_label_but_shuffled_within_are_seen_through():
    """Adjacent frames look alike only because they share a label: as in some packed sets."""
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], 300)
    x = rng.uniform(0, 1, (600, 8)) + 10 * np.eye(2, 8)[y]
    found = describe.adjacency(splits_of(x.reshape(30, 20, 8), y.reshape(30, 20)), 0.4)
    assert found.stays > 0.99 and 0.4 < found.stays_by_chance < 0.6
    assert found.quantiles[1] > found.random_median, "adjacent frames are closer, by their label alone"
    assert "WARNING" in found.verdict()


def test_numbers_against_a_loop():
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0, 1, (6, 5, 4)), rng.integers(-1, 2, (6, 5))
    found = describe.adjacency(splits_of(x, y), 0.8)
    steps, stays = [], []
    for sequence, labels in zip(x.astype(np.float32), y, strict=True):
        for i in range(4):
            a, b = sequence[i].astype(float), sequence[i + 1].astype(float)
            steps.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
            if labels[i] >= 0 and labels[i + 1] >= 0:
                stays.append(labels[i] == labels[i + 1])
    assert found.n_steps == 2 * 24, "both splits are the same frames here"
    assert found.quantiles == pytest.approx(tuple(np.quantile(2 * steps, describe.QUANTILES)))
    assert found.dissimilar_share == pytest.approx(np.mean(np.array(steps) < 0.8))
    assert found.stays == pytest.approx(np.mean(stays))
    assert "too few steps" in found.verdict()


def test_random_pairs_stay_within_a_record_and_differ():
    rng = np.random.default_rng(3)
    group = rng.integers(0, 5, 200)
    one = rng.integers(0, 200, 3000)
    other = describe.alike(group, one, rng)
    assert (group[one] == group[other]).all()
    for k in range(5):
        members = set(np.flatnonzero(group == k))
        assert set(other[group[one] == k]) == members, "every member comes up"


def test_silent_and_unlabelled_frames_raise_no_warning():
    found = describe.adjacency(splits_of(np.zeros((4, 30, 8)), np.full((4, 30), -1)), 0.4)
    assert found.quantiles == (0.0,) * 5 and found.stays is None and found.stays_by_chance is None
    assert found.closer == 0.5 and found.dissimilar_share == 1


def test_contents_count_seconds_subjects_and_gaps(monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, -1, 2], 50)

    def part(subject, record, start):
        return fakes.recording(rng.normal(0, 1, 200), labels, subject, record, start)

    dataset = fakes.register(monkeypatch, [part("p", "p1", 0), part("p", "p1", 300), part("q", "q1", 0)])
    found = describe.contents(dataset, DataConfig(dataset="fake"))
    assert (len(found.records), len(found.subjects), found.gaps, found.seconds) == (2, 2, 1, 60)
    assert found.class_seconds.tolist() == [15, 15, 15] and found.unlabelled_s == 15
    text = "\n".join(describe.describe_contents(dataset, found))
    assert "2 of 2 subjects, 0.02 h, 1 gaps" in text and "c0 (V) at 10 Hz" in text


@pytest.fixture
def fake(monkeypatch):
    return fakes.register(monkeypatch, [fakes.noisy_recording(s, 60, i) for i, s in enumerate("pqrstu")])


def test_the_whole_command(fake, tmp_path, capsys):
    code, out, err = command(
        capsys, "describe", "fake", "--plot", tmp_path / "p" / "a.png", "--threshold", 0.9
    )
    assert code == 0, err
    assert (tmp_path / "p" / "a.png").read_bytes().startswith(b"\x89PNG")
    for said in (
        "6 of 6 subjects",
        "10 samples (1 s), hop 5 (0.5 s), 12 features",
        "train ",
        "threshold 0.9",
        "cache",
    ):
        assert said in out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line[:4].strip()}
    assert [rows[c][1] for c in "abc"] == ["120.0"] * 3 and rows["unlabelled"][1] == "0.0"
    frames = sum(int(rows[c][5]) for c in (*"abc",)) + int(rows["unlabelled"][3])
    assert frames == sum(f.y.size for f in load(DataConfig(dataset="fake")).by_name().values())


def test_a_split_that_is_refused_still_shows_what_there_is(monkeypatch, capsys):
    fakes.register(monkeypatch, [fakes.noisy_recording("alone", 60, 0)])
    code, out, err = command(capsys, "describe", "fake")
    assert code == 0 and "1 of 1 subjects" in out and not err
    assert "would refuse this: the data have 1 subject" in out and "what helps     --split time" in out


def test_a_picture_goes_into_the_cache_unless_told(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EMARGIN_CACHE", str(tmp_path))
    code, out, _ = command(capsys, "describe", "fake")
    assert code == 0 and (tmp_path / "pictures" / "fake.png").is_file()
    assert f"picture        {tmp_path / 'pictures' / 'fake.png'}" in out


def test_flags_refused_by_the_command(fake, tmp_path, capsys):
    assert "--threshold is 2.0" in refused(capsys, "describe", "fake", "--threshold", 2)
    assert "written as .png or .svg" in refused(capsys, "describe", "fake", "--plot", tmp_path / "a.bmp")
    assert "did you mean 'fake'?" in refused(capsys, "describe", "fakes")
    assert "split is 'subjects'" in refused(capsys, "describe", "fake", "--split", "subjects")
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(capsys, "describe", "fake", "--plot", tmp_path / "file" / "a.svg")


def test_the_drawn_signal_lies_under_the_drawn_frames(monkeypatch):
    """A signal that counts its samples, with a gap: the piece begins where its first frame does."""
    labels = np.arange(400) // 40 % 2

    def count(subject, start):
        return fakes.recording(np.arange(start, start + 400), labels, subject, subject, start, 2)

    dataset = fakes.register(monkeypatch, [count("p", 0), count("q", 500), count("r", 0)])
    config = DataConfig(dataset="fake")
    splits = load(config)
    frames, n = picture.choose(splits)
    recordings: dict[str, Recording] = {r.record: r for part in dataset.parts(config) for r in part.read()}
    layout = describe.contents(find("fake"), config).layout
    piece = picture.piece_of(recordings[str(frames.record[0])], layout, frames, n)
    assert piece is not None and piece[0, 0] == frames.start[0] * 5 and n > frames.shape[1]
    assert picture.piece_of(recordings["q" if frames.record[0] != "q" else "p"], layout, frames, n) is None


def test_steps_between_sequences_are_not_drawn(fake):
    splits = load(DataConfig(dataset="fake"))
    frames, n = picture.choose(splits)
    layout = describe.contents(fake, DataConfig(dataset="fake")).layout
    spec = picture.chart(frames, n, layout, None, 0.4, splits.class_names)
    (steps,) = [rows for rows in spec["datasets"].values() if "cosine" in rows[0]]
    borders = n // frames.shape[1] - 1
    assert len(steps) == n - 1 - borders
    (cells,) = [rows for rows in spec["datasets"].values() if "db" in rows[0]]
    assert len(cells) == n * 6 and max(c["f2"] for c in cells) <= 6 and max(c["db"] for c in cells) == 0


def test_many_bins_are_taken_together():
    layout = describe.Layout(100.0, 400, 200, ("c",), ("a",))
    x = np.zeros((3, 201))
    x[:, 40] = 1  # 10 Hz
    cells = picture.spectrum(x, layout, 2.0)
    loud = [c for c in cells if c["db"] == 0]
    assert len(cells) <= 3 * picture.MAX_BINS and len(loud) == 3
    assert all(c["f"] <= 10 <= c["f2"] for c in loud)


def test_what_cannot_be_drawn_is_told(fake):
    from pathlib import Path

    with pytest.raises(UserError, match="give such a name"):
        picture.draw(fake, DataConfig(dataset="fake"), load(DataConfig(dataset="fake")), 0.4, Path("a.gif"))
