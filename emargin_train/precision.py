"""The number format in which a training computes (`--precision`); every row of results states it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import torch

from emargin_train.errors import UserError

_chosen: ContextVar[str] = ContextVar("precision", default="float32")


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Inside, a training computes in these numbers. What is in float64 stays in float64.

    tf32: the factors of all matrix products are rounded to TensorFloat-32
    bf16: the factors of a contrast's products are rounded to bfloat16 (`contrast_products`); in those of the
        encoder too, metrics would move by up to a quarter of their spread over seeds (docs/log.md)
    """
    token = _chosen.set(precision)
    try:
        with _products("high" if precision == "tf32" else "highest"):
            yield
    finally:
        _chosen.reset(token)


@contextmanager
def contrast_products() -> Iterator[None]:
    """Inside, S = z z^T and M z are computed as `computing_in` says. Sums stay in float32."""
    if _chosen.get() != "bf16":
        yield
        return
    with _products("medium"):
        yield


@contextmanager
def _products(how: str) -> Iterator[None]:
    """As PyTorch calls it; afterwards the earlier choice is restored."""
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(how)
    torch.backends.cudnn.allow_tf32 = how == "high"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


def check(precision: str, device: str) -> None:
    """Raises UserError where the device cannot compute in these numbers: it would silently use float32."""
    on_cpu = torch.device(device).type == "cpu"
    if precision == "tf32" and on_cpu:
        raise UserError(
            "--precision is tf32, but a CPU has no TensorFloat-32: train on a GPU, or leave it out"
        )
    if precision == "bf16" and not on_cpu:
        raise UserError("--precision is bf16, which is for CPUs: give tf32 on a GPU")
    if precision == "bf16" and not has_bf16():
        raise UserError(
            "--precision is bf16, but PyTorch would multiply in float32 on this processor: leave it out"
        )


@cache
def has_bf16() -> bool:
    """Whether PyTorch computes such products in bfloat16 on this processor, by trying one.

    Flags in /proc/cpuinfo do not decide it: some processors have avx512_bf16, and PyTorch still uses float32.
    """
    factor = torch.full((256, 256), 1 + 2**-10)  # bfloat16 rounds this to 1
    with _products("medium"):
        return bool((factor @ factor == 256).all())
