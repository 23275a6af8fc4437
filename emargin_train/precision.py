"""The number format in which a training computes (`--precision`); every row of results states it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import torch

from emargin_train.cost import processor
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
        with _products("high" if precision == "tf32" else for_float32()):
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


@cache
def for_float32() -> str:
    """What PyTorch has to be asked for so that its products are in float32, and fast.

    For "highest" it calls MKL, which takes twice as long on AMD processors as oneDNN, which it calls for
    "medium" (docs/log.md). With "medium", oneDNN rounds factors to bfloat16 where the processor has AMX, and
    a GPU rounds them to TensorFloat-32. Elsewhere oneDNN stays in float32, so one product is tried.
    """
    if torch.cuda.is_available() or not processor().startswith("AMD"):
        return "highest"
    return "medium" if abs(_tried_product() - 256 * (1 + 2**-10) ** 2) < 1e-3 else "highest"


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
    return _tried_product() == 256


def _tried_product() -> float:
    """An entry of a product of "medium" precision: 256 in bfloat16, which rounds its factors to 1."""
    factor = torch.full((256, 256), 1 + 2**-10)
    with _products("medium"):
        return float((factor @ factor).mean())
