"""The whole line on made-up data: nothing crosses where it must not, and bad data end in one line."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emargin_train.data import load
from emargin_train.data.build import moments
from emargin_train.data.frames import Frames, samples, spectra
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError
from tests.emargin_train.data.fakes import noisy_recording, recording, register

FRAME, HOP = 10, 5  # samples of the fake dataset
STRETCHES = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 90), st.integers(0, 40)), min_size=6, max_size=12
)


def coded_recordings(stretches: list[tuple[int, int, int]]) -> list:
    """Constant signals, each of its own level; a subject's stretches are parts of one record, with gaps."""
    reached = dict.fromkeys(range(7), 0)
    made = []
    for level, (subject, n, gap) in enumerate(stretches, start=1):
        labels = np.arange(n) // 7 % 3
        name = f"s{subject}"
        made.append(recording(np.full(n, float(level)), labels, name, name, reached[subject]))
        reached[subject] += n + gap
    return made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stretches=STRETCHES, length=st.integers(3, 6), split=st.sampled_from(["subject", "time"]))
def test_nothing_crosses_recordings_gaps_or_splits(monkeypatch, stretches, length, split):
    made = coded_recordings(stretches)
    with monkeypatch.context() as patch:
        register(patch, made, sequence_length=length)
        try:
            splits = load(DataConfig(dataset="fake", split=split))
        except UserError as error:  # too little was drawn
            assert "\n" not in str(error)
            return
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    used: dict[str, list[tuple[int, int]]] = {}
    for name, frames in splits.by_name().items():
        x = frames.x()
        level = x[:, :, 0] / window.sum()
        # A frame over a joint of two levels would have a mixed one.
        np.testing.assert_allclose(level, level.round(), atol=1e-4)
        assert (np.ptp(level, axis=1) < 1e-4).all()  # a sequence lies within one stretch
        for n, own in enumerate(level[:, 0].round().astype(int)):
            source = made[own - 1]
            assert (frames.subject[n], frames.record[n]) == (source.subject, source.record)
            first = int(frames.start[n] - source.start // HOP) * HOP
            end = first + (frames.shape[1] - 1) * HOP + FRAME
            assert 0 <= first and end <= source.signal.shape[1]
            used.setdefault(name, []).append((1000 * own + first, 1000 * own + end))
    if split == "subject":
        for a, b in itertools.combinations(splits.by_name().values(), 2):
            assert not set(a.subject) & set(b.subject)
    else:
        for a, b in itertools.combinations(used.values(), 2):
            for (first, end), (other_first, other_end) in itertools.product(a, b):
                assert end <= other_first or other_end <= first


def test_every_frame_is_kept_or_counted(monkeypatch):
    lengths = (4, 9, 100, 161, 47, 230)
    made = [recording(np.random.default_rng(n).random(n), np.arange(n) % 3, f"s{n}") for n in lengths]
    register(monkeypatch, made, sequence_length=5)
    splits = load(DataConfig(dataset="fake"))
    frames = sum(max(0, (n - FRAME) // HOP + 1) for n in lengths)
    kept = sum(frames.y.size for frames in splits.by_name().values())
    assert kept + splits.n_dropped["remainder"] == frames


def test_sequences_shrink_to_the_longest_stretch_and_say_so(monkeypatch):
    register(monkeypatch, [noisy_recording(f"s{i}", 30, i) for i in range(5)], sequence_length=200)
    splits = load(DataConfig(dataset="fake"))
    assert splits.train.shape[1] == 59
    assert any(
        "59 frames instead of 200" in line and "--sequence-length" in line for line in splits.described
    )


def test_lost_frames_and_classes_are_told_with_a_length_that_keeps_them(monkeypatch):
    def make(i: int):
        labels = np.repeat([0, 1, 0, 2], [100, 100, 100, 90])
        return recording(np.random.default_rng(i).standard_normal(390), labels, f"s{i}")

    register(monkeypatch, [make(i) for i in range(5)], sequence_length=50)
    line = load(DataConfig(dataset="fake")).described[-1]
    assert "35% " not in line and "(35%)" in line and "all frames of c" in line
    suggested = int(line.split("--sequence-length ")[1].split()[0])
    better = load(DataConfig(dataset="fake", sequence_length=suggested))
    assert "remainders" not in better.described[-1]


def test_a_class_lost_in_one_split_of_time_is_told(monkeypatch):
    """Class c lies in short recordings alone: their validation and test blocks hold no sequence of it."""
    made = [
        recording(np.random.default_rng(i).standard_normal(600), np.arange(600) % 120 // 60, f"s{i}")
        for i in (0, 1)
    ]
    made.append(recording(np.random.default_rng(2).standard_normal(100), np.full(100, 2), "s2"))
    register(monkeypatch, made, sequence_length=10)
    line = load(DataConfig(dataset="fake", split="time")).described[-1]
    assert "all frames of c in some split" in line and "--sequence-length" in line


def test_released_split_is_one_stream_that_meets_golden(shared, monkeypatch):
    golden = np.load(shared / "golden" / "spectra.npz")
    windows = golden["sleep_samples"][:, 0]
    made = [recording(window, np.full(178, i % 2), f"s{i}") for i, window in enumerate(windows)]
    register(monkeypatch, made, frame_seconds=17.8, hop_seconds=17.8, sequence_length=3, released_share=0.5)
    splits = load(DataConfig(dataset="fake", split="released"))
    x = np.concatenate([splits.train.x(), splits.validation.x()]).reshape(12, 90)
    np.testing.assert_allclose(x, golden["sleep_features"], atol=1e-5 * golden["sleep_features"].max())
    assert (len(splits.train), len(splits.validation), splits.test) == (2, 2, None)


@pytest.mark.parametrize("lengths", [(300,) * 6, (17, 450, 3, 801, 299, 230), (64,) * 30])
def test_released_stream_is_the_spectrum_of_all_recordings_joined(monkeypatch, lengths):
    rng = np.random.default_rng(0)
    made = [
        recording(rng.standard_normal((2, n)), rng.integers(0, 3, n), f"s{i}") for i, n in enumerate(lengths)
    ]
    register(monkeypatch, made, sequence_length=7)
    splits = load(DataConfig(dataset="fake", split="released"))
    stream = np.concatenate([r.signal for r in made], axis=1)
    expected = spectra(stream, FRAME, HOP)
    x = np.concatenate([frames.x() for frames in splits.by_name().values()]).reshape(-1, 12)
    np.testing.assert_allclose(x, expected[: len(expected) // 7 * 7], rtol=1e-5, atol=1e-5)
    assert splits.n_dropped["remainder"] == len(expected) % 7
    starts = np.concatenate([frames.start for frames in splits.by_name().values()])
    assert starts.tolist() == [7 * i for i in range(len(expected) // 7)]


def test_normalisation_knows_the_training_split_alone(monkeypatch):
    rng = np.random.default_rng(0)

    def make(i: int):
        scale = np.array([[1.0], [50.0]]) * 10**i
        return recording(scale * (5 + rng.standard_normal((2, 600))), np.arange(600) // 30 % 3, f"s{i}")

    made = [make(i) for i in range(5)]
    register(monkeypatch, made, normalise="channel")
    for seed in range(3):
        splits = load(DataConfig(dataset="fake", split_seed=seed))
        chosen = [r for r in made if r.subject in splits.train.subject]
        used = np.concatenate([r.signal[:, : len(r.labels) // 20 * 20] for r in chosen], axis=1)
        mean, deviation = used.mean(1, dtype=np.float64), used.std(1, dtype=np.float64)
        for frames in splits.by_name().values():
            for n in range(len(frames)):
                source = next(r for r in made if r.subject == frames.subject[n])
                first = frames.start[n] * HOP
                signal = source.signal[:, first : first + 3 * HOP + FRAME]
                normal = ((signal - mean[:, None]) / deviation[:, None]).astype(np.float32)
                expected = spectra(normal, FRAME, HOP)
                np.testing.assert_allclose(frames.x()[n], expected, rtol=0.02, atol=0.02 * expected.max())


def test_raw_samples_are_those_of_the_spectra_and_are_made_when_called_for(monkeypatch, tmp_path):
    monkeypatch.setenv("EMARGIN_CACHE", str(tmp_path))
    rng = np.random.default_rng(0)
    made = [recording(5 + rng.standard_normal((2, 300)), np.arange(300) // 30 % 3, f"s{i}") for i in range(5)]
    register(monkeypatch, made, normalise="channel")
    splits = load(DataConfig(dataset="fake", snr_db=3.0, noise_on="train"))

    def stored() -> int:
        return len(list(tmp_path.glob("frames/*/frames.arrow")))

    assert stored() == 1
    for frames in splits.by_name().values():
        some = frames.select(np.arange(len(frames))[::-1])
        raw = some.of_samples()
        assert raw.shape == (*frames.shape[:2], 2 * FRAME) and (raw.subject == some.subject).all()
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
        x = np.abs(np.fft.rfft(raw.x().reshape(*frames.shape[:2], 2, FRAME) * window))
        np.testing.assert_allclose(x.reshape(some.shape), some.x(), rtol=1e-4, atol=1e-5)
        with pytest.raises(UserError, match="hold spectra alone: give a method that sees spectra"):
            raw.of_samples()
    assert stored() == 2


def test_samples_of_a_frame_are_channel_by_channel():
    signal = np.arange(46.0).reshape(2, 23)
    assert samples(signal, 10, 5)[1].tolist() == [*range(5, 15), *range(28, 38)]
    assert samples(signal, 30, 5).shape == (0, 60)


def test_moments_equal_those_of_all_samples_together():
    rng = np.random.default_rng(0)
    signals = [1e4 + rng.standard_normal((2, n)) for n in (5, 1, 300, 17)]
    signals = [np.vstack([s, np.full((1, s.shape[1]), 3.0)]) for s in signals]
    mean, deviation = moments(iter(signals))
    together = np.concatenate(signals, axis=1)
    np.testing.assert_allclose(mean[:, 0], together.mean(1), rtol=1e-12)
    np.testing.assert_allclose(deviation[:, 0], [*together.std(1)[:2], 1.0], rtol=1e-9)


def test_settings_that_matter_give_other_frames_and_others_do_not(monkeypatch):
    register(monkeypatch, [noisy_recording(f"s{i}", 60, i) for i in range(5)])
    base = load(DataConfig(dataset="fake"))
    other_split = load(DataConfig(dataset="fake", split_seed=1))
    assert other_split.train.store is base.train.store  # the same frames serve every subject split
    assert set(other_split.train.subject) != set(base.train.subject)
    longer = load(DataConfig(dataset="fake", sequence_length=6))
    assert longer.data_hash == base.data_hash and longer.train.shape[1] == 6
    fewer = load(DataConfig(dataset="fake", subjects=3))
    assert fewer.data_hash != base.data_hash and fewer.test is None


def test_magnitude_scale_is_a_typical_training_magnitude(monkeypatch):
    register(monkeypatch, [noisy_recording(f"s{i}", 60, i) for i in range(5)])
    splits = load(DataConfig(dataset="fake"))
    assert splits.magnitude_scale == pytest.approx(np.median(splits.train.x()), rel=0.25)


def refusal(monkeypatch, made, config: DataConfig | None = None, **given) -> str:
    register(monkeypatch, made, **given)
    with pytest.raises(UserError) as caught:
        load(config or DataConfig(dataset="fake"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("split", ["subject", "time", "released"])
def test_memory_that_nobody_wrote_is_never_read(monkeypatch, tmp_path, split):
    """Fresh memory may hold infinities, which make a warning, and a warning is an error in these tests."""

    def poisoned(shape, dtype=float, *args, **kwargs):
        out = np.zeros(shape, dtype, *args, **kwargs)
        out[...] = np.inf if out.dtype.kind == "f" else 1 if out.dtype.kind in "iu" else out
        return out

    made = [noisy_recording(f"s{i}", 120, seed=i) for i in range(6)]
    register(monkeypatch, made)
    expected = load(DataConfig(dataset="fake", split=split))
    with monkeypatch.context() as patch:
        patch.setattr(np, "empty", poisoned)
        patch.setenv("EMARGIN_CACHE", str(tmp_path))  # so that the frames are made again
        splits = load(DataConfig(dataset="fake", split=split))
    for name, frames in splits.by_name().items():
        np.testing.assert_array_equal(frames.x(), expected.by_name()[name].x())
        np.testing.assert_array_equal(frames.y, expected.by_name()[name].y)


def test_no_recording(monkeypatch):
    assert "no recording" in refusal(monkeypatch, [])


def test_no_labelled_frame(monkeypatch):
    made = [recording(np.zeros(100), np.full(100, -1), f"s{i}") for i in range(3)]
    assert "no labelled frame" in refusal(monkeypatch, made)


def test_one_class_in_a_split(monkeypatch):
    made = [recording(np.ones(100), np.zeros(100), f"s{i}") for i in range(5)]
    message = refusal(monkeypatch, made)
    assert "train split has 1 class (a; " in message and "needs two" in message


def test_one_subject(monkeypatch):
    message = refusal(monkeypatch, [noisy_recording("s", 60, 0)])
    assert "1 subject" in message and "--split time" in message
    assert load(DataConfig(dataset="fake", split="time")).test is not None  # the remedy helps


def test_recordings_too_short_for_a_sequence(monkeypatch):
    made = [recording(np.ones(18), np.arange(18) % 3, f"s{i}") for i in range(5)]
    assert "a sequence needs 3" in refusal(monkeypatch, made)


@pytest.mark.parametrize("channels, rate_hz", [(1, 10.0), (2, 20.0)])
def test_recordings_of_two_kinds(monkeypatch, channels, rate_hz):
    odd = replace(noisy_recording("odd", 60, 0), rate_hz=rate_hz)
    odd = replace(
        odd, signal=odd.signal[:channels], channels=odd.channels[:channels], units=odd.units[:channels]
    )
    message = refusal(monkeypatch, [noisy_recording("s", 60, 0), odd])
    assert f"record odd has {channels} channels at {rate_hz:g} Hz, but record s has 2 at 10 Hz" in message


def test_frames_too_short_for_the_rate(monkeypatch):
    message = refusal(monkeypatch, [noisy_recording("s", 9, 0)], frame_seconds=0.1, hop_seconds=0.01)
    assert "1 and 0 samples at 10 Hz" in message


def test_unknown_dataset_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'sleepeeg-sim'"):
        load(DataConfig(dataset="sleepeg-sim"))


def test_frames_read_well():
    empty = np.zeros(0, str)
    frames = Frames(
        np.zeros((3, 4, 5), np.float32), np.arange(0), np.zeros((0, 4), int), empty, empty, np.arange(0)
    )
    assert repr(frames) == "Frames(0 sequences of 4 frames of 5 features, 0 subjects)"
