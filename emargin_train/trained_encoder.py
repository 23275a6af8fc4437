"""An encoder that a training found, ready to encode recordings.

encoder = load_encoder("runs/first/checkpoints/emargin-0003-0-0.pt")
found = encoder.encode(recording)        # found.h (n, D), found.start_s (n,)
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emargin_train import checkpoint
from emargin_train.config import TrainConfig
from emargin_train.data.frames import majority, spectra
from emargin_train.data.recording import Recording
from emargin_train.data.signal_spec import SignalSpec
from emargin_train.errors import UserError
from emargin_train.methods.base import Method, Shape

SEQUENCES = 64  # in one batch


@dataclass(frozen=True)
class Encoded:
    """The embeddings of a recording's frames, in order of time.

    h: (n, D) float32; start_s: (n,) float64, where each frame begins, in seconds from the start of the record
    label: class that most of a frame has, None = unlabelled
    """

    h: np.ndarray
    start_s: np.ndarray
    label: list[str | None]
    record: str
    subject: str


@dataclass(frozen=True)
class TrainedEncoder:
    """A trained method, with what turns a recording into the frames that it was trained on.

    signal: the channels, units, rate and frames of the training; class_names: of its labels
    about: where it comes from (git revision, versions, data hash, steps)
    """

    config: TrainConfig
    method: Method
    signal: SignalSpec
    class_names: tuple[str, ...]
    about: dict[str, Any]

    def encode(self, recording: Recording) -> Encoded:
        """Embeddings of all frames of a recording.

        Raises UserError where its channels, units or rate do not fit and cannot be converted, and where it is
        shorter than a frame.
        """
        own = self.signal.conformed(recording)
        x = self._spectra(own)
        if len(x) == 0:
            raise UserError(
                f"record {recording.record} lasts {recording.seconds:g} s, but a frame of the encoder lasts "
                f"{self.signal.frame / self.signal.rate_hz:g} s: give a longer recording"
            )
        first = own.start + np.arange(len(x)) * self.signal.hop
        y = majority(own.labels, self.signal.frame, self.signal.hop, len(own.class_names))
        label = [None if i < 0 else own.class_names[i] for i in y.tolist()]
        return Encoded(self.embed(x), first / own.rate_hz, label, own.record, own.subject)

    def _spectra(self, recording: Recording) -> np.ndarray:
        """Magnitude spectra of all frames, (n, F) float32, normalised by the statistics of training."""
        spec = self.signal
        normal = (recording.signal - np.array(spec.mean)[:, None]) / np.array(spec.deviation)[:, None]
        return spectra(normal.astype(np.float32), spec.frame, spec.hop)

    def embed(self, x: np.ndarray) -> np.ndarray:
        """Magnitude spectra of consecutive frames (n, F) -> embeddings (n, D) float32.

        The frames are cut into sequences as long as in training. What remains at the end is encoded in the
        last whole sequence that holds it, so that no frame has less context than in training.
        """
        self.method.eval()
        t = min(self.signal.sequence_length, len(x))
        whole = len(x) // t
        parts = [
            self.method.embed(x[first * t : min(first + SEQUENCES, whole) * t].reshape(-1, t, x.shape[1]))
            for first in range(0, whole, SEQUENCES)
        ]
        rest = len(x) - whole * t
        if rest:
            parts.append(self.method.embed(x[None, len(x) - t :])[:, t - rest :])
        h = [part.flatten(0, 1).cpu().numpy().astype(np.float32) for part in parts]
        return np.concatenate(h)


def load_encoder(path: Path | str) -> TrainedEncoder:
    """The encoder in a checkpoint, in evaluation mode on the CPU; nothing in the file is executed.

    path: a checkpoint of `emargin_train.train`, as `runs/NAME/checkpoints/TRIAL.pt`
    Raises UserError for a file that is damaged, or whose training did not see recordings.
    """
    saved = checkpoint.load(Path(path))
    config = TrainConfig.from_dict(saved["config"])
    if saved["signal"] is None:
        raise UserError(
            f"checkpoint {path} does not say what its signals were, since its training was given frames: "
            "load its weights with torch instead"
        )
    method = config.new_method(Shape(*saved["shape"]), saved["magnitude_scale"])
    method.load_state_dict(saved["method"])
    about = {name: saved[name] for name in ("git_revision", "versions", "data_hash", "step")}
    return TrainedEncoder(
        config, method.eval(), SignalSpec.from_dict(saved["signal"]), tuple(saved["class_names"]), about
    )
