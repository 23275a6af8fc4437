"""No exponential of a loss is a subnormal number, with which many processors are slow."""

import pytest
import torch

from emargin_train.losses.cpc import predictive_contrast
from emargin_train.losses.exponentials import exp_below_top_
from emargin_train.losses.two_views import contrast


@pytest.mark.parametrize("dtype, log_tiny", [(torch.float32, -87.3), (torch.float64, -708.3)])
def test_exponentials_are_normal_numbers(dtype: torch.dtype, log_tiny: float) -> None:
    s = torch.tensor([0, -1, -50, log_tiny - 1, 10 * log_tiny, -torch.inf], dtype=dtype)
    usual = s.exp()
    assert 0 < usual[3] < torch.finfo(dtype).tiny
    found = exp_below_top_(s.clone())
    assert (found > 1e4 * torch.finfo(dtype).tiny).all()  # and so are its products with small weights
    torch.testing.assert_close(found, usual, rtol=0, atol=1e-25)
    assert exp_below_top_(torch.tensor([torch.nan])).isnan().all()


def test_losses_of_long_embeddings_are_those_in_float64() -> None:
    """Inner products here differ by up to 1,000, so that most exponentials would be subnormal or 0."""
    g = torch.Generator().manual_seed(0)
    z = 3 * torch.randn(2, 3, 20, 60, generator=g)
    found = []
    for dtype in (torch.float32, torch.float64):
        z1, z2 = (part.to(dtype).requires_grad_() for part in z)
        both = contrast(z1, z2).sum() + predictive_contrast(z1, z2[None])
        found.append([both, *torch.autograd.grad(both, (z1, z2))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5)
