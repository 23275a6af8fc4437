"""Metrics have the values of the first implementation, which used arrays; intended changes are listed."""

import json
from pathlib import Path

import numpy as np
import pytest

from emargin_train.data.frames import Frames
from emargin_train.evaluation.chosen import choose
from emargin_train.evaluation.evaluate import evaluate
from emargin_train.evaluation.table import MEASURED

from .synthetic import splits

VALUES = json.loads((Path(__file__).parent / "values.json").read_text())  # by commit a1eb9e6
LATER = {"silhouette_permuted"}  # metrics that this commit did not have
REFITTED = 0.02  # the MLP now sees all training subjects
BORDER = 0.002  # probes: a frame or two lie on the border between two classes
EXACT = 1e-6


def spectra(frames: Frames, mask: np.ndarray) -> np.ndarray:
    return frames.x()[mask]


def rectified(frames: Frames, mask: np.ndarray) -> np.ndarray:
    """Forty dependent features, half of them 0, as of an encoder."""
    mixed = frames.x()[mask] @ np.random.default_rng(5).standard_normal((6, 40)) * np.logspace(0, -2, 40)
    return np.maximum(mixed - 0.5, 0).astype(np.float32)


def thread(frames: Frames, mask: np.ndarray) -> np.ndarray:
    """A spiral with some noise."""
    x = frames.x()[mask]
    s = (x[:, 0] - x[:, 1])[:, None]
    return np.concatenate([x[:, :3] * 0.1, np.cos(s), np.sin(s), s], 1).astype(np.float32)


@pytest.mark.parametrize("embed", [spectra, rectified, thread])
def test_metrics_keep_their_values(embed):
    data = splits()
    found, expected = evaluate(embed, data, choose(data)).metrics, VALUES[embed.__name__]
    assert tuple(expected) == tuple(name for name in MEASURED if name not in LATER)
    for name, value in expected.items():
        tolerance = REFITTED if "mlp" in name else BORDER if "probe" in name or "knn" in name else EXACT
        assert found[name] == pytest.approx(value, rel=EXACT, abs=tolerance), name
