"""Encoding gives the embeddings of the chosen frames in order, independent of the other chosen frames."""

import numpy as np
import pytest
import torch

from emargin_train import encode as module
from emargin_train.config import TrainConfig
from emargin_train.encode import encode
from emargin_train.methods.base import Method
from emargin_train.train import start
from tests.emargin_train.synthetic import make_frames, make_splits

FRAMES = make_frames(150, 12, 15)
ALL = np.ones(FRAMES.shape[:2], bool)


def trained(**more: object) -> Method:
    """A method whose BatchNorm has seen data, in evaluation mode."""
    method = start(TrainConfig.from_dict({"method": "infonce"} | more), make_splits(t=12)).method
    method.encode(torch.from_numpy(FRAMES.x()))
    return method.eval()


@pytest.mark.parametrize("more", [{"kernel_size": 1}, {"kernel_size": 3}, {"encoder": "dilated"}])
def test_encode_equals_the_whole_at_once(more: dict[str, object]) -> None:
    method = trained(**more)
    whole = method.encode(torch.from_numpy(FRAMES.x())).detach().numpy()
    chosen = np.random.default_rng(0).random(FRAMES.shape[:2]) < 0.3
    chosen[:70] = False  # whole sequences without a chosen frame
    part = encode(method, FRAMES, chosen)
    assert isinstance(part, np.ndarray) and part.dtype == np.float32
    assert np.allclose(part, whole[chosen], atol=1e-5)
    assert np.allclose(encode(method, FRAMES, ALL), whole.reshape(-1, 320), atol=1e-5)
    assert encode(method, FRAMES, np.zeros_like(chosen)).shape == (0, 320)


def test_the_encoder_sees_the_chosen_scale() -> None:
    method = trained(spectrum_scale="log")
    scale = method.setup.magnitude_scale
    expected = method.encode(torch.log1p(torch.from_numpy(FRAMES.x()) / scale)).detach().flatten(0, 1)
    assert np.allclose(encode(method, FRAMES, ALL), expected, atol=1e-5)


@pytest.mark.parametrize("mode", [True, False])
def test_encode_leaves_encoder_and_mode_as_they_were(mode: bool) -> None:
    method = trained().train(mode)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    encode(method, FRAMES, ALL)
    assert method.training == mode and all(part.training == mode for part in method.modules())
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


def test_encode_refuses_a_mask_of_another_shape() -> None:
    with pytest.raises(TypeError, match="not bool"):
        encode(trained(), FRAMES, ALL[:, 1:])
    with pytest.raises(TypeError, match="not bool"):
        encode(trained(), FRAMES, ALL.astype(int))


def test_the_size_of_batches_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    method = trained(kernel_size=3)
    whole = encode(method, FRAMES, ALL)
    monkeypatch.setattr(module, "ENCODE_SEQUENCES", 7)
    assert np.allclose(encode(method, FRAMES, ALL), whole, atol=1e-5)
