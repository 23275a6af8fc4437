"""What a recording must be so that an encoder sees it as it saw its training data."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from emargin_train.data.recording import Recording
from emargin_train.data.resample import resampled
from emargin_train.data.units import converted
from emargin_train.errors import UserError


@dataclass(frozen=True)
class SignalSpec:
    """The signals of a training, and how they were cut into frames.

    channels, units: in the order of the features; rate_hz: samples per second
    frame, hop: in samples at this rate
    mean, deviation: of each channel, taken off and divided by before the spectra; 0 and 1 = as it is
    sequence_length: T, frames that the encoder saw together
    """

    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate_hz: float
    frame: int
    hop: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    sequence_length: int

    @property
    def n_features(self) -> int:
        return len(self.channels) * (self.frame // 2 + 1)

    def to_dict(self) -> dict[str, Any]:
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Self:
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items()}
        return cls(**values)

    def conformed(self, pieces: Iterable[Recording]) -> Iterator[Recording]:
        """The pieces of one recording with the channels, units and rate of training, without other channels.

        Raises UserError where that cannot be.
        """
        return resampled(map(self._in_units, pieces), self.rate_hz)

    def _in_units(self, recording: Recording) -> Recording:
        missing = [name for name in self.channels if name not in recording.channels]
        if missing:
            raise UserError(
                f"record {recording.record} has the channels {', '.join(recording.channels)}, but the "
                f"encoder needs {', '.join(self.channels)}: give its channels these names in the file that "
                "describes it"
            )
        order = [recording.channels.index(name) for name in self.channels]
        if order != list(range(len(recording.channels))):
            recording = replace(
                recording,
                signal=recording.signal[order],
                channels=self.channels,
                units=tuple(recording.units[i] for i in order),
                clean=None,
            )
        return converted(recording, self.units, "the encoder's training data")

    def normalised(self, signal: np.ndarray) -> np.ndarray:
        """(C, samples) float32 by the statistics of the training split."""
        normal = (signal - np.array(self.mean)[:, None]) / np.array(self.deviation)[:, None]
        return normal.astype(np.float32)
