"""The encoder's shape, its initial weights, and how frames become embeddings."""

import numpy as np
import pytest
import torch
from emargin_train.encoder import Encoder, encode, framing
from torch.nn import functional as F

from emargin_train.config import EncoderConfig
from tests.emargin_train.synthetic import make_frames

FRAMES = make_frames(150, 12, 15)
ALL = np.ones(FRAMES.shape[:2], bool)
AS_IS = framing("magnitude", 1.0)


def trained(config: EncoderConfig | None = None) -> Encoder:
    """An encoder whose BatchNorm has seen data, in evaluation mode."""
    encoder = Encoder(15, config, seed=1)
    encoder(torch.from_numpy(FRAMES.x()))
    return encoder.eval()


def test_initial_weights_are_pytorchs_and_of_the_seed_alone() -> None:
    torch.manual_seed(7)
    expected = torch.nn.Conv1d(15, 128, 1).weight
    torch.manual_seed(0)
    before = torch.get_rng_state()
    encoder = Encoder(15, seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(encoder.blocks[0].weight, expected)
    assert not torch.equal(Encoder(15, seed=8).blocks[0].weight, expected)
    assert [p.shape[0] for p in encoder.parameters() if p.ndim == 3] == [128, 64, 320]


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_blocks_are_convolution_norm_and_rectifier(kernel_size: int) -> None:
    encoder = trained(EncoderConfig(kernel_size=kernel_size))
    h = torch.from_numpy(FRAMES.x(slice(3))).transpose(1, 2)
    for i in (0, 3, 6):
        convolution, norm = encoder.blocks[i], encoder.blocks[i + 1]
        h = F.conv1d(h, convolution.weight, convolution.bias, padding=kernel_size // 2)
        mean, scale = norm.running_mean[:, None], (norm.running_var[:, None] + 1e-5).sqrt()
        h = ((h - mean) / scale * norm.weight[:, None] + norm.bias[:, None]).clamp_min(0)
    result = encoder(torch.from_numpy(FRAMES.x(slice(3))))
    torch.testing.assert_close(result, h.transpose(1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel_size, reach", [(1, 0), (3, 3), (5, 6)])
def test_a_frame_is_seen_as_far_as_the_kernel_reaches(kernel_size: int, reach: int) -> None:
    encoder = trained(EncoderConfig(kernel_size=kernel_size))
    x = torch.from_numpy(FRAMES.x(slice(1))).clone()
    before = encoder(x)
    x[0, 6] += 1
    touched = (encoder(x) != before).any(-1)[0].nonzero().ravel().tolist()
    assert touched == list(range(max(0, 6 - reach), min(12, 6 + reach + 1)))


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_encode_equals_the_whole_at_once(kernel_size: int) -> None:
    encoder = trained(EncoderConfig(kernel_size=kernel_size))
    whole = encoder(torch.from_numpy(FRAMES.x())).detach().numpy()
    chosen = np.random.default_rng(0).random(FRAMES.shape[:2]) < 0.3
    chosen[:70] = False  # whole sequences without a chosen frame
    part = encode(encoder, FRAMES, chosen, AS_IS)
    assert part.dtype == np.float32
    assert np.allclose(part, whole[chosen], atol=1e-5)
    assert np.allclose(encode(encoder, FRAMES, ALL, AS_IS), whole.reshape(-1, 320), atol=1e-5)
    assert encode(encoder, FRAMES, np.zeros_like(chosen), AS_IS).shape == (0, 320)


@pytest.mark.parametrize("mode", [True, False])
def test_encode_leaves_encoder_and_mode_as_they_were(mode: bool) -> None:
    encoder = trained().train(mode)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encode(encoder, FRAMES, ALL, AS_IS)
    assert encoder.training == mode
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_encode_refuses_a_mask_of_another_shape() -> None:
    with pytest.raises(TypeError, match="not bool"):
        encode(trained(), FRAMES, ALL[:, 1:], AS_IS)


def test_framing() -> None:
    x = np.array([[0.0, 1.0, 3.0]], np.float32)
    assert torch.equal(framing("magnitude", 2.0)(x), torch.from_numpy(x))
    assert torch.allclose(framing("log", 2.0)(x), torch.log(1 + torch.from_numpy(x) / 2))
    assert torch.equal(framing("log", 2.0)(torch.from_numpy(x)), framing("log", 2.0)(x))
