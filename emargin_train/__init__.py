"""Self-supervised encoders of time series: data, methods, training, evaluation and encoding."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emargin_train.trained_encoder import TrainedEncoder


def load_encoder(path: Path | str) -> "TrainedEncoder":
    """The encoder in a checkpoint or in MLflow: `emargin_train.trained_encoder.load_encoder`."""
    from emargin_train import trained_encoder  # loads torch

    return trained_encoder.load_encoder(path)
