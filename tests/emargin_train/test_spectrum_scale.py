"""The scale on which an encoder sees magnitudes."""

import numpy as np
import torch

from emargin_train.spectrum_scale import spectrum_scale

X = np.array([[0.0, 1.0, 3.0]], np.float32)


def test_magnitudes_are_shown_as_they_are() -> None:
    assert torch.equal(spectrum_scale("magnitude", 2.0)(X), torch.from_numpy(X))


def test_the_logarithm_is_of_1_plus_multiples_of_the_typical_magnitude() -> None:
    assert torch.allclose(spectrum_scale("log", 2.0)(X), torch.log(1 + torch.from_numpy(X) / 2))
    assert torch.equal(spectrum_scale("log", 2.0)(torch.from_numpy(X)), spectrum_scale("log", 2.0)(X))
