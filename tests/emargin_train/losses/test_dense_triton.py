"""The Triton kernels of `dense` return what its PyTorch operations return.

They run on a GPU. Where Triton is installed (`pip install triton`), TRITON_INTERPRET=1 runs them on a CPU.
"""

import contextlib
import importlib.util
import os

import pytest
import torch
from torch import Tensor

from emargin_train.losses import dense, dense_torch
from emargin_train.losses.kernels import Kernel, Linear, Parabola

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None
    or not (DEVICE == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"),
    reason="needs a CUDA GPU, or Triton with TRITON_INTERPRET=1",
)


@pytest.fixture(params=[torch.float32, torch.float64])
def dtype(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.dtype:
    if DEVICE == "cpu":
        monkeypatch.setattr(torch.cuda, "device_of", lambda tensor: contextlib.nullcontext())
    return request.param


def kernels(name: str, members: int, like: Tensor) -> tuple[Kernel, ...]:
    def drawn(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(members, 1, 1)).to(like)

    tau = drawn(0.05, 0.5)
    if name == "linear":
        return (Linear(tau),)
    c = 0.05 / (2 * tau)
    return Parabola(-c), Parabola(c, centre=drawn(0, 3), one_sided=True)


def found(parts: object, h: Tensor, given: tuple[Kernel, ...], kind: Tensor | None, monkeypatch) -> list:
    monkeypatch.setattr(dense, "_parts", lambda h: parts)
    h = h.clone().requires_grad_()
    far, adjacent = dense.far_and_adjacent(h, given, kind)
    total = far.masked_fill(far == -torch.inf, 0).cos().sum() + adjacent.sin().sum()
    return [far.detach(), adjacent.detach(), *torch.autograd.grad(total, h)]


@pytest.mark.parametrize("name", ["linear", "parabola"])
@pytest.mark.parametrize("size", [(1, 1, 1, 2), (2, 1, 3, 5), (3, 2, 21, 8), (2, 4, 50, 16), (1, 3, 2, 320)])
def test_on_a_gpu_kernels_are_the_operations(name, size, dtype, monkeypatch):
    """Values and gradients of several members; one frame is zero, and the smallest size has no far pair."""
    from emargin_train.losses import dense_triton

    torch.manual_seed(0)
    h = torch.randn(size, dtype=dtype, device=DEVICE).clamp_min(-0.3)
    h[0, 0, 0] = 0
    given = kernels(name, size[0], h)
    kind = None if name == "linear" else torch.rand(size[:3], device=DEVICE) < 0.3
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for one, other in zip(
        found(dense_triton, h, given, kind, monkeypatch),
        found(dense_torch, h, given, kind, monkeypatch),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["linear", "parabola"])
def test_on_a_gpu_a_value_that_is_not_finite_stays_one(name, dtype, monkeypatch):
    """A training that diverges is noticed by its loss."""
    from emargin_train.losses import dense_triton

    h = torch.rand((1, 2, 5, 3), dtype=dtype, device=DEVICE)
    h[0, 1, 2, 1] = torch.nan
    kind = None if name == "linear" else torch.ones(1, 2, 5, dtype=torch.bool, device=DEVICE)
    monkeypatch.setattr(dense, "_parts", lambda h: dense_triton)
    far, adjacent = dense.far_and_adjacent(h, kernels(name, 1, h), kind)
    assert far.isnan().sum() == 8  # all but its two neighbours
    assert adjacent.isnan().sum() == 2
