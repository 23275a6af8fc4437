"""Signals at another rate, piece by piece: the same numbers, bit by bit, wherever a signal is cut."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from emargin_train.data.recording import Recording
from emargin_train.errors import UserError

LARGEST_TERM = 1000  # of the ratio of two rates, as 256:100 = 64:25
REACH = 10  # periods of the slower rate to which the filter of scipy.signal.resample_poly reaches


def resampled(pieces: Iterable[Recording], rate_hz: float) -> Iterator[Recording]:
    """The pieces of one recording at `rate_hz`, behind a low-pass filter where that is the slower rate.

    The filter is that of scipy.signal.resample_poly; the signal is continued beyond its ends by its first and
    last value. `down` samples of the pieces become `up` samples; a sample has the label of the one at or
    before its time. Raises UserError where the rates have no ratio of small numbers.
    """
    pieces = iter(pieces)
    first = next(pieces, None)
    if first is None:
        return
    if np.isclose(first.rate_hz, rate_hz, rtol=1e-6):
        yield first
        yield from pieces
        return
    from scipy.signal import resample_poly  # a second that recordings at this rate do not need

    up, down = _ratio(first, rate_hz)
    margin = math.ceil((REACH * max(up, down) / up + 1) / down)  # groups of `down` samples within its reach
    signal, labels = first.signal, first.labels
    held = done = 0  # groups: where `signal` begins, and how many are resampled

    def group(until: int | None) -> Recording:
        """The resampled groups from `done` on."""
        whole = resample_poly(signal, up, down, axis=1, padtype="edge")
        begin, end = (done - held) * up, None if until is None else (until - held) * up
        values = whole[:, begin:end].astype(np.float32)
        of = (np.arange(begin, begin + values.shape[1]) * down // up).clip(max=len(labels) - 1)
        return replace(
            first,
            signal=values,
            labels=labels[of],
            rate_hz=rate_hz,
            start=first.start * up // down + done * up,
            clean=None,
        )

    for piece in pieces:
        signal = np.concatenate([signal, piece.signal], axis=1)
        labels = np.concatenate([labels, piece.labels])
        ready = held + signal.shape[1] // down - margin
        if ready > done:
            yield group(ready)
            done = ready
            keep = max(0, done - margin)
            signal, labels = signal[:, (keep - held) * down :], labels[(keep - held) * down :]
            held = keep
    if signal.shape[1]:
        yield group(None)


def _ratio(recording: Recording, rate_hz: float) -> tuple[int, int]:
    ratio = Fraction(rate_hz / recording.rate_hz).limit_denominator(LARGEST_TERM)
    if ratio == 0 or abs(float(ratio) * recording.rate_hz / rate_hz - 1) > 1e-6:
        raise UserError(
            f"record {recording.record} has {recording.rate_hz:g} samples a second, which no ratio of small "
            f"numbers turns into {rate_hz:g}: give rate_hz = {rate_hz:g} in a description (a TOML file)"
        )
    return ratio.numerator, ratio.denominator
