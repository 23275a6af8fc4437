"""Physical units: spellings of one unit, and factors between units of one quantity."""

from dataclasses import replace

from emargin_train.data.recording import Recording
from emargin_train.errors import UserError

STANDARD_GRAVITY = 9.80665  # m/s² in one g (CGPM 1901)
SCALES = {
    "V": ("voltage", 1.0), "mV": ("voltage", 1e-3), "uV": ("voltage", 1e-6), "nV": ("voltage", 1e-9),
    "g": ("acceleration", STANDARD_GRAVITY), "mg": ("acceleration", STANDARD_GRAVITY / 1e3),
    "m/s2": ("acceleration", 1.0),
    "rad/s": ("angular velocity", 1.0), "deg/s": ("angular velocity", 0.017453292519943295),
    "s": ("time", 1.0), "ms": ("time", 1e-3),
}  # fmt: skip
SPELLINGS = {
    "volt": "V", "volts": "V", "millivolt": "mV", "millivolts": "mV", "microvolt": "uV", "microvolts": "uV",
    "v": "V", "mv": "mV", "uv": "uV", "nv": "nV",
    "m/s/s": "m/s2", "m/sec2": "m/s2", "ms-2": "m/s2", "ms^-2": "m/s2",
    "m s-2": "m/s2", "rad/sec": "rad/s", "deg/sec": "deg/s",
    "dps": "deg/s", "°/s": "deg/s", "degree/s": "deg/s", "degrees/s": "deg/s",
}  # fmt: skip


def plain(unit: str) -> str:
    """One spelling of a unit: µ and μ become u, ² becomes 2, and common words their sign."""
    text = (
        unit.strip()
        .replace("µ", "u")
        .replace("μ", "u")
        .replace("²", "2")
        .replace("^2", "2")
        .replace("**2", "2")
    )
    return SPELLINGS.get(text.lower(), text) if text not in SCALES else text


def factor(own: str, wanted: str) -> float | None:
    """By which values in `own` become values in `wanted`; None where one is not known to be the other."""
    own, wanted = plain(own), plain(wanted)
    if own == wanted:
        return 1.0
    if own not in SCALES or wanted not in SCALES or SCALES[own][0] != SCALES[wanted][0]:
        return None
    return SCALES[own][1] / SCALES[wanted][1]


def converted(recording: Recording, units: tuple[str, ...], whose: str) -> Recording:
    """The recording in these units; UserError where one of its units cannot become the wanted one.

    whose: who has these units, for the message.
    """
    if recording.units == units:
        return recording
    factors = [factor(own, wanted) for own, wanted in zip(recording.units, units, strict=True)]
    for channel, own, wanted, by in zip(recording.channels, recording.units, units, factors, strict=True):
        if by is None:
            raise UserError(
                f"channel '{channel}' of record {recording.record} is in {_told(own)}, but in {whose} in "
                f"{_told(wanted)}, and these cannot be converted: give units in the description, or keep one "
                "kind of records"
            )
    signal, clean = recording.signal, recording.clean
    for row, by in enumerate(factors):
        if by != 1:
            signal = signal.copy() if signal is recording.signal else signal
            signal[row] *= by
            if clean is not None:
                clean = clean.copy() if clean is recording.clean else clean
                clean[row] *= by
    return replace(recording, signal=signal, clean=clean, units=units)


def _told(unit: str) -> str:
    return f"'{unit}'" if unit else "a unit that is not stated"
