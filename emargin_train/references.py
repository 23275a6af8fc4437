"""Encoders that were not trained: what any training has to beat."""

from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.linalg

from emargin_train.config import REFERENCE_NAMES, TrainConfig
from emargin_train.data.frames import Frames, Splits
from emargin_train.encoder import Encoder, ToInput, encode, framing
from emargin_train.errors import UserError, nearest
from emargin_train.evaluation.points import Points
from emargin_train.evaluation.side import Encode

COMPONENTS = 64  # of pca
FIT_CAP = 20000  # training frames on which pca is fitted


def encoding(name: str, splits: Splits, config: TrainConfig) -> Encode:
    """An `encode` for `evaluate`: frames and mask (N, T) to (n, D) float32, rows in row-major order.

    raw: the magnitudes (D = F)
    log-raw: log1p(magnitude / magnitude_scale) (D = F)
    pca: the first 64 principal components of the training spectra, in `config.data.framing`
    random: the encoder of `config` as it starts for `config.seed`, in `config.data.framing` (D = 320);
        its BatchNorm layers still pass everything through, so this is a random projection with kinks
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
        encoder = Encoder(splits.train.shape[2], config.encoder, seed=config.seed)
        return partial(_encoded, encoder, framing(config.data.framing, splits.magnitude_scale))
    raise UserError(f"reference is '{name}': {nearest(name, REFERENCE_NAMES)}")


def _spectra(frames: Frames, mask: np.ndarray) -> np.ndarray:
    """Masked spectra (n, F), without reading sequences that hold none."""
    some = np.flatnonzero(mask.any(1))
    return frames.x(some)[mask[some]]


def _framed(frames: Frames, mask: np.ndarray, *, to_input: ToInput) -> np.ndarray:
    return to_input(_spectra(frames, mask)).numpy()


def _pca(splits: Splits, framed: Callable[[Frames, np.ndarray], np.ndarray], seed: int) -> Encode:
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


def _encoded(encoder: Encoder, to_input: ToInput, frames: Frames, mask: np.ndarray) -> Points:
    return encode(encoder, frames, mask, to_input)
