"""Reference: the first principal components of the training spectra."""

import numpy as np
import torch
from torch import Tensor

from emargin_train.data.frames import Frames
from emargin_train.methods.base import Setup
from emargin_train.methods.reference import Reference

COMPONENTS = 64
FIT_CAP = 20000  # training frames to which the components are fitted, at most


class PCA(Reference):
    """The embedding has D = 64 dimensions, or F if that is less. It uses the chosen spectrum scale."""

    name = "pca"
    title = "PCA"
    order = 12
    description = "gives the first 64 principal components of the spectra"
    mean: Tensor
    axes: Tensor

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        f = setup.shape.n_features
        self.register_buffer("mean", torch.zeros(f, dtype=torch.float64))
        self.register_buffer("axes", torch.zeros(f, min(COMPONENTS, f), dtype=torch.float64))

    def prepare(self, train: Frames) -> None:
        import scipy.linalg  # half a second that other methods do not need

        super().prepare(train)
        n, t, _ = train.shape
        fit = np.zeros(n * t, dtype=bool)
        fit[np.random.default_rng(self.setup.seed).permutation(n * t)[:FIT_CAP]] = True
        chosen = fit.reshape(n, t)
        some = np.flatnonzero(chosen.any(1))
        x = self.to_input(train.x(some)[chosen[some]]).numpy().astype(np.float64)
        mean = x.mean(0)
        features = x.shape[1]
        largest = (max(0, features - COMPONENTS), features - 1)
        _, axes = scipy.linalg.eigh((x - mean).T @ (x - mean), subset_by_index=largest)
        self.mean.copy_(torch.from_numpy(mean))
        self.axes.copy_(torch.from_numpy(axes[:, ::-1].copy()))  # (F, D), largest first

    def encode(self, x: Tensor) -> Tensor:
        return ((x.double() - self.mean) @ self.axes).to(x.dtype)
