"""Spectra and labels of frames: golden values, and the definitions done slowly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from emargin_train.data.frames import Frames, count_frames, majority, spectra
from emargin_train.data.recording import Recording, unbroken


def test_spectra_meet_golden_of_one_channel(shared):
    golden = np.load(shared / "golden" / "spectra.npz")
    stream = golden["sleep_samples"].reshape(1, -1)
    np.testing.assert_allclose(spectra(stream, 178, 178), golden["sleep_features"], rtol=1e-12, atol=1e-12)
    single = spectra(stream.astype(np.float32), 178, 178)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, golden["sleep_features"], atol=1e-5 * golden["sleep_features"].max())


def test_spectra_and_labels_meet_golden_of_two_channels(shared):
    golden = np.load(shared / "golden" / "spectra.npz")
    np.testing.assert_allclose(
        spectra(golden["ecg_signal"][0], 1500, 750), golden["ecg_features"], rtol=1e-12, atol=1e-12
    )
    np.testing.assert_array_equal(majority(golden["ecg_labels"], 1500, 750, 4), golden["ecg_frame_labels"])


@settings(deadline=None)
@given(
    signal=hnp.arrays(
        np.float64, st.tuples(st.integers(1, 3), st.integers(0, 40)), elements=st.floats(-10, 10)
    ),
    frame=st.integers(2, 12),
    hop=st.integers(1, 15),
)
def test_spectra_equal_the_definition(signal, frame, hop):
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)
    expected = [
        [
            abs(
                sum(
                    window[n] * channel[i * hop + n] * np.exp(-2j * np.pi * k * n / frame)
                    for n in range(frame)
                )
            )
            for channel in signal
            for k in range(frame // 2 + 1)
        ]
        for i in range(count_frames(signal.shape[1], frame, hop))
    ]
    expected = np.reshape(expected, (-1, len(signal) * (frame // 2 + 1)))
    np.testing.assert_allclose(spectra(signal, frame, hop), expected, atol=1e-9)


@settings(deadline=None)
@given(
    labels=hnp.arrays(np.int16, st.integers(0, 40), elements=st.integers(-1, 3)),
    frame=st.integers(1, 9),
    hop=st.integers(1, 9),
)
def test_majority_prefers_low_classes_and_any_class_to_none(labels, frame, hop):
    found = majority(labels, frame, hop, 4)
    for i, label in enumerate(found):
        counts = {c: int((labels[i * hop : i * hop + frame] == c).sum()) for c in (0, 1, 2, 3, -1)}
        assert counts[label] == max(counts.values())
        assert label == next(c for c in counts if counts[c] == max(counts.values()))
    assert len(found) == count_frames(len(labels), frame, hop)


def test_a_recording_becomes_spectra_and_labels():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, -1, 1], 100).astype(np.int16)
    recording = Recording(
        rng.standard_normal((2, 300)).astype(np.float32),
        10.0,
        labels,
        ("a", "b"),
        "s",
        "r",
        ("u", "v"),
        ("V",) * 2,
    )
    x, y = spectra(recording.signal, 20, 10), majority(recording.labels, 20, 10, 2)
    assert x.shape == (29, 2 * 11) and x.dtype == np.float32 and (x >= 0).all()
    assert y.tolist() == [0] * 10 + [-1] * 9 + [1] * 10


def test_unbroken_stretches_are_those_finite_in_all_channels():
    signal = np.zeros((2, 10))
    signal[0, 0] = signal[1, 4] = np.nan
    signal[0, 5] = np.inf
    assert unbroken(signal) == [(1, 4), (6, 10)]
    assert unbroken(np.full((1, 3), np.nan)) == []
    assert unbroken(np.zeros((1, 3))) == [(0, 3)]


def example_frames() -> Frames:
    store = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    text = np.array(["a", "a", "b", "c"])
    return Frames(store, np.arange(4), np.zeros((4, 3), np.int64), text, text, np.arange(4))


def test_a_selection_shares_the_store():
    frames = example_frames()
    chosen = frames.select(frames.subject == "a").select(np.array([1]))
    assert chosen.store is frames.store and chosen.shape == (1, 3, 2)
    np.testing.assert_array_equal(chosen.x(), frames.store[[1]])


@pytest.mark.parametrize(
    "name, value", [("y", np.zeros((4, 2))), ("start", np.zeros(3)), ("store", np.zeros((4, 3)))]
)
def test_frames_refuse_shapes_that_disagree(name, value):
    frames = example_frames()
    fields = {n: getattr(frames, n) for n in ("store", "rows", "y", "subject", "record", "start")}
    with pytest.raises(TypeError, match=name):
        Frames(**{**fields, name: value})
