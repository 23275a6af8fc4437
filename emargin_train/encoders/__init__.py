"""The encoders by name. A new encoder is a file in this folder; no other file has to change."""

from emargin_train.discovery import named_classes
from emargin_train.encoders.base import Encoder
from emargin_train.errors import UserError, nearest

ENCODERS: dict[str, type[Encoder]] = named_classes(__name__, __path__, Encoder)


def find_encoder(name: str) -> type[Encoder]:
    """Raises UserError for an unknown name."""
    if name not in ENCODERS:
        raise UserError(f"encoder is '{name}': {nearest(name, ENCODERS)}")
    return ENCODERS[name]
