"""What a recording must be so that an encoder sees it as it saw its training data."""

from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any, Self

import numpy as np
import scipy.signal

from emargin_train.data.recording import Recording
from emargin_train.data.units import converted
from emargin_train.errors import UserError

LARGEST_TERM = 1000  # of the ratio of two rates, as 256:100 = 64:25


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

    def conformed(self, recording: Recording) -> Recording:
        """The recording with the channels, units and rate of training; other channels are left out.

        Raises UserError where it cannot be made so.
        """
        missing = [name for name in self.channels if name not in recording.channels]
        if missing:
            raise UserError(
                f"record {recording.record} has the channels {', '.join(recording.channels)}, but the "
                f"encoder needs {', '.join(self.channels)}: give its channels these names in the description"
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
        return self._at_rate(converted(recording, self.units, "the encoder's training data"))

    def _at_rate(self, recording: Recording) -> Recording:
        """Resampled with a low-pass filter (scipy.signal.resample_poly) where the rate is another one."""
        if np.isclose(recording.rate_hz, self.rate_hz, rtol=1e-6):
            return recording
        ratio = Fraction(self.rate_hz / recording.rate_hz).limit_denominator(LARGEST_TERM)
        if ratio == 0 or abs(float(ratio) * recording.rate_hz / self.rate_hz - 1) > 1e-6:
            raise UserError(
                f"record {recording.record} has {recording.rate_hz:g} samples a second, which cannot be "
                f"resampled to {self.rate_hz:g} by a ratio of small whole numbers: give "
                f"rate_hz = {self.rate_hz:g} in the description"
            )
        up, down = ratio.numerator, ratio.denominator
        signal = scipy.signal.resample_poly(recording.signal, up, down, axis=1, padtype="line")
        first = (np.arange(signal.shape[1]) * down // up).clip(max=len(recording.labels) - 1)
        return replace(
            recording,
            signal=signal.astype(np.float32),
            labels=recording.labels[first],
            rate_hz=self.rate_hz,
            start=recording.start * up // down,
            clean=None,
        )
