"""Reference: the spectra themselves."""

from torch import Tensor

from emargin_train.methods.reference import Reference


class Raw(Reference):
    """The embedding of a frame is its magnitude spectrum; D equals F."""

    name = "raw"
    title = "Raw spectra"
    description = "gives the magnitudes themselves"
    order = 10
    fixed_scale = "magnitude"

    def encode(self, x: Tensor) -> Tensor:
        return x


class LogRaw(Reference):
    """The embedding of a frame is log(1 + magnitude / typical magnitude); D equals F."""

    name = "log-raw"
    title = "Log spectra"
    description = "gives the magnitudes on a logarithmic scale"
    order = 11
    fixed_scale = "log"

    def encode(self, x: Tensor) -> Tensor:
        return x
