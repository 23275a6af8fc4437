"""Every method on extreme data: the result is finite, or the data are refused in one line with the remedy."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from emargin_train.data.frames import Frames, Splits
from emargin_train.errors import UserError
from emargin_train.hyperparameters import table
from emargin_train.methods import METHODS
from emargin_train.methods.pretext import Pretext
from emargin_train.train import State, start, train
from tests.emargin_train.configs import TRAINED, config
from tests.emargin_train.synthetic import make_splits

# Without BatchNorm, or with several copies of a frame to normalise over.
WITHOUT_NORMALISATION = (
    "simmtm", "simmtm-released", "simmtm-published",
    "ts2vec-published", "softclt-published", "cost-published", "mf-clr-published"
)  # fmt: skip
TWO_FRAMES = ("infonce-semi",)  # a labelled sequence stands beside each batch

# Sizes and settings of each case, and which methods refuse them with which words.
EDGES: dict[str, tuple[dict[str, int], dict[str, Any], dict[str, str]]] = {
    "one frame": (
        {"t": 1},
        {},
        {
            "cpc": "cpc.steps is 4",
            "infots": "k = 8",
            "timedrl": "length of 2",
            "tnc": "length of 2",
            "cpc-released": "6 frames or more",
            "infots-released": "k = 2",
            "timedrl-published": "length of 2",
            "timedrl-released": "length of 2",
            "tnc-released": "longer sequences",
            "cpc-published": "fewer steps",
            "tnc-published": "length of 2",
            "emargin": "length of 2",
            "emargin-adjacent": "length of 2",
            "emargin-released": "length of 2",
            "emargin-semi": "length of 2",
        },
    ),
    "two frames": (
        {"t": 2},
        {},
        {
            "cpc": "fewer steps",
            "cpc-published": "fewer steps",
            "infots": "k = 8",
            "cpc-released": "6 frames or more",
            "tnc-released": "longer sequences",
        },
    ),
    "fewer frames than segments": ({"t": 7}, {}, {"infots": "k from 2"}),
    "one sequence a batch": (
        {},
        {"batch_size": 1},
        {
            "timedrl": "batch size of 2",
            "timedrl-published": "batch size of 2",
            "timedrl-released": "batch size of 2",
            "tnc": "larger batch",
            "tnc-published": "larger batch",
        },
    ),
    "one feature": ({"f": 1}, {}, {"mf-clr": "1 bins", "mf-clr-published": "1 bins"}),
    "few frames for windows": ({"t": 20}, {"tnc.window": 20}, {"tnc-released": "smaller tnc.window"}),
    "an odd number of frames": ({"t": 19}, {}, {}),
    "one frame a batch": (
        {"t": 1},
        {"batch_size": 1},
        dict.fromkeys([n for n in TRAINED if n not in (*WITHOUT_NORMALISATION, *TWO_FRAMES)], "give"),
    ),
}


def finite(state: State, frames: Frames) -> None:
    assert np.isfinite(state.losses).all()
    method = state.method.eval()
    with torch.no_grad():
        h = method.encode(method.to_input(torch.from_numpy(method.seen(frames).x())))
    assert h.isfinite().all()


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("edge", EDGES)
def test_edges_are_finite_or_refused_in_one_line(name: str, edge: str) -> None:
    size, more, refused = EDGES[edge]
    splits = make_splits(**size)
    more = {column: value for column, value in more.items() if column in table(name)}
    if refused.get(name) is not None:
        with pytest.raises(UserError, match=refused[name]) as said:
            list(train(config(name, iterations=2, **more), splits))
        assert "\n" not in str(said.value) and "give" in str(said.value)
        return
    *_, state = train(config(name, iterations=2, **more), splits)
    finite(state, splits.train)


def constant(splits: Splits, value: float, n_features: int) -> Splits:
    store = splits.train.store.copy()
    store[..., :n_features] = value
    train, validation = (dataclasses.replace(f, store=store) for f in (splits.train, splits.validation))
    return dataclasses.replace(splits, train=train, validation=validation)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("value, n_features", [(1.0, 3), (0.0, 15), (7.0, 15)])
def test_constant_features_are_finite(name: str, value: float, n_features: int) -> None:
    splits = constant(make_splits(), value, n_features)
    *_, state = train(config(name, iterations=2), splits)
    finite(state, splits.train)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("n_channels", [1, 12])
def test_one_and_twelve_channels_are_finite(name: str, n_channels: int) -> None:
    splits = dataclasses.replace(make_splits(f=3 * n_channels), n_channels=n_channels)
    *_, state = train(config(name, iterations=2), splits)
    finite(state, splits.train)


@pytest.mark.parametrize(
    "name", [n for n in TRAINED if issubclass(METHODS[n], Pretext) and METHODS[n].own_encoder is None]
)
def test_the_encoder_starts_as_that_of_every_other_method(name: str) -> None:
    """Rows of one seed are compared: they start from the same weights."""
    splits = make_splits()
    one, other = (start(config(n), splits).method.encoder.state_dict() for n in (name, "infonce"))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
