"""Encoders that were not trained: what any training has to beat."""

from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.linalg
import torch

from emargin_train.config import REFERENCE_NAMES, TrainConfig
from emargin_train.data.frames import Frames, Splits
from emargin_train.encoder import Encoder, ToInput, encode, framing
from emargin_train.errors import UserError, nearest

Encode = Callable[[Frames, np.ndarray], np.ndarray]

COMPONENTS = 64  # of pca
FIT_CAP = 20000  # training frames on which pca is fitted
FIT_SEQUENCES = 64  # training sequences that set the BatchNorm statistics of random


def encoding(name: str, splits: Splits, config: TrainConfig) -> Encode:
    """An `encode` for `evaluate`: frames and mask (N, T) to (n, D) float32, rows in row-major order.

    raw: the magnitudes (D = F)
    log-raw: log1p(magnitude / magnitude_scale) (D = F)
    pca: the first 64 principal components of the training spectra, in `config.data.framing`
    random: the encoder of `config` as it starts for `config.seed`, in `config.data.framing` (D = 320);
        nothing is learnt but the BatchNorm statistics, which come from training frames
    Raises UserError for an unknown name.
    """
    if name == "raw":
        return _spectra
    framed = partial(_framed, to_input=framing(config.data.framing, splits.magnitude_scale))
    if name == "log-raw":
        return partial(_framed, to_input=framing("log", splits.magnitude_scale))
    if name == "pca":
        return _pca(splits, framed, config.seed)
    if name == "random":
        return _random(splits, config)
    raise UserError(f"reference is '{name}': {nearest(name, REFERENCE_NAMES)}")


def _spectra(frames: Frames, mask: np.ndarray) -> np.ndarray:
    """Masked spectra (n, F), without reading sequences that hold none."""
    some = np.flatnonzero(mask.any(1))
    return frames.x(some)[mask[some]]


def _framed(frames: Frames, mask: np.ndarray, *, to_input: ToInput) -> np.ndarray:
    return to_input(_spectra(frames, mask)).numpy()


def _pca(splits: Splits, framed: Encode, seed: int) -> Encode:
    n, t, _ = splits.train.shape
    fit = np.zeros(n * t, dtype=bool)
    fit[np.random.default_rng(seed).permutation(n * t)[:FIT_CAP]] = True
    x = framed(splits.train, fit.reshape(n, t)).astype(np.float64)
    mean = x.mean(0)
    features = x.shape[1]
    largest = (max(0, features - COMPONENTS), features - 1)
    _, axes = scipy.linalg.eigh((x - mean).T @ (x - mean), subset_by_index=largest)
    axes = axes[:, ::-1]  # (F, D), largest first
    return lambda frames, mask: ((framed(frames, mask) - mean) @ axes).astype(np.float32)


def _random(splits: Splits, config: TrainConfig) -> Encode:
    n, _, features = splits.train.shape
    to_input = framing(config.data.framing, splits.magnitude_scale)
    encoder = Encoder(features, config.encoder, seed=config.seed)
    norms = [layer for layer in encoder.modules() if isinstance(layer, torch.nn.BatchNorm1d)]
    for norm in norms:
        norm.momentum = None  # plain mean over batches
    some = np.random.default_rng(config.seed).permutation(n)[:FIT_SEQUENCES]
    with torch.no_grad():
        for which in np.array_split(some, -(-len(some) // config.batch_size)):
            encoder(to_input(splits.train.x(which)))
    return partial(_encoded, encoder, to_input)


def _encoded(encoder: Encoder, to_input: ToInput, frames: Frames, mask: np.ndarray) -> np.ndarray:
    return encode(encoder, frames, mask, to_input)
