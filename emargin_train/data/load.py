"""The line from a dataset's name to split frames: recordings -> sequences -> spectra -> cache -> sides."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from emargin_train.config import DataConfig
from emargin_train.data import cache, catalogue
from emargin_train.data.catalogue import Dataset
from emargin_train.data.frames import Frames, Splits, spectra
from emargin_train.data.recording import Part, Recording
from emargin_train.data.sequences import (
    Block,
    Layout,
    Sequences,
    cut,
    fitting_length,
    lost,
    read_all,
    remarks,
    scan,
)
from emargin_train.data.split import choose_sides, describe


def load(config: DataConfig) -> Splits:
    """Frames of the dataset by side; computed once, then mapped from the cache. Raises UserError."""
    dataset = catalogue.find(config.dataset)
    parts = dataset.parts(config)
    content = cache.content(parts)
    settings = [dataset.frame_seconds, dataset.hop_seconds, dataset.normalise, config.subjects]
    data_hash = hashlib.sha256(json.dumps([content, *settings]).encode()).hexdigest()[:12]
    key = cache.key(content, *settings, _length(dataset, config))

    stored = cache.get(key, lambda target: _build(target, dataset, parts, config))
    sequences = _sequences(stored.index)
    class_names = tuple(stored.info["class_names"])
    side = choose_sides(sequences, len(class_names), config.split_seed)
    described = describe(side, sequences, class_names)
    frames = Frames(
        stored.store,
        np.arange(len(side)),
        sequences.y.astype(np.int64),
        sequences.subject,
        sequences.record,
        sequences.start,
    )
    typical = stored.index["typical"].to_numpy()[side == "train"]
    return Splits(
        train=frames.select(side == "train"),
        validation=frames.select(side == "validation"),
        test=frames.select(side == "test") if (side == "test").any() else None,
        class_names=class_names,
        data_hash=data_hash,
        magnitude_scale=_scale(typical),
        n_dropped=stored.info["n_dropped"],
        described=(*described, *stored.info["remarks"]),
    )


def _length(dataset: Dataset, config: DataConfig) -> int:
    return config.sequence_length or dataset.sequence_length


def _scale(typical: np.ndarray) -> float:
    above = typical[typical > 0]
    return float(np.median(above)) if len(above) else 1.0


def _build(target: Path, dataset: Dataset, parts: list[Part], config: DataConfig) -> None:
    """Read twice: once for labels, which decide the sequences; once for spectra."""
    layout, stretches = scan(dataset, read_all(parts, config.subjects))
    blocks = [Block(i, 0, len(stretch.y), stretch.side) for i, stretch in enumerate(stretches)]
    wanted = _length(dataset, config)
    length = fitting_length(blocks, wanted)
    sequences = cut(stretches, blocks, length)
    typical: list[float] = []

    def spectra_of_sequences() -> Iterator[np.ndarray]:
        for number, (_, recording) in enumerate(read_all(parts, config.subjects)):
            for first in sequences.first[sequences.stretch == number]:
                x = _frames(recording, layout, int(first), length)
                typical.append(float(np.median(x[x > 0])) if (x > 0).any() else 0.0)
                yield x

    def index() -> tuple[dict[str, pa.Array], dict[str, Any]]:
        info = {
            "class_names": layout.class_names,
            "channels": layout.channels,
            "rate_hz": layout.rate_hz,
            "n_dropped": {"remainder": lost(stretches, blocks, length)[0]},
            "remarks": remarks(layout.class_names, stretches, blocks, wanted),
        }
        return _columns(sequences, typical), info

    cache.write(target, spectra_of_sequences(), (length, layout.n_features), index)


def _frames(recording: Recording, layout: Layout, first: int, length: int) -> np.ndarray:
    """(length, F) float32 spectra from frame number `first`."""
    start = first * layout.hop
    end = start + (length - 1) * layout.hop + layout.frame
    return spectra(recording.signal[:, start:end], layout.frame, layout.hop)


def _columns(sequences: Sequences, typical: list[float]) -> dict[str, pa.Array]:
    y = pa.FixedSizeListArray.from_arrays(pa.array(sequences.y.reshape(-1)), sequences.y.shape[1])
    plain = {name: value for name, value in asdict(sequences).items() if name != "y"}
    return {"y": y, "typical": pa.array(typical, pa.float64()), **{k: pa.array(v) for k, v in plain.items()}}


def _sequences(index: pa.Table) -> Sequences:
    y = index["y"].combine_chunks()
    plain = {name: index[name].to_numpy() for name in ("stretch", "first", "start")}
    text = {name: np.array(index[name].to_pylist(), str) for name in ("subject", "record", "side")}
    return Sequences(y=y.values.to_numpy().reshape(len(y), y.type.list_size), **plain, **text)
