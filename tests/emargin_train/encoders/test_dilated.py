"""The dilated convolution: its blocks, how far a frame is seen, and dropout, which only training uses."""

import pytest
import torch
from torch.nn import functional as F

from emargin_train.encoders.base import seeded
from emargin_train.encoders.dilated import Dilated, DilatedSettings

X = torch.rand(2, 40, 6, generator=torch.Generator().manual_seed(0))


def dilated(**own: float) -> Dilated:
    with seeded(1):
        return Dilated(6, DilatedSettings(**({"depth": 2, "width": 5, "dim": 7} | own)))  # type: ignore[arg-type]


def test_blocks_are_two_convolutions_and_a_way_around() -> None:
    encoder = dilated().eval()
    h = (X @ encoder.input_fc.weight.T + encoder.input_fc.bias).transpose(1, 2)
    for i, block in enumerate(encoder.blocks):
        step = 2**i
        inner = F.conv1d(F.gelu(h), block.conv1.weight, block.conv1.bias, padding=step, dilation=step)
        inner = F.conv1d(F.gelu(inner), block.conv2.weight, block.conv2.bias, padding=step, dilation=step)
        last = i == 2
        h = inner + (F.conv1d(h, block.projector.weight, block.projector.bias) if last else h)
    torch.testing.assert_close(encoder(X), h.transpose(1, 2))
    assert encoder(X).shape == (2, 40, 7) and encoder.dim == 7 and encoder.sees_sequence


@pytest.mark.parametrize("depth, reach", [(0, 2), (1, 6), (2, 14)])
def test_a_frame_is_seen_as_far_as_the_dilations_reach(depth: int, reach: int) -> None:
    """Each block reaches twice its dilation to both sides."""
    encoder = dilated(depth=depth).eval()
    x = X.clone()
    x[0, 20] += 1
    touched = (encoder(x) != encoder(X)).any(-1)
    assert touched[0].nonzero().ravel().tolist() == list(range(20 - reach, 20 + reach + 1))
    assert not touched[1].any()


def test_the_default_has_ten_blocks_of_64_channels_before_the_last_and_320_dimensions() -> None:
    encoder = Dilated(6)
    assert len(encoder.blocks) == 11 and encoder.dim == 320
    assert [block.conv1.dilation for block in encoder.blocks] == [(2**i,) for i in range(11)]
    assert {block.conv2.weight.shape[0] for block in encoder.blocks[:-1]} == {64}


def test_dropout_is_of_the_output_and_of_training_alone() -> None:
    encoder = dilated(dim=500, dropout=0.4)
    whole = encoder.eval()(X)
    assert torch.equal(whole, encoder(X))
    dropped = encoder.train()(X)
    kept = dropped != 0
    assert (~kept).float().mean().item() == pytest.approx(0.4, abs=0.02)
    torch.testing.assert_close(dropped[kept], whole[kept] / 0.6)


def test_a_hidden_latent_hides_its_frame() -> None:
    """A masked latent is 0, so that the frame there does not matter; its neighbours are seen as before."""
    encoder, mask, other = dilated(depth=1).eval(), torch.ones(2, 40, dtype=torch.bool), X.clone()
    mask[:, 7] = False
    other[:, 7] = 7.0
    masked = encoder(X, mask)
    assert torch.equal(encoder(other, mask), masked)
    assert not torch.allclose(encoder(X), masked)
    assert torch.equal(encoder(X, torch.ones_like(mask)), encoder(X))
