"""The methods by name. A new method is a file in this folder; no other file has to change."""

from emargin_train.discovery import named_classes
from emargin_train.errors import UserError, nearest
from emargin_train.methods.base import Method

METHODS: dict[str, type[Method]] = named_classes(__name__, __path__, Method)


def find_method(name: str) -> type[Method]:
    """Raises UserError for an unknown name."""
    if name not in METHODS:
        raise UserError(f"method is '{name}': {nearest(name, METHODS)}")
    return METHODS[name]
