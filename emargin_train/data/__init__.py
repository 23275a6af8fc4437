"""From a dataset's name to frames, split and cached."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emargin_train.data.loading import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """`load` is imported when it is first asked for: it needs the readers of all files."""
    if name == "load":
        from emargin_train.data.loading import load

        return load
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
