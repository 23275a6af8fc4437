import dataclasses

import numpy as np
import pytest
from emargin_train.encoder import Encoder, encode, framing
from emargin_train.references import encoding
from sklearn.decomposition import PCA

from emargin_train.config import REFERENCE_NAMES, DataConfig, EncoderConfig, TrainConfig
from emargin_train.errors import UserError

from .evaluation.synthetic import splits

SIDES = dataclasses.replace(splits(), magnitude_scale=2.0)
MASK = np.random.default_rng(0).random(SIDES.validation.y.shape) < 0.3
MASK[4] = False


def spectra() -> np.ndarray:
    return SIDES.validation.x()[MASK]


@pytest.mark.parametrize("name", REFERENCE_NAMES)
@pytest.mark.parametrize("framing", ["magnitude", "log"])
def test_rows_are_frames_in_order(name, framing):
    encode = encoding(name, SIDES, TrainConfig(data=DataConfig(framing=framing)))
    every = encode(SIDES.validation, np.ones_like(MASK))
    assert every.dtype == np.float32 and every.shape == (MASK.size, {"random": 320}.get(name, 6))
    np.testing.assert_allclose(encode(SIDES.validation, MASK), every[MASK.reshape(-1)], rtol=1e-4, atol=1e-5)


def test_raw_and_log_raw_are_the_spectra():
    assert (encoding("raw", SIDES, TrainConfig())(SIDES.validation, MASK) == spectra()).all()
    found = encoding("log-raw", SIDES, TrainConfig())(SIDES.validation, MASK)
    np.testing.assert_allclose(found, np.log1p(spectra() / 2), rtol=1e-6)


@pytest.mark.parametrize("framing", ["magnitude", "log"])
def test_pca_meets_scikit_learn(framing):
    def see(x: np.ndarray) -> np.ndarray:
        return np.log1p(x / 2) if framing == "log" else x

    expected = PCA(6).fit(see(SIDES.train.x().reshape(-1, 6))).transform(see(spectra()))
    found = encoding("pca", SIDES, TrainConfig(data=DataConfig(framing=framing)))(SIDES.validation, MASK)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-3)


def test_pca_keeps_the_largest_components(monkeypatch):
    monkeypatch.setattr("emargin_train.references.COMPONENTS", 2)
    found = encoding("pca", SIDES, TrainConfig())(SIDES.train, np.ones(SIDES.train.y.shape, bool))
    expected = PCA(2).fit(SIDES.train.x().reshape(-1, 6)).explained_variance_
    np.testing.assert_allclose(found.var(0, ddof=1), expected, rtol=1e-3)


def test_random_is_the_encoder_as_it_starts():
    config = TrainConfig(seed=3, encoder=EncoderConfig(kernel_size=3))
    expected = encode(Encoder(6, config.encoder, seed=3), SIDES.validation, MASK, framing("magnitude", 2.0))
    assert (encoding("random", SIDES, config)(SIDES.validation, MASK) == expected).all()
    for other in (dataclasses.replace(config, seed=4), dataclasses.replace(config, encoder=EncoderConfig())):
        assert (encoding("random", SIDES, other)(SIDES.validation, MASK) != expected).any()


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="reference is 'rnadom': did you mean 'random'"):
        encoding("rnadom", SIDES, TrainConfig())
