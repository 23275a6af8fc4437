"""From a dataset's name to frames, split and cached."""

from emargin_train.data.load import load

__all__ = ["load"]
