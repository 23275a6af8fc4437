"""Every method's transformer passes aeon's checks and works with scikit-learn's tools."""

import pickle

import numpy as np
import pytest
from aeon.testing.estimator_checking import check_estimator
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from emargin_train.errors import UserError
from emargin_train.estimators import DATA, ESTIMATORS, EMargin, InfoNCE
from emargin_train.hyperparameters import table
from emargin_train.methods import METHODS


def series(n: int = 12, channels: int = 2, samples: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Two classes of noise: slow and fast."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, channels, samples)), np.repeat(["slow", "fast"], n // 2)
    x[y == "slow"] = np.cumsum(x[y == "slow"], axis=-1)
    return x, y


@pytest.mark.parametrize("name", METHODS)
def test_aeon_finds_nothing(name: str) -> None:
    found = check_estimator(ESTIMATORS[name])
    assert len(found) >= 18
    assert {check: said for check, said in found.items() if said != "PASSED"} == {}


@pytest.mark.parametrize("name", METHODS)
def test_parameters_are_the_hyperparameters(name: str) -> None:
    own = {"takes", "frame_length", "hop_length", "pooling", "random_state"}
    expected = {column.replace(".", "_") for column in table(name) if column not in DATA} | own
    assert set(ESTIMATORS[name]().get_params()) == expected
    assert METHODS[name].title in (ESTIMATORS[name].__doc__ or "")


def test_clone_and_pickle_give_the_same_features() -> None:
    x, _ = series()
    fitted = EMargin(iterations=3, batch_size=4).fit(x)
    copied = pickle.loads(pickle.dumps(fitted))
    again = clone(fitted).fit(x)
    for other in (copied, again):
        np.testing.assert_array_equal(other.transform(x), fitted.transform(x))
    assert fitted.transform(x).shape == (12, 320)


def test_pooling_and_frames() -> None:
    x, _ = series()
    frames = InfoNCE(iterations=1, pooling=None, frame_length=8, hop_length=4).fit(x).transform(x)
    assert frames.shape == (12, 320, 15)
    highest = InfoNCE(iterations=1, pooling="max", frame_length=8, hop_length=4).fit(x).transform(x)
    np.testing.assert_allclose(highest, frames.max(-1))


def test_a_pipeline_classifies_and_a_grid_is_searched() -> None:
    x, y = series()
    pipeline = make_pipeline(EMargin(iterations=2, batch_size=4), LogisticRegression(max_iter=1000))
    found = GridSearchCV(pipeline, {"emargin__margin": [0.5, 2.0]}, cv=2).fit(x, y)
    assert found.best_score_ > 0.7 and found.best_params_["emargin__margin"] in (0.5, 2.0)


def test_a_share_is_given_instead_of_a_threshold() -> None:
    x, _ = series()
    fitted = EMargin(iterations=1, dissimilar_share=0.5).fit(x)
    assert fitted.method_.dissimilar_share == pytest.approx(0.5, abs=0.02)
    with pytest.raises(UserError, match="threshold"):
        EMargin(iterations=1, dissimilar_share=0.5, threshold=0.9).fit(x)


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"frame_length": 65}, "frame_length is 65"),
        ({"frame_length": 0}, "frame_length is 0"),
        ({"frame_length": 10.0}, "frame_length is 10.0"),
        ({"hop_length": 0}, "hop_length is 0"),
        ({"takes": "spectra"}, "takes is 'spectra'"),
        ({"pooling": "sum"}, "pooling"),
        ({"margin": -1}, "margin"),
    ],
)
def test_wrong_values_are_named(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=named):
        EMargin(iterations=1, **wrong).fit(series()[0])


def test_frames_that_were_made_elsewhere_are_taken_as_they_are() -> None:
    """The magnitude spectra of the signals' own frames give the same embeddings, bit by bit."""
    x, _ = series()
    cut = InfoNCE(iterations=3, batch_size=4, frame_length=8, pooling=None).fit(x)
    made = cut._frames(x, np.zeros(len(x), int)).x(np.arange(len(x)))  # (n, T, F)
    frames = InfoNCE(iterations=3, batch_size=4, takes="frames", pooling=None)
    np.testing.assert_array_equal(frames.fit_transform(made.transpose(0, 2, 1)), cut.transform(x))
    with pytest.raises(UserError, match="nothing is cut"):
        InfoNCE(iterations=1, takes="frames", hop_length=2).fit(x)
    with pytest.raises(UserError, match="raw samples"):
        ESTIMATORS["tnc-published"](iterations=1, takes="frames").fit(x)


def test_one_frame_is_no_sequence() -> None:
    with pytest.raises(UserError, match="has one frame: give longer series, or a shorter frame_length"):
        EMargin(iterations=1, frame_length=64).fit(series()[0])
