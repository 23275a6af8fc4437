"""The line from a dataset's name to split frames: recordings -> sequences -> spectra -> cache -> splits."""

import hashlib
import json
from typing import Any

import numpy as np

from emargin_train.data import cache, catalogue
from emargin_train.data.build import build, column, from_columns, settings
from emargin_train.data.frames import Frames, Splits, samples
from emargin_train.data.plan import splits_of
from emargin_train.data.settings import DataConfig
from emargin_train.data.signal_spec import SignalSpec
from emargin_train.data.split import describe


def load(config: DataConfig) -> Splits:
    """Frames of the dataset by split; computed once, then mapped from the cache.

    Raises UserError for what a user can correct: folders, files, too few subjects or classes.
    """
    dataset = catalogue.find(config.dataset)
    parts = dataset.parts(config)
    content = cache.content(parts)
    chosen = settings(dataset, config)
    stored = cache.get(cache.key(content, chosen), lambda target: build(target, dataset, parts, config))

    def raw() -> np.ndarray:
        name = cache.key(content, chosen, "samples")
        return cache.get(name, lambda target: build(target, dataset, parts, config, samples)).store

    sequences = from_columns(stored.index)
    class_names = tuple(stored.info["class_names"])
    split = splits_of(sequences, len(class_names), dataset, config)
    one_left_out = config.split == "leave-one-subject-out"
    described = describe(split, sequences, class_names, one_left_out=one_left_out)
    frames = Frames(
        stored.store,
        np.arange(len(split)),
        sequences.y.astype(np.int64),
        sequences.subject,
        sequences.record,
        sequences.start,
        raw,
    )
    return Splits(
        train=frames.select(split == "train"),
        validation=frames.select(split == "validation"),
        test=frames.select(split == "test") if (split == "test").any() else None,
        class_names=class_names,
        data_hash=_hash(content, *chosen[:4]),
        magnitude_scale=_scale(column(stored.index, "typical")[split == "train"]),
        n_dropped=stored.info["n_dropped"],
        described=(*described, *_noise(config), *stored.info["remarks"]),
        signal=_signal(stored.info, stored.store.shape[1]),
        n_channels=len(stored.info["channels"]),
    )


def _signal(info: dict[str, Any], sequence_length: int) -> SignalSpec:
    names = ("channels", "units", "rate_hz", "frame", "hop", "mean", "deviation")
    return SignalSpec.from_dict({name: info[name] for name in names} | {"sequence_length": sequence_length})


def _hash(*what: object) -> str:
    """12 hex digits of the recordings and how they are framed, without split and noise."""
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]


def _scale(typical: np.ndarray) -> float:
    above = typical[typical > 0]
    return float(np.median(above)) if len(above) else 1.0


def _noise(config: DataConfig) -> list[str]:
    if config.snr_db is None:
        return []
    where = {"all": "all splits", "train": "the training split", "eval": "the validation and test splits"}
    return [f"noise: {config.noise_kind} at {config.snr_db:g} dB on {where[config.noise_on]}"]
