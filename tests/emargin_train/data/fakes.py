"""Datasets made up by a test, registered for its duration."""

from collections.abc import Iterable

import numpy as np

from emargin_train.data import catalogue
from emargin_train.data.catalogue import Dataset
from emargin_train.data.recording import Part, Recording


def recording(
    signal: np.ndarray,
    labels: np.ndarray,
    subject: str,
    record: str = "r",
    start: int = 0,
    n_classes: int = 3,
) -> Recording:
    """One made-up recording at 10 Hz."""
    signal = np.atleast_2d(signal).astype(np.float32)
    names = tuple("abcdefgh"[:n_classes])
    channels = tuple(f"c{i}" for i in range(len(signal)))
    return Recording(
        signal, 10.0, labels.astype(np.int16), names, subject, record, channels, ("V",) * len(signal), start
    )


def noisy_recording(subject: str, seconds: int, seed: int, n_classes: int = 3) -> Recording:
    """White noise in which every class comes up."""
    rng = np.random.default_rng(seed)
    labels = np.arange(10 * seconds) // 40 % n_classes
    return recording(
        rng.standard_normal((2, 10 * seconds)) * (1 + labels), labels, subject, subject, 0, n_classes
    )


def register(
    monkeypatch, recordings: Iterable[Recording], *, splits: dict[str, str] | None = None, **settings
):
    """Register the recordings as dataset "fake", each a part of its own; frames of 1 s every half second."""
    parts = [
        Part(
            lambda r=r: [r],
            settings=f"{r.subject} {r.record} {r.start} {(r.signal.tobytes() + r.labels.tobytes()).hex()}",
            split=(splits or {}).get(r.subject, ""),
        )
        for r in recordings
    ]
    given = {"frame_seconds": 1.0, "hop_seconds": 0.5, "sequence_length": 4} | settings
    dataset = Dataset(name="fake", title="made up", parts=lambda config: parts, **given)
    monkeypatch.setitem(catalogue.DATASETS, "fake", dataset)
    return dataset
