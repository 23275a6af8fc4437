"""The expected adjacent cosine under white noise agrees with simulations."""

import numpy as np
import pytest

from emargin_train.data.frames import Frames, spectra
from emargin_train.pseudo_labels import adjacent_cosine
from emargin_train.pseudo_labels.noise import (
    Bins,
    bin_power,
    expected_cosine,
    mean_magnitude,
    predict,
    stationary_cosine,
)

SAMPLES = 178


def frames_of(signal: np.ndarray, hop: int) -> Frames:
    """(C, samples) -> one record of sequences of 20."""
    x = spectra(signal.astype(np.float32), SAMPLES, hop)
    store = x[: len(x) // 20 * 20].reshape(-1, 20, x.shape[1]).astype(np.float32)
    n = len(store)
    who = np.full(n, "a")
    return Frames(store, np.arange(n), np.zeros((n, 20), np.int64), who, who, np.arange(n) * 20)


def rhythm(seconds: int, rng: np.random.Generator) -> np.ndarray:
    """(2, samples): tones that come and go at 100 Hz, and a weaker second channel."""
    t = np.arange(seconds * 100) / 100
    slow = 1 + 0.8 * np.sin(2 * np.pi * 0.05 * t)
    one = slow * np.sin(2 * np.pi * 7 * t) + (2 - slow) * np.sin(2 * np.pi * 21.3 * t + 0.4)
    return np.stack([one, 0.3 * np.roll(one, 700)]) + 0.05 * rng.standard_normal((2, len(t)))


@pytest.mark.parametrize("is_real", [True, False])
@pytest.mark.parametrize("a", [0.0, 0.3, 1.0, 4.0])
def test_mean_magnitude_is_that_of_draws(a: float, is_real: bool) -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, 400_000)) * np.sqrt(0.7)
    n = noise[0] if is_real else (noise[0] + 1j * noise[1]) / np.sqrt(2)
    drawn = np.abs(a + n)
    assert mean_magnitude(np.array(a), 0.7, is_real) == pytest.approx(drawn.mean(), abs=4 * drawn.std() / 632)


def test_limits() -> None:
    """No noise: the clean cosine. Noise alone: pi / 4 where bins are complex, 2 / pi where they are real."""
    a = np.random.default_rng(0).gamma(1, 1, (2, 5, 300))
    assert np.allclose(expected_cosine(a, 1e-12, False), adjacent_cosine(a), atol=1e-6)
    assert np.allclose(expected_cosine(a, 1e12, False), np.pi / 4)
    assert np.allclose(expected_cosine(a, 1e12, True), 2 / np.pi)


@pytest.mark.parametrize("hop", [SAMPLES, SAMPLES // 2], ids=["apart", "overlapping"])
@pytest.mark.parametrize("snr_db", [20, 5, 0, -5, -20])
def test_prediction_is_what_noise_does(hop: int, snr_db: float) -> None:
    """Mean over some hundred steps to 0.01, with overlap too; each step to 0.1."""
    rng = np.random.default_rng(1)
    clean = rhythm(900, rng)
    scale = clean.std(axis=1, keepdims=True) / 10 ** (snr_db / 20)
    noisy = clean + scale * rng.standard_normal(clean.shape)
    before, after = frames_of(clean, hop), frames_of(noisy, hop)
    expected = predict(before, Bins(SAMPLES), snr_db)
    measured = adjacent_cosine(after.x())
    assert measured.mean() == pytest.approx(expected.mean(), abs=0.01)
    assert np.abs(measured - expected).max() < 0.15


@pytest.mark.parametrize("offset", [0.0, 0.5, 20.0])
def test_white_noise_has_its_snr_in_every_bin(offset: float) -> None:
    rng = np.random.default_rng(2)
    signal, noise = rhythm(600, rng) + offset, rng.standard_normal((2, 60_000))
    power = bin_power(frames_of(signal, SAMPLES), Bins(SAMPLES))[0]
    ratio = power / (frames_of(noise, SAMPLES).x() ** 2).mean((0, 1)).reshape(2, -1)[:, 5:80].mean(1)
    assert ratio == pytest.approx(signal.var(1) / noise.var(1), rel=0.03)


@pytest.mark.parametrize("snr_db", [30, 0, -20])
def test_stationary_signals(snr_db: float) -> None:
    """Gaussian noise of two alternating spectra plus white noise: the cosine of a change, to 0.01."""
    rng = np.random.default_rng(3)
    k = np.arange(200)
    one, two = 0.01 + np.exp(-k / 40), 0.01 + np.exp(-((k - 120) ** 2) / 800)
    white = 10 ** (-snr_db / 10) * (one.mean() + two.mean()) / 2
    powers = np.stack([one, two] * 10) + white
    draws = rng.standard_normal((200, 20, 200, 2)) * np.sqrt(powers / 2)[..., None]
    measured = adjacent_cosine(np.hypot(draws[..., 0], draws[..., 1]).astype(np.float32)).mean()
    assert measured == pytest.approx(stationary_cosine(one + white, two + white), abs=0.01)
    assert stationary_cosine(one, one) == pytest.approx(np.pi / 4)


def test_constant_and_silent_channels_get_no_noise() -> None:
    rng = np.random.default_rng(4)
    signal = rhythm(300, rng)
    flat = np.concatenate([signal, np.full((1, 30_000), 2.0), np.zeros((1, 30_000))])
    noisy = flat + flat.std(1, keepdims=True) * rng.standard_normal(flat.shape)  # 0 dB
    expected = predict(frames_of(flat, SAMPLES), Bins(SAMPLES), 0.0)
    assert adjacent_cosine(frames_of(noisy, SAMPLES).x()).mean() == pytest.approx(expected.mean(), abs=0.01)
    nothing = frames_of(np.zeros((1, 30_000)), SAMPLES)
    assert np.isfinite(predict(nothing, Bins(SAMPLES), 0.0)).all()
