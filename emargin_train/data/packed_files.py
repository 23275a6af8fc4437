"""Read arrays from the paper code's packed files, without running any code that a file contains.

A pickle is a program. `load_pickle` follows one that builds NumPy arrays or torch tensors, by functions of
its own under the names that such pickles call, and refuses any other name. `load_torch` uses torch's
weights_only.
"""

import io
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from emargin_train.data.files import bounded, reading
from emargin_train.errors import UserError

PLAIN = re.compile(r"[<>|=]?(?:[iuf][1248]|b1)|\?")


def load_torch(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The named tensors of a dictionary saved by torch.save, as arrays."""
    import torch

    with reading(path, "a torch file"):
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
                raise UserError(f"{path} claims more bytes than it has: it is damaged, get it again")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise UserError(
                f"{path} holds more than tensors ({str(error).splitlines()[0][:120]}): "
                "it is not read, since it could run code; save tensors only"
            ) from None
        if not isinstance(content, dict) or not all(name in content for name in names):
            raise UserError(f"{path} does not hold {' and '.join(names)}: get the file of the paper's code")
        return {name: _array(path, content[name]) for name in names}


def load_pickle(path: Path) -> np.ndarray:
    """The array or tensor in a pickle file."""
    with reading(path, "a pickle of an array"):
        bounded(path, path.stat().st_size // 2)
        return _array(path, _ArrayUnpickler(path).load())


def _array(path: Path, value: Any) -> np.ndarray:
    import torch

    if isinstance(value, _Array):
        value = value.value
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_complex() or value.is_quantized:
            raise UserError(f"{path} holds a tensor that is not plain numbers: save it as floats or integers")
        bounded(path, value.numel())
        value = value.detach().numpy() if value.dtype != torch.bfloat16 else value.float().detach().numpy()
    if not isinstance(value, np.ndarray):
        raise UserError(
            f"{path} holds a {type(value).__name__} instead of an array: get the file of the paper's code"
        )
    bounded(path, value.size)
    return value


class _Dtype:
    """Stands for numpy.dtype: numbers only."""

    def __init__(self, code: str, *_: object) -> None:
        if not isinstance(code, str) or not PLAIN.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of '{str(code)[:40]}' instead of numbers")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])


class _Array:
    """Stands for numpy.ndarray; `value` is the array once its state was set."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.value = _frombuffer(raw, dtype, shape, "F" if fortran else "C").value

    @classmethod
    def of(cls, value: np.ndarray) -> "_Array":
        array = cls()
        array.value = value
        return array


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _frombuffer(raw: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("an array of objects instead of numbers")
    flat = np.frombuffer(raw, dtype.value)
    if len(shape) > 8 or min(shape, default=0) < 0:
        raise pickle.UnpicklingError(f"an array of shape {shape}")
    return _Array.of(flat.reshape(shape, order="F" if order == "F" else "C"))


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text encoded as {encoding}")
    return text.encode("latin1")


def _storage(raw: bytes) -> Any:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the protocol: what it cannot read, it refuses
        return torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Any:
    import torch

    return torch._utils._rebuild_tensor_v2(storage, offset, size, stride, False, OrderedDict())


ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("collections", "OrderedDict"): OrderedDict,
}


class _ArrayUnpickler(pickle._Unpickler):
    """The unpickler in Python: the one in C allocates what a damaged file claims before reading it."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.BytesIO(path.read_bytes()))
        self.path = path

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in ALLOWED:
            raise UserError(
                f"{self.path} wants to call {str(module)[:60]}.{str(name)[:60]}, but only arrays and "
                "tensors are unpickled, since a pickle can run code: save the array alone"
            )
        return ALLOWED[module, name]

    def get_extension(self, code: int) -> NoReturn:
        raise pickle.UnpicklingError(f"a reference to extension {code}")

    def persistent_load(self, pid: object) -> NoReturn:
        raise pickle.UnpicklingError("a reference to something outside the file")
