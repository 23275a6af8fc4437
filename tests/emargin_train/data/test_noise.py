"""Noise: the ratio asked for, exactly; the shape asked for, roughly; the same for everybody."""

from dataclasses import replace

import numpy as np
import pytest

from emargin_train.data import load
from emargin_train.data.build import with_noise
from emargin_train.data.noise import KINDS, add_noise, generator
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError
from tests.emargin_train.data.fakes import noisy_recording, register

RATE_HZ = 200.0
SAMPLES = 40_000


def example_signal() -> np.ndarray:
    rng = np.random.default_rng(3)
    offset, scale = np.array([[0.0], [900.0]]), np.array([[1.0], [30.0]])
    return (offset + scale * rng.standard_normal((2, SAMPLES))).astype(np.float32)


def measured_db(signal: np.ndarray, noisy: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    noise = noisy.astype(np.float64) - signal
    return 10 * np.log10(signal[:, labelled].astype(np.float64).var(1) / noise[:, labelled].var(1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 20.0])
def test_ratio_is_within_a_tenth_of_a_decibel(kind, snr_db):
    signal = example_signal()
    labelled = np.zeros(SAMPLES, bool)
    labelled[5_000:20_000] = labelled[30_000:30_400] = True
    signal[:, ~labelled] *= 7  # must not count
    noisy = add_noise(signal, snr_db, kind, np.random.default_rng(0), rate_hz=RATE_HZ, labelled=labelled)
    assert noisy.dtype == np.float32
    np.testing.assert_allclose(measured_db(signal, noisy, labelled), snr_db, atol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_generator_alone_decides_the_shape(kind):
    signal = example_signal().astype(np.float64)
    draw = [
        add_noise(signal, snr_db, kind, np.random.default_rng(seed), rate_hz=RATE_HZ) - signal
        for snr_db, seed in ((0.0, 1), (20.0, 1), (0.0, 2))
    ]
    np.testing.assert_allclose(draw[0], 10 * draw[1], atol=1e-9)
    assert abs(np.corrcoef(draw[0][0], draw[2][0])[0, 1]) < 0.99
    assert abs(np.corrcoef(draw[0][0], draw[0][1])[0, 1]) < 0.999  # channels differ


def band_shares(kind: str, *bands_hz: tuple[float, float]) -> list[float]:
    noise = KINDS[kind](SAMPLES, RATE_HZ, np.ones(SAMPLES, bool), np.random.default_rng(0))
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequencies = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
    return [power[(frequencies >= low) & (frequencies < high)].sum() / power.sum() for low, high in bands_hz]


def test_kinds_have_the_spectra_they_are_named_for():
    low, high = band_shares("white", (0, 50), (50, 101))
    assert low == pytest.approx(high, rel=0.05)
    octaves = band_shares("pink", (2, 4), (8, 16), (32, 64))  # 1/f: equal power in each octave
    assert max(octaves) < 1.2 * min(octaves)
    assert band_shares("baseline-wander", (0.04, 0.51))[0] > 0.98
    assert band_shares("hum-50", (49.9, 50.1))[0] > 0.999
    assert band_shares("hum-60", (59.9, 60.1))[0] > 0.999
    assert band_shares("electrode-motion", (0, 10))[0] > 0.9


def test_electrode_motion_comes_in_bursts_even_in_a_short_labelled_stretch():
    labelled = np.zeros(SAMPLES, bool)
    labelled[17_000:17_020] = True
    noise = KINDS["electrode-motion"](SAMPLES, RATE_HZ, labelled, np.random.default_rng(5))
    assert noise[labelled].var() > 0
    loud = np.abs(noise) > 0.1 * np.abs(noise).max()
    assert 0.005 < loud.mean() < 0.4


@pytest.mark.parametrize("kind", KINDS)
def test_a_tiny_or_constant_signal_stays_finite(kind):
    signal = np.array([[1.0, 1, 1, 1, 1], [0, 1, 0, 2, 0]], np.float32)
    noisy = add_noise(signal, 0, kind, np.random.default_rng(0), rate_hz=RATE_HZ)
    assert np.isfinite(noisy).all()
    np.testing.assert_array_equal(noisy[0], signal[0])  # constant: no ratio, no noise


def test_hum_above_half_the_rate_is_refused():
    with pytest.raises(UserError, match="hum-50.*below 25 Hz"):
        add_noise(np.zeros((1, 9)), 0, "hum-50", np.random.default_rng(0), rate_hz=50)


def test_unknown_kind_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'pink'"):
        add_noise(np.zeros((1, 9)), 0, "pinc", np.random.default_rng(0), rate_hz=50)


def test_realisation_belongs_to_recording_and_seed():
    one, other = noisy_recording("s1", 60, 1), noisy_recording("s2", 60, 1)
    config = DataConfig(dataset="fake", snr_db=3)
    again = [with_noise(r, config).signal for r in (one, other, one)]
    np.testing.assert_array_equal(again[0], again[2])
    assert (again[0] != again[1]).any()
    assert (again[0] != with_noise(one, replace(config, noise_seed=1)).signal).any()
    assert generator(one, 0).random() != generator(replace(one, start=5), 0).random()
    np.testing.assert_array_equal(with_noise(one, config).clean, one.signal)


def test_noise_falls_on_the_splits_asked_for(monkeypatch):
    register(monkeypatch, [noisy_recording(f"s{i}", 60, i) for i in range(5)])
    clean = load(DataConfig(dataset="fake"))
    noisy = {on: load(DataConfig(dataset="fake", snr_db=0, noise_on=on)) for on in ("all", "train", "eval")}
    for on, splits in noisy.items():
        assert splits.data_hash == clean.data_hash
        assert any("white at 0 dB" in line for line in splits.described)
        for split, frames in splits.by_name().items():
            touched = on == "all" or (on == "train") == (split == "train")
            assert np.array_equal(frames.x(), clean.by_name()[split].x()) == (not touched)
            if touched:  # one realisation, whichever splits have it
                np.testing.assert_array_equal(frames.x(), noisy["all"].by_name()[split].x())


def test_noise_comes_before_recordings_are_joined(monkeypatch):
    register(monkeypatch, [noisy_recording(f"s{i}", 61, i) for i in range(5)])
    clean = load(DataConfig(dataset="fake", split="released"))
    noisy = load(DataConfig(dataset="fake", split="released", snr_db=0, noise_on="eval"))
    np.testing.assert_array_equal(noisy.train.x(), clean.train.x())
    assert (noisy.validation.x() != clean.validation.x()).any(axis=(1, 2)).all()
