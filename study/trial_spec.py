"""What one trial is, in plain values that can be sent to any machine: its settings and its replicates."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emargin_train.data.settings import DataConfig
from emargin_train.hyperparameters import parts

if TYPE_CHECKING:  # it loads PyTorch, which a wrong flag can be refused without
    from emargin_train.config import TrainConfig


@dataclass(frozen=True, order=True)
class Replicate:
    """One training of a trial, given by its split and its training seed."""

    split_seed: int
    seed: int

    def __str__(self) -> str:
        """The text that names a replicate in file names."""
        return f"{self.split_seed}-{self.seed}"


@dataclass(frozen=True)
class TrialSpec:
    """One trial, in plain values that can be sent to any machine.

    settings: those that `TrainConfig.from_dict` takes, without the seeds of the replicates
    key: the name of the job; it is the trial's name where all its replicates run together
    metrics: those by which it is measured at first; None = all
    """

    trial: str
    key: str
    role: str
    method: str
    settings: dict[str, object]
    replicates: tuple[Replicate, ...]
    metrics: tuple[str, ...] | None = None

    def config(self, replicate: Replicate) -> "TrainConfig":
        """The training of one replicate."""
        from emargin_train.config import TrainConfig

        return TrainConfig.from_dict(self._flat(replicate))

    def data(self, replicate: Replicate) -> DataConfig:
        """What decides the frames of this training; PyTorch is not loaded for it."""
        return DataConfig.from_flat(self._flat(replicate))

    def check(self, replicate: Replicate) -> None:
        """Raise the UserError that `config` raises for a value, where possible without loading PyTorch.

        `arms` and StudySettings have checked seeds, and names of methods, encoders and hyper-parameters.
        """
        try:
            for part in parts(self.method, str(self.settings["encoder"])):
                part.from_flat(self._flat(replicate))
        except (TypeError, AttributeError):  # a check of a method's own needs a library (see `declarations`)
            self.config(replicate)

    def _flat(self, replicate: Replicate) -> dict[str, object]:
        return self.settings | dataclasses.asdict(replicate)
