"""From recordings to a set of frames in the cache: read once for labels, then for spectra."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from emargin_train.data import cache
from emargin_train.data.dataset import Dataset
from emargin_train.data.frames import Cut, spectra
from emargin_train.data.noise import add_noise, generator
from emargin_train.data.plan import plan, splits_of, wanted_length
from emargin_train.data.recording import Part, Recording
from emargin_train.data.sequences import Sequences, checked, joined, lost, read_all, remarks, scan
from emargin_train.data.settings import DataConfig

NOISY_SPLITS = {
    "all": ("train", "validation", "test"),
    "train": ("train",),
    "eval": ("validation", "test"),
}


def settings(dataset: Dataset, config: DataConfig) -> list[Any]:
    """What decides the stored frames beside the recordings; the split only where they depend on it."""
    noise = None
    if config.snr_db is not None:
        noise = [config.snr_db, config.noise_kind, config.noise_on, config.noise_seed]
    by_split = dataset.normalise != "none" or (noise is not None and config.noise_on != "all")
    split: list[Any] = [config.split if config.split != "subject" or by_split else None]
    if by_split or config.split == "time":
        split += [config.split_seed, dataset.released_share]
    framing = [dataset.frame_seconds, dataset.hop_seconds, dataset.normalise]
    return [*framing, config.subjects, wanted_length(dataset, config), noise, split]


def build(target: Path, dataset: Dataset, parts: list[Part], config: DataConfig, cut: Cut = spectra) -> None:
    """Write the set of frames into the empty folder `target`. Memory: one part, whatever their number."""
    layout, stretches, doubts = scan(dataset, _recordings(dataset, parts, config, noise=False))
    planned = plan(dataset, config, layout, stretches)
    blocks, length, sequences = planned.blocks, planned.length, planned.sequences
    split = splits_of(sequences, len(layout.class_names), dataset, config)

    def signals() -> Iterator[np.ndarray]:
        """Samples of each sequence (C, samples), in order of `sequences`."""
        noisy_splits = NOISY_SPLITS[config.noise_on]
        for number, (_, recording) in enumerate(_recordings(dataset, parts, config, noise=True)):
            for i in np.flatnonzero(sequences.stretch == number):
                noisy = config.snr_db is None or split[i] in noisy_splits
                signal = recording.signal if noisy else recording.clean
                assert signal is not None
                first = int(sequences.first[i]) * layout.hop
                yield signal[:, first : first + (length - 1) * layout.hop + layout.frame]

    mean, deviation = np.zeros((len(layout.channels), 1)), np.ones((len(layout.channels), 1))
    if dataset.normalise == "channel":
        mean, deviation = moments(signal for i, signal in enumerate(signals()) if split[i] == "train")
    typical: list[float] = []

    def framed() -> Iterator[np.ndarray]:
        for signal in signals():
            normal = ((signal - mean) / deviation).astype(np.float32)
            x = cut(normal, layout.frame, layout.hop)
            typical.append(float(np.median(x[x > 0])) if (x > 0).any() else 0.0)
            yield x

    def index() -> tuple[dict[str, pa.Array], dict[str, Any]]:
        within = sum(map(len, blocks))
        every = sum(len(stretch.y) for stretch in stretches)
        dropped = {"remainder": lost(stretches, blocks, length)[0], "gap": every - within}
        info = {
            "class_names": layout.class_names,
            "channels": layout.channels,
            "units": layout.units,
            "frame": layout.frame,
            "hop": layout.hop,
            "rate_hz": layout.rate_hz,
            "mean": mean.ravel().tolist(),
            "deviation": deviation.ravel().tolist(),
            "n_dropped": {reason: n for reason, n in dropped.items() if n or reason == "remainder"},
            "remarks": [*remarks(layout, stretches, blocks, planned.wanted, length), *doubts],
        }
        return to_columns(sequences, typical), info

    width = cut(np.zeros((len(layout.channels), layout.frame), np.float32), layout.frame, layout.hop).shape[1]
    cache.write(target, framed(), (length, width), index)


def _recordings(
    dataset: Dataset, parts: list[Part], config: DataConfig, *, noise: bool
) -> Iterator[tuple[str, Recording]]:
    """Yield split and recording as they are framed: of the chosen subjects, noisy, one stream if released."""
    recordings = checked(dataset, read_all(parts, config.subjects))
    if noise and config.snr_db is not None:
        recordings = ((split, with_noise(recording, config)) for split, recording in recordings)
    if config.split == "released":
        recordings = joined(dataset, recordings, wanted_length(dataset, config))
    return recordings


def with_noise(recording: Recording, config: DataConfig) -> Recording:
    """The recording at `config.snr_db`, its own signal kept as `clean`; as it is where that is None."""
    if config.snr_db is None:
        return recording
    signal = add_noise(
        recording.signal,
        config.snr_db,
        config.noise_kind,
        generator(recording, config.noise_seed),
        rate_hz=recording.rate_hz,
        labelled=recording.labels >= 0,
    )
    return replace(recording, signal=signal, clean=recording.signal)


def moments(signals: Iterator[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C, 1) of each channel over all signals; deviation 1 where constant.

    Chan, Golub, LeVeque 1983: parts are merged by their own means, so that nothing cancels.
    """
    n, mean, squares = 0, np.zeros(1), np.zeros(1)
    for signal in signals:
        own_n, own_mean = signal.shape[1], signal.mean(1, dtype=np.float64)
        own_squares = signal.var(1, dtype=np.float64) * own_n
        step = own_mean - mean
        mean = mean + step * own_n / (n + own_n)
        squares = squares + own_squares + step**2 * n * own_n / (n + own_n)
        n += own_n
    deviation = np.sqrt(squares / max(n, 1))
    return mean[:, None], np.where(deviation > 0, deviation, 1.0)[:, None]


def to_columns(sequences: Sequences, typical: list[float]) -> dict[str, pa.Array]:
    """The index file's columns: `sequences` and each one's typical magnitude."""
    y = pa.FixedSizeListArray.from_arrays(pa.array(sequences.y.reshape(-1)), sequences.y.shape[1])
    plain = {name: pa.array(value) for name, value in asdict(sequences).items() if name != "y"}
    return {"y": y, "typical": pa.array(typical, pa.float64()), **plain}


def from_columns(index: pa.Table) -> Sequences:
    """Inverse of `to_columns`."""
    y = index["y"].combine_chunks()
    numbers = {name: column(index, name) for name in ("stretch", "first", "start")}
    texts = {name: np.array(index[name].to_pylist(), str) for name in ("subject", "record", "split")}
    return Sequences(y=np.from_dlpack(y.values).reshape(len(y), y.type.list_size), **numbers, **texts)


def column(index: pa.Table, name: str) -> np.ndarray:
    """A column of numbers; Arrow's own `to_numpy` would import pandas, half a second and 30 MB."""
    return np.from_dlpack(index[name].combine_chunks())
