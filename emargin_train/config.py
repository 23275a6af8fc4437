"""The settings of one training: a value that can be stored, compared and run again."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from emargin_train.data.settings import DataConfig
from emargin_train.encoders import find_encoder
from emargin_train.encoders.base import Encoder, NoSettings
from emargin_train.errors import UserError
from emargin_train.hyperparameters import DEFAULT_ENCODER, DEFAULT_METHOD, FORMER, not_read, table
from emargin_train.methods import METHODS, find_method
from emargin_train.methods.base import Method, Setup, Shape, TrainingSettings
from emargin_train.settings import Setting, Settings, declared

# How a training is run, beside what the method, its encoder and the data declare.
RUN = {
    "seed": Setting(column="seed", kind=int, low=0, high=2**31 - 1, why="it seeds generators"),
    "report_every": Setting(column="report_every", kind=int, low=1, why="it counts steps"),
}
# The replicates of a trial share all settings but these.
OUTSIDE_A_TRIAL = ("seed", "split_seed", "report_every", "data_dir")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that determines one training.

    settings, encoder_settings: those of the method and of the encoder; defaults where they are left out
    training: learning rate, batch size and the like; None for a method of zero steps
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    method: str = DEFAULT_METHOD
    settings: Settings | None = None
    encoder: str = DEFAULT_ENCODER
    encoder_settings: Settings | None = None
    training: TrainingSettings | None = None
    seed: int = 0
    report_every: int = 50

    def __post_init__(self) -> None:
        method = find_method(self.method)
        for name, kind in (
            ("settings", method.Settings),
            ("encoder_settings", _encoder_settings(method, self.encoder)),
            ("training", method.Training),
        ):
            value = getattr(self, name)
            if value is None and kind is not None:
                object.__setattr__(self, name, kind())
            elif type(value) is not (type(None) if kind is None else kind):
                raise TypeError(f"{name} of {self.method} is {type(value).__name__}, not {kind}")
        for name, one in RUN.items():
            object.__setattr__(self, name, one.checked(getattr(self, name)))

    @property
    def method_class(self) -> type[Method]:
        return METHODS[self.method]

    @property
    def iterations(self) -> int:
        """Steps of the training; 0 for a reference."""
        return 0 if self.training is None else self.training.iterations

    def setup(self, shape: Shape, magnitude_scale: float) -> Setup:
        """Everything that the method's constructor needs, for data of this shape."""
        assert self.settings is not None and self.encoder_settings is not None
        return Setup(
            settings=self.settings,
            training=self.training,
            encoder=encoder_of(self.method_class, self.encoder) or find_encoder(self.encoder),
            encoder_settings=self.encoder_settings,
            shape=shape,
            scale=self.data.spectrum_scale,
            magnitude_scale=magnitude_scale,
            seed=self.seed,
        )

    def new_method(self, shape: Shape, magnitude_scale: float) -> Method:
        """The method before its first step, in the numbers that it is trained in."""
        method = self.method_class(self.setup(shape, magnitude_scale))
        return method.double() if self.training and self.training.precision == "float64" else method

    def hyperparameters(self) -> dict[str, Any]:
        """The values of all hyper-parameters that this training reads, by column."""
        flat = self.to_dict()
        return {column: flat[column] for column in table(self.method, self.encoder)}

    def to_dict(self) -> dict[str, Any]:
        """One flat dictionary with the column names of results.parquet as keys."""
        flat = self.data.flat() | {"method": self.method, "encoder": self.encoder}
        if self.method_class.fixed_scale is not None:
            del flat["spectrum_scale"]
        for part in (self.settings, self.encoder_settings, self.training):
            if part is not None:
                flat |= part.flat()
        return flat | {"seed": self.seed, "report_every": self.report_every}

    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`; missing names take their defaults.

        Raises UserError for an unknown name, and for a hyper-parameter that the method does not read.
        """
        flat = {FORMER.get(name, name): value for name, value in flat.items()}
        method = find_method(flat.pop("method", cls.method))
        encoder = find_encoder(flat.pop("encoder", cls.encoder)).name
        own = {name: flat.pop(name) for name in RUN if name in flat}
        parts: dict[str, Any] = {
            "data": DataConfig,
            "settings": method.Settings,
            "encoder_settings": _encoder_settings(method, encoder),
        }
        if method.Training is not None:
            parts["training"] = method.Training
        known = {column for part in parts.values() for column in declared(part)}
        if method.fixed_scale is not None:
            known.remove("spectrum_scale")
        for name in flat:
            if name not in known:
                raise UserError(not_read(name, method.name, known))
        made = {name: part.from_flat(flat) for name, part in parts.items()}
        return cls(method=method.name, encoder=encoder, **made, **own)

    def changed(self, **flat: Any) -> Self:
        """The same training with other settings, by column."""
        return self.from_dict(self.to_dict() | flat)

    def digest(self) -> str:
        """12 hex digits, equal for the replicates of one trial.

        It covers only what differs from the defaults, so that a new setting changes no digest.
        """
        defaults = type(self)(method=self.method, encoder=self.encoder).to_dict()
        flat = {
            name: value
            for name, value in self.to_dict().items()
            if name not in OUTSIDE_A_TRIAL and value != defaults[name]
        }
        flat |= {"method": self.method, "dataset": self.data.dataset_name}
        if self.method_class.uses_encoder:
            flat["encoder"] = self.encoder
        return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:12]


def encoder_of(method: type[Method], chosen: str) -> type[Encoder] | None:
    """The encoder that a method trains: its own, or the chosen one; None where it has none."""
    encoder = find_encoder(chosen)  # an unknown name is refused, whoever reads it
    return encoder if method.uses_encoder else method.own_encoder


def _encoder_settings(method: type[Method], chosen: str) -> type[Settings]:
    encoder = encoder_of(method, chosen)
    return NoSettings if encoder is None else encoder.Settings
