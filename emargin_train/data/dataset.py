"""One dataset: how it is read, framed and labelled. `catalogue.py` lists all of them."""

from collections.abc import Callable
from dataclasses import dataclass

from emargin_train.data.recording import Part
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One dataset and its defaults; frames are given in seconds, so that any sampling rate keeps them."""

    name: str
    title: str
    parts: Callable[[DataConfig], list[Part]]
    frame_seconds: float
    hop_seconds: float
    sequence_length: int  # T, frames
    normalise: str = "none"  # none | channel: mean 0, deviation 1 per channel, by training data alone
    released_share: float = 0.8  # `split = released`: share of the sequences that is for training
    class_names: tuple[str, ...] | None = None  # None: as the recordings say
    labelled: bool = True  # False: its description says that there are no labels
    simulated: bool = False
    twin: str | None = None  # its simulated counterpart
    iterations: int = 600
    margin: float = 5.0
    temperature: float = 0.1

    def frame_and_hop(self, rate_hz: float) -> tuple[int, int]:
        """Both in samples at this rate."""
        frame, hop = round(self.frame_seconds * rate_hz), round(self.hop_seconds * rate_hz)
        if frame < 2 or hop < 1:
            raise UserError(
                f"frames of {self.frame_seconds:g} s, {self.hop_seconds:g} s apart, are {frame} and {hop} "
                f"samples at {rate_hz:g} Hz, but need 2 and 1: give longer frames, or correct time_unit "
                "if the recordings have more samples a second"
            )
        return frame, hop
