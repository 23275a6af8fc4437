"""A trained encoder, ready to encode recordings.

encoder = load_encoder("runs/first/checkpoints/emargin-0003-0-0.pt")
found = encoder.encode(recording)        # found.h (n, D), found.start_s (n,)
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emargin_train import checkpoint
from emargin_train.config import TrainConfig
from emargin_train.data.frames import count_frames, majority
from emargin_train.data.recording import UNLABELLED, Recording
from emargin_train.data.sequences import append
from emargin_train.data.sequences import piece as part_of
from emargin_train.data.signal_file import FileOptions, open_file
from emargin_train.data.signal_spec import SignalSpec
from emargin_train.errors import UserError, nearest
from emargin_train.methods.base import Method, Shape

MLFLOW = ("runs:/", "models:/")
SEQUENCES = 16  # in one batch
PIECE = 1 << 16  # samples that are cut into frames at once


@dataclass(frozen=True)
class Encoded:
    """The embeddings of a recording's frames, in order of time.

    h: (n, D) float32; start_s: (n,) float64, the start of each frame in seconds from the start of the record
    label: the class of most of a frame's samples, None = unlabelled
    """

    h: np.ndarray
    start_s: np.ndarray
    label: list[str | None]
    record: str
    subject: str


@dataclass(frozen=True)
class Seen:
    """Consecutive frames on their way to an encoder: x (n, F) float32, what it sees; see `Encoded`."""

    x: np.ndarray
    start_s: np.ndarray
    label: list[str | None]
    record: str
    subject: str

    def __len__(self) -> int:
        return len(self.x)

    def split(self, n: int) -> tuple["Seen", "Seen"]:
        """The first n frames, and the others."""
        parts = (slice(0, n), slice(n, None))
        a, b = (replace(self, x=self.x[s], start_s=self.start_s[s], label=self.label[s]) for s in parts)
        return a, b

    def embedded(self, h: np.ndarray) -> Encoded:
        return Encoded(h, self.start_s, self.label, self.record, self.subject)


def joined(parts: list[Seen]) -> Seen:
    return replace(
        parts[0],
        x=np.concatenate([part.x for part in parts]),
        start_s=np.concatenate([part.start_s for part in parts]),
        label=[label for part in parts for label in part.label],
    )


def cut(recording: Recording) -> Iterator[Recording]:
    """The recording in pieces of at most `PIECE` samples."""
    n = recording.signal.shape[1]
    for first in range(0, n, PIECE):
        yield part_of(recording, first, min(first + PIECE, n))


@dataclass(frozen=True)
class TrainedEncoder:
    """A trained method, with everything that turns a recording into frames like those of its training.

    signal: the channels, units, rate and frames of the training; class_names: the names of its classes
    about: its origin (git revision, versions, data hash, steps)
    """

    config: TrainConfig
    method: Method
    signal: SignalSpec
    class_names: tuple[str, ...]
    about: dict[str, Any]

    @property
    def n_features(self) -> int:
        """F, how many numbers of a frame the encoder sees."""
        return self.method.setup.shape.n_features

    @property
    def dim(self) -> int:
        """D, how many numbers an embedding has."""
        x = self.method.like.new_zeros(1, self.signal.sequence_length, self.n_features)
        return self.method.encode(x).shape[-1]

    def encode(self, source: Recording | Path | str | np.ndarray, **options: Any) -> Encoded:
        """Embeddings of all frames of a recording, a file, or an array (channels, samples).

        options: of a file those of `encode_file`, of an array those of `encode_array`
        Raises UserError where channels, units or rate do not fit and cannot be converted, and where the
        source is shorter than a frame.
        """
        if isinstance(source, np.ndarray):
            return self.encode_array(source, **options)
        if isinstance(source, Recording):
            if options:
                raise UserError(f"{next(iter(options))} is given, but a recording states it: leave it out")
            parts = list(self.encode_pieces(cut(source)))
            name, lasts = f"record {source.record}", f"lasts {source.seconds:g} s, but"
        else:
            parts = list(self.encode_file(source, **options))
            name, lasts = str(source), "holds no stretch as long as a frame:"
        if not parts:
            raise UserError(
                f"{name} {lasts} a frame of the encoder lasts "
                f"{self.signal.frame / self.signal.rate_hz:g} s: give a longer recording"
            )
        return Encoded(
            np.concatenate([part.h for part in parts]),
            np.concatenate([part.start_s for part in parts]),
            [label for part in parts for label in part.label],
            parts[0].record,
            parts[0].subject,
        )

    def encode_file(self, path: Path | str, **options: Any) -> Iterator[Encoded]:
        """Embeddings of one file, part by part; the file is read block by block.

        options: what the file does not state (`emargin_train.data.signal_file.FileOptions`)
        Raises UserError naming what is missing or does not fit.
        """
        for name in options:
            if name not in FileOptions.__dataclass_fields__:
                raise TypeError(
                    f"'{name}' says nothing about a file: {nearest(name, FileOptions.__dataclass_fields__)}"
                )
        for stretch in open_file(Path(path), FileOptions(**options), self.signal).stretches:
            yield from self.encode_pieces(stretch)

    def encode_array(
        self,
        signal: np.ndarray,
        *,
        rate_hz: float | None = None,
        units: tuple[str, ...] | str | None = None,
        record: str = "array",
    ) -> Encoded:
        """Embeddings of one recording without labels.

        signal: (C, samples), the channels of the training in their order
        rate_hz, units: None = those of the training, as they are then taken to be; one unit is that of all
            channels
        Raises UserError where they cannot be converted, and where values are missing.
        """
        spec = self.signal
        values = np.asarray(signal, np.float32)
        if values.ndim != 2 or len(values) != len(spec.channels):
            raise UserError(
                f"the signal has the shape {values.shape}, but the encoder needs a row for each of "
                f"{', '.join(spec.channels)}: give (channels, samples)"
            )
        if not np.isfinite(values).all():
            raise UserError(
                "the signal has values that are missing or not finite: encode the stretches between them one "
                "by one"
            )
        if rate_hz is not None and not 0 < rate_hz < float("inf"):
            raise UserError(f"rate_hz is {rate_hz:g}, but it counts samples a second: give more than 0")
        labels = np.full(values.shape[1], UNLABELLED, np.int16)
        units = (units,) if isinstance(units, str) else units
        units = spec.units if units is None else units * len(values) if len(units) == 1 else units
        if len(units) != len(values):
            raise UserError(
                f"units are {', '.join(units)}, but the channels are {', '.join(spec.channels)}: give one "
                "unit, or one for each"
            )
        rate_hz = spec.rate_hz if rate_hz is None else rate_hz
        return self.encode(Recording(values, rate_hz, labels, (), record, record, spec.channels, units))

    def encode_pieces(self, pieces: Iterable[Recording]) -> Iterator[Encoded]:
        """Embeddings of a recording that comes in pieces, as soon as a batch of sequences is there.

        They are the same, bit by bit, wherever the recording is cut. Nothing is yielded for a recording that
        is shorter than a frame. Memory: a piece and a batch, however long the recording is.
        """
        return self._embedded(self._frames(self.signal.conformed(pieces)))

    def _frames(self, pieces: Iterator[Recording]) -> Iterator[Seen]:
        """What the encoder sees of all frames. What a frame of a later piece needs is kept until then."""
        spec = self.signal
        kept: Recording | None = None
        due = 0  # the sample at which the next frame begins
        for piece in pieces:
            piece = replace(piece, signal=spec.normalised(piece.signal), clean=None)
            due = piece.start if kept is None else due
            kept = piece if kept is None else append(kept, piece)
            n_samples = kept.signal.shape[1]
            own = part_of(kept, min(due - kept.start, n_samples), n_samples)
            n = count_frames(own.signal.shape[1], spec.frame, spec.hop)
            if n:
                first = due + np.arange(n) * spec.hop
                y = majority(own.labels, spec.frame, spec.hop, len(own.class_names))
                label = [None if i < 0 else own.class_names[i] for i in y.tolist()]
                x = self.method.cut()(own.signal, spec.frame, spec.hop)
                yield Seen(x, first / own.rate_hz, label, own.record, own.subject)
                due += n * spec.hop
            kept = part_of(kept, min(due - kept.start, n_samples), n_samples)

    def _embedded(self, found: Iterator[Seen]) -> Iterator[Encoded]:
        """Embeddings of consecutive frames, in sequences as long as in training.

        What remains at the end is encoded in the last whole sequence that holds it, so that no frame has less
        context than in training.
        """
        t = self.signal.sequence_length
        waiting: list[Seen] = []
        context = np.empty((0, self.n_features), np.float32)  # the sequence before the waiting frames
        for frames in found:
            waiting.append(frames)
            while sum(map(len, waiting)) >= SEQUENCES * t:
                now, *waiting = joined(waiting).split(SEQUENCES * t)
                yield now.embedded(self.embed(now.x))
                context = now.x[len(now) - t :]
        if sum(map(len, waiting)):
            last = joined(waiting)
            yield last.embedded(self.embed(np.concatenate([context, last.x]))[len(context) :])

    def embed(self, x: np.ndarray) -> np.ndarray:
        """Spectra, or raw samples, of consecutive frames (n, F) -> embeddings (n, D) float32."""
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

    path: a checkpoint of `emargin_train.train`, as `runs/NAME/checkpoints/TRIAL-0-0.pt`; or where MLflow has
        the encoder, as `runs:/RUN_ID/encoder`, `models:/NAME/VERSION` or `models:/MODEL_ID`
    Raises UserError for a file that is damaged, or whose training did not see recordings.
    """
    if str(path).startswith(MLFLOW):
        with tempfile.TemporaryDirectory() as folder:
            saved = checkpoint.load(_downloaded(str(path), folder))
    else:
        saved = checkpoint.load(Path(path))
    config = TrainConfig.from_dict(saved["config"])
    if saved["signal"] is None:
        raise UserError(
            f"checkpoint {path} does not say what its signals were, since its training was given frames "
            "instead of recordings: load its weights with torch instead"
        )
    method = config.new_method(Shape(*saved["shape"]), saved["magnitude_scale"])
    method.load_state_dict(saved["method"])
    about = {name: saved[name] for name in ("git_revision", "versions", "data_hash", "step")}
    return TrainedEncoder(
        config, method.eval(), SignalSpec.from_dict(saved["signal"]), tuple(saved["class_names"]), about
    )


def _downloaded(uri: str, folder: str) -> Path:
    """The checkpoint of an encoder that MLflow has, where MLFLOW_TRACKING_URI says."""
    try:
        import mlflow
    except ImportError:
        raise UserError(f"{uri} is in MLflow, which is not installed: pip install mlflow") from None
    if not (mlflow.is_tracking_uri_set() or Path("mlflow.db").exists() or Path("mlruns").exists()):
        raise UserError(  # else MLflow would make a database in the current folder, and look there
            f"{uri} is in MLflow, but nothing says where that is: set MLFLOW_TRACKING_URI, to "
            "sqlite:///runs/mlflow.db for example"
        )
    try:
        place = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{uri} cannot be loaded from MLflow at {mlflow.get_tracking_uri()} ({reason}): check it, and "
            "MLFLOW_TRACKING_URI"
        ) from None
    found = sorted(place.glob("artifacts/*.pt"))
    if len(found) != 1:
        raise UserError(f"{uri} holds no encoder: give the model of a run, as runs:/RUN_ID/encoder")
    return found[0]
