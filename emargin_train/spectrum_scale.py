"""What an encoder is shown of magnitude spectra."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

ToInput = Callable[[np.ndarray | Tensor], Tensor]


def spectrum_scale(name: str, magnitude_scale: float) -> ToInput:
    """Magnitudes x of any shape -> input: `magnitude` gives x itself, `log` gives log(1 + x / scale).

    magnitude_scale: `Splits.magnitude_scale`, above 0
    """

    def to_input(x: np.ndarray | Tensor) -> Tensor:
        x = torch.as_tensor(x)
        return torch.log1p(x / magnitude_scale) if name == "log" else x

    return to_input
