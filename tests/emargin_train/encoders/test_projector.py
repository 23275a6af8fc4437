"""The projector: its initial weights, its blocks, and how far a frame is seen."""

import pytest
import torch
from torch.nn import functional as F

from emargin_train.encoders.base import seeded
from emargin_train.encoders.projector import Projector, ProjectorSettings
from emargin_train.errors import UserError
from tests.emargin_train.synthetic import make_frames

FRAMES = make_frames(150, 12, 15)


def projector(kernel_size: int = 1, *, seed: int = 1) -> Projector:
    with seeded(seed):
        return Projector(15, ProjectorSettings(kernel_size=kernel_size))


def trained(kernel_size: int = 1) -> Projector:
    """A projector whose BatchNorm has seen data, in evaluation mode."""
    encoder = projector(kernel_size)
    encoder(torch.from_numpy(FRAMES.x()))
    return encoder.eval()


def test_initial_weights_are_pytorchs_and_of_the_seed_alone() -> None:
    torch.manual_seed(7)
    expected = torch.nn.Conv1d(15, 128, 1).weight
    torch.manual_seed(0)
    before = torch.get_rng_state()
    encoder = projector(seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(encoder.blocks[0].weight, expected)
    assert not torch.equal(projector(seed=8).blocks[0].weight, expected)
    assert [p.shape[0] for p in encoder.parameters() if p.ndim == 3] == [128, 64, 320]


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_blocks_are_convolution_norm_and_rectifier(kernel_size: int) -> None:
    encoder = trained(kernel_size)
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
    encoder = trained(kernel_size)
    x = torch.from_numpy(FRAMES.x(slice(1))).clone()
    before = encoder(x)
    x[0, 6] += 1
    touched = (encoder(x) != before).any(-1)[0].nonzero().ravel().tolist()
    assert touched == list(range(max(0, 6 - reach), min(12, 6 + reach + 1)))
    assert encoder.sees_sequence == (reach > 0)


@pytest.mark.parametrize("kernel_size", [0, 2, -1])
def test_a_kernel_has_a_frame_in_its_middle(kernel_size: int) -> None:
    with pytest.raises(UserError, match=f"kernel_size is {kernel_size}, but"):
        ProjectorSettings(kernel_size=kernel_size)
