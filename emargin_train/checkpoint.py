"""A State on disk: whole or not at all."""

import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from emargin_train.errors import UserError

if TYPE_CHECKING:
    from emargin_train.train import State

FORMAT = 1
DAMAGED = (
    RuntimeError,
    pickle.UnpicklingError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
)  # seen on loading


def save(state: "State", path: Path) -> None:
    """Write to a neighbouring file, then rename: a reader never meets a half-written checkpoint."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            torch.save({"format": FORMAT, **state.to_dict()}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """What `State.to_dict` gave: plain values and tensors only (nothing in a checkpoint is executed)."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"checkpoint {path} does not exist: give one that a training wrote") from None
    except DAMAGED as error:
        raise UserError(
            f"checkpoint {path} is damaged ({type(error).__name__}): give another, or start anew"
        ) from None
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise UserError(f"checkpoint {path} is not of format {FORMAT}: write it with this version")
    return saved
