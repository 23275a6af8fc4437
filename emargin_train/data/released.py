"""The packed files that the paper's code reads.

    train.pt, val.pt                    `samples` (n, 1, L) windows, `labels` (n,): sleep EEG as TF-C packs it
    tensor_data.pkl, tensor_label.pkl   (n, C, L) recordings and (n, L) labels: ECG

A pack states neither subjects nor times. `train.pt` is the training split and `val.pt` the validation split,
each one stream of windows. In the others, each recording counts as a subject; `split = released` joins them
(sequences.py), as the paper's code does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from emargin_train.data.packed_files import load_pickle, load_torch
from emargin_train.data.recording import Part, Recording, unbroken
from emargin_train.data.settings import DataConfig
from emargin_train.data.versions import READERS
from emargin_train.errors import UserError

TORCH = {"train": "train.pt", "validation": "val.pt"}
PICKLES = ("tensor_data.pkl", "tensor_label.pkl")
MAX_CLASSES = 1000


@dataclass(frozen=True)
class Pack:
    """What a pack does not say of itself.

    rate_hz: samples per second; None = a window counts as one second
    class_names: None = the numbers in the file
    """

    rate_hz: float | None
    class_names: tuple[str, ...] | None


def or_packed(parts: Callable[[DataConfig], list[Part]], pack: Pack) -> Callable[[DataConfig], list[Part]]:
    """The reader `parts`, but for a data folder with packed files the reader of these."""

    def either(config: DataConfig) -> list[Part]:
        return packed_parts(config, pack) if is_packed(config.data_dir) else parts(config)

    return either


def is_packed(folder: str | None) -> bool:
    """Whether one of the packed files lies there."""
    names = (*TORCH.values(), *PICKLES)
    return folder is not None and any((Path(folder) / name).is_file() for name in names)


def packed_parts(config: DataConfig, pack: Pack) -> list[Part]:
    """The parts of a folder with packed files."""
    if config.data_dir is None or not is_packed(config.data_dir):
        raise UserError(
            f"'{config.data_dir}' holds neither {' and '.join(TORCH.values())} nor {' and '.join(PICKLES)}: "
            "give the folder of the packed files as --data-dir"
        )
    folder = Path(config.data_dir)
    wanted = PICKLES if (folder / PICKLES[0]).is_file() else tuple(TORCH.values())
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder / missing[0]} is missing: get it too, beside {', '.join(wanted)}")
    settings = f"packed {READERS['packed']} {pack!r}"
    if wanted == PICKLES:
        paths = (folder / PICKLES[0], folder / PICKLES[1])
        return [Part(partial(read_pickles, paths, pack), paths, settings)]
    return [
        Part(partial(read_torch, folder / name, split, pack), (folder / name,), settings, split)
        for split, name in TORCH.items()
    ]


def read_torch(path: Path, split: str, pack: Pack) -> list[Recording]:
    """The windows of a torch file as one stream."""
    content = load_torch(path, ("samples", "labels"))
    windows, labels = content["samples"], content["labels"]
    if windows.ndim == 2:
        windows = windows[:, None]
    if windows.ndim != 3 or labels.shape != windows.shape[:1] or windows.size == 0:
        raise UserError(
            f"{path} holds samples {windows.shape} and labels {labels.shape}, not (n, channels, length) and "
            "(n,): get the file of the paper's code"
        )
    signal = windows.transpose(1, 0, 2).reshape(windows.shape[1], -1)
    y = np.repeat(class_codes(path, labels, pack.class_names), windows.shape[2])
    return recordings(path, signal, y, pack, windows.shape[2], subject=split, record=path.stem)


def read_pickles(paths: tuple[Path, Path], pack: Pack) -> list[Recording]:
    """The recordings of the two pickles, each a subject of its own."""
    signal, labels = load_pickle(paths[0]), load_pickle(paths[1])
    if signal.ndim != 3 or labels.size != signal.shape[0] * signal.shape[2] or signal.size == 0:
        raise UserError(
            f"{paths[0]} holds {signal.shape} and {paths[1].name} {labels.shape}, not (n, channels, "
            "length) and (n, length): get the files of the paper's code"
        )
    y = class_codes(paths[1], labels.reshape(signal.shape[0], -1), pack.class_names)
    return [
        recording
        for i, (values, codes) in enumerate(zip(signal, y, strict=True))
        for recording in recordings(
            paths[0], values, codes, pack, signal.shape[2], subject=f"{i:04}", record=f"{i:04}"
        )
    ]


def class_codes(path: Path, labels: np.ndarray, class_names: tuple[str, ...] | None) -> np.ndarray:
    """Labels as int16, after checking that they are classes."""
    limit = MAX_CLASSES if class_names is None else len(class_names)
    numbers = labels.astype(np.int64) if labels.dtype.kind in "iuf" and np.isfinite(labels).all() else None
    if numbers is None or (numbers != labels).any() or numbers.min() < 0 or numbers.max() >= limit:
        raise UserError(
            f"{path} holds labels that are not whole numbers from 0 to {limit - 1}: "
            "give the dataset that the file belongs to, or --dataset packed"
        )
    return numbers.astype(np.int16)


def recordings(
    path: Path, signal: np.ndarray, y: np.ndarray, pack: Pack, window: int, *, subject: str, record: str
) -> list[Recording]:
    """The finite stretches of one stream (C, samples)."""
    if signal.dtype.kind not in "iuf":
        raise UserError(f"{path} holds samples that are not numbers: get the file of the paper's code")
    signal = np.ascontiguousarray(signal, np.float32)
    names = pack.class_names or tuple(map(str, range(int(y.max()) + 1)))
    channels = tuple(f"channel {i + 1}" for i in range(len(signal)))
    return [
        Recording(
            signal[:, i:j],
            float(window) if pack.rate_hz is None else pack.rate_hz,
            y[i:j],
            names,
            subject,
            record,
            channels,
            ("",) * len(signal),
            start=i,
        )
        for i, j in unbroken(signal)
    ]
