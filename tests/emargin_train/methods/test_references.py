"""References: the spectra, their principal components, and an encoder with its initial weights."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from emargin_train.config import TrainConfig
from emargin_train.encode import encode
from emargin_train.encoders.base import seeded
from emargin_train.encoders.projector import Projector, ProjectorSettings
from emargin_train.errors import UserError
from emargin_train.methods import METHODS
from emargin_train.methods.base import Method
from emargin_train.train import train
from tests.emargin_train.evaluation.synthetic import splits

SIDES = dataclasses.replace(splits(), magnitude_scale=2.0)
MASK = np.random.default_rng(0).random(SIDES.validation.y.shape) < 0.3
MASK[4] = False
NAMES = [name for name, method in METHODS.items() if method.role == "reference"]


def reference(name: str, **more: object) -> Method:
    """A reference that has seen the training frames."""
    (state,) = train(TrainConfig.from_dict({"method": name} | more), SIDES)
    assert (state.step, state.losses, state.optimizer) == (0, [], None)
    return state.method


def spectra() -> np.ndarray:
    return SIDES.validation.x()[MASK]


def scales(name: str) -> list[dict[str, str]]:
    """The settings of the spectrum scale that a reference has."""
    fixed = METHODS[name].fixed_scale is not None
    return [{}] if fixed else [{"spectrum_scale": "magnitude"}, {"spectrum_scale": "log"}]


def test_these_are_the_references() -> None:
    assert NAMES == ["raw", "log-raw", "pca", "random"]


@pytest.mark.parametrize("name, scale", [(name, scale) for name in NAMES for scale in scales(name)])
def test_rows_are_frames_in_order(name: str, scale: dict[str, str]) -> None:
    method = reference(name, **scale)
    every = encode(method, SIDES.validation, np.ones_like(MASK))
    assert every.dtype == np.float32 and every.shape == (MASK.size, {"random": 320}.get(name, 6))
    found = encode(method, SIDES.validation, MASK)
    np.testing.assert_allclose(found, every[MASK.reshape(-1)], rtol=1e-4, atol=1e-5)


def test_raw_and_log_raw_are_the_spectra() -> None:
    assert (encode(reference("raw"), SIDES.validation, MASK) == spectra()).all()
    found = encode(reference("log-raw"), SIDES.validation, MASK)
    np.testing.assert_allclose(found, np.log1p(spectra() / 2), rtol=1e-6)


@pytest.mark.parametrize("scale", ["magnitude", "log"])
def test_pca_meets_scikit_learn(scale: str) -> None:
    def see(x: np.ndarray) -> np.ndarray:
        return np.log1p(x / 2) if scale == "log" else x

    expected = PCA(6).fit(see(SIDES.train.x().reshape(-1, 6))).transform(see(spectra()))
    found = encode(reference("pca", spectrum_scale=scale), SIDES.validation, MASK)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-3)


def test_pca_keeps_the_largest_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emargin_train.methods.pca.COMPONENTS", 2)
    found = encode(reference("pca"), SIDES.train, np.ones(SIDES.train.y.shape, bool))
    expected = PCA(2).fit(SIDES.train.x().reshape(-1, 6)).explained_variance_
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found.var(0, ddof=1), expected, rtol=1e-3)


def test_pca_is_fitted_on_some_frames_where_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode(reference("pca"), SIDES.validation, MASK)
    monkeypatch.setattr("emargin_train.methods.pca.FIT_CAP", 400)
    some, again = (encode(reference("pca", seed=1), SIDES.validation, MASK) for _ in range(2))
    assert (some == again).all() and (some != whole).any()


def test_random_is_the_encoder_as_it_starts() -> None:
    with seeded(3):
        encoder = Projector(6, ProjectorSettings(kernel_size=3)).eval()
    with torch.no_grad():
        some = MASK.any(1)
        expected = encoder(torch.from_numpy(SIDES.validation.x(some))).numpy()[MASK[some]]
    found = encode(reference("random", seed=3, kernel_size=3), SIDES.validation, MASK)
    assert (found == expected).all()
    for other in ({"seed": 4, "kernel_size": 3}, {"seed": 3}):
        assert (encode(reference("random", **other), SIDES.validation, MASK) != expected).any()


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UserError, match="method is 'rnadom': did you mean 'random'"):
        TrainConfig.from_dict({"method": "rnadom"})
