"""The scale on which an encoder sees magnitude spectra."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

ToInput = Callable[[np.ndarray | Tensor], Tensor]


def spectrum_scale(name: str, magnitude_scale: float) -> ToInput:
    """Magnitudes x of any shape -> input: `magnitude` gives x itself, `log` gives log(1 + x / scale).

    magnitude_scale: `Splits.magnitude_scale`, above 0
    """
    return partial(_log, scale=magnitude_scale) if name == "log" else torch.as_tensor


def _log(x: np.ndarray | Tensor, scale: float) -> Tensor:
    return torch.log1p(torch.as_tensor(x) / scale)
