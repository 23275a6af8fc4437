"""MATLAB files: version 5 through SciPy, version 7.3 (HDF5) through h5py.

A variable that is a vector is a column; of a matrix, named as `variable`, the columns are its channels: its
longer side is time. A dot in a name leads into a structure: `data.ecg`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from emargin_train.data.files import bounded
from emargin_train.errors import UserError, nearest

HDF5 = b"\x89HDF\r\n\x1a\n"


def read_columns(
    path: Path, asked: Sequence[str | int], variable: str | None
) -> dict[str | int, pa.ChunkedArray]:
    """The columns asked for, of one length each."""
    if variable is not None:
        matrix = np.atleast_2d(_variable(path, variable))
        if matrix.ndim != 2 or matrix.dtype.kind not in "iufb":
            raise UserError(f"{path}: '{variable}' is no matrix of numbers: name another variable")
        matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T  # (C, n)
    columns: dict[str | int, pa.ChunkedArray] = {}
    for one in asked:
        if variable is not None and isinstance(one, int):
            if one > len(matrix):
                raise UserError(
                    f"{path}: '{variable}' has {len(matrix)} channels, but channel {one} is asked for"
                )
            values = matrix[one - 1]
        elif isinstance(one, int):
            raise UserError(f"{path}: position {one} needs a matrix: give variable = its name")
        else:
            values = np.squeeze(_variable(path, one))
            values = values[None] if values.ndim == 0 else values
            if values.ndim != 1:
                raise UserError(f"{path}: '{one}' is {values.shape}, not a vector: name it as variable")
        columns[one] = pa.chunked_array([_plain(one, values)])
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {n:,}" for name, n in lengths.items())
        raise UserError(f"{path} has variables of different lengths ({told}): name those of one length")
    return columns


def names(path: Path) -> list[str]:
    """The names of the file's variables."""
    if _is_hdf5(path):
        with _h5py(path).File(path, "r") as file:
            return [key for key in file if not key.startswith("#")]
    import scipy.io

    return [name for name, _, _ in scipy.io.whosmat(str(path))]


def _plain(name: object, values: np.ndarray) -> pa.Array:
    """MATLAB stores whole numbers as floating point: where all are whole, they are integers again."""
    if values.dtype.kind in "OUS":
        return pa.array([None if v is None else str(v) for v in values.tolist()], pa.string())
    if values.dtype.kind == "c":
        raise UserError(f"'{name}' holds complex numbers: store its real part, or its size, as a variable")
    values = np.ascontiguousarray(values)
    if values.dtype.kind == "f":
        missing = np.isnan(values)
        whole = np.where(missing, 0, values).clip(-(2.0**53), 2.0**53).astype(np.int64)
        if (whole == values)[~missing].all():
            return pa.array(whole, mask=missing)
    return pa.array(values)


def _variable(path: Path, name: str) -> np.ndarray:
    """A variable's value, or a structure's field."""
    return _of_hdf5(path, name) if _is_hdf5(path) else _of_version_5(path, name)


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(1024)
    return HDF5 in (start[:8], start[512:520])


def _of_version_5(path: Path, name: str) -> np.ndarray:
    import scipy.io
    from scipy.io.matlab import MatReadError

    try:
        return _loaded(scipy.io, path, name)
    except MatReadError as error:  # not one of the errors that `reading` knows
        raise ValueError(str(error)) from None


def _loaded(io: Any, path: Path, name: str) -> np.ndarray:
    bounded(path, path.stat().st_size // 2)
    shapes = {own: shape for own, shape, _ in io.whosmat(str(path))}
    first, *fields = name.split(".")
    if first not in shapes:
        raise UserError(f"{path} has no variable '{first}': {nearest(first, shapes)}")
    bounded(path, int(np.prod(shapes[first], dtype=object)))
    value: Any = io.loadmat(str(path), variable_names=[first], simplify_cells=True)[first]
    for field in fields:
        if not isinstance(value, dict) or field not in value:
            known = value if isinstance(value, dict) else []
            raise UserError(f"{path}: '{name}' is no field there: {nearest(field, known)}")
        value = value[field]
    return np.asarray(value)


def _h5py(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise UserError(f"{path} is a .mat file of version 7.3, which needs h5py: pip install h5py") from None
    return h5py


def _of_hdf5(path: Path, name: str) -> np.ndarray:
    h5py = _h5py(path)
    with h5py.File(path, "r") as file:
        place = name.replace(".", "/")
        if place not in file or not isinstance(file[place], h5py.Dataset):
            known = [key for key in file if not key.startswith("#")]
            raise UserError(f"{path} has no variable '{name}': {nearest(name, known)}")
        dataset = file[place]
        bounded(path, int(np.prod(dataset.shape, dtype=object)))
        if dataset.dtype == h5py.ref_dtype:  # a cell array of texts
            texts = [_text(file[ref][()]) for ref in np.ravel(dataset[()])]
            return np.array(texts, object)
        value = dataset[()]
    return np.asarray(value).T  # HDF5 keeps MATLAB's columns as rows


def _text(codes: np.ndarray) -> str:
    return "".join(chr(int(code)) for code in np.ravel(codes))
