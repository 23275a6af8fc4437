"""A training's State as bytes, and as a file that is written whole or not at all."""

import io
import pickle
from pathlib import Path
from typing import Any, Protocol

import torch

from emargin_train.errors import UserError
from emargin_train.files import write_whole

FORMAT = 2
DAMAGED = (
    RuntimeError,
    pickle.UnpicklingError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
)  # torch.load may raise any of these for damaged files


class Savable(Protocol):
    """The part of a State that this file uses."""

    def to_dict(self) -> dict[str, Any]: ...


def save(state: Savable, path: Path) -> None:
    """Write a checkpoint, so that a reader never finds a half-written one."""
    write_whole(Path(path), to_bytes(state))


def to_bytes(state: Savable) -> bytes:
    """The bytes that `save` writes."""
    file = io.BytesIO()
    torch.save({"format": FORMAT, **state.to_dict()}, file)
    return file.getvalue()


def load(source: Path | bytes) -> dict[str, Any]:
    """What `State.to_dict` gave: plain values and tensors only (nothing in a checkpoint is executed).

    source: the file of `save`, or the bytes of `to_bytes`
    """
    name = "from another process" if isinstance(source, bytes) else str(source)
    if isinstance(source, Path) and source.is_dir():
        raise UserError(f"{name} is a folder: give a checkpoint, as in the folder checkpoints of a study")
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        saved = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"checkpoint {name} does not exist: give one that a training wrote") from None
    except DAMAGED as error:
        raise UserError(
            f"{name} is no checkpoint, or a damaged one ({type(error).__name__}): give another, or train "
            "again"
        ) from None
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise UserError(f"checkpoint {name} does not have format {FORMAT}: train again with this version")
    return saved
