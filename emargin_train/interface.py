"""What a notebook needs: `load` data, `fit` one encoder, and use it. Everything else is in the modules."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from emargin_train import checkpoint
from emargin_train.config import TrainConfig
from emargin_train.data import load as load_config
from emargin_train.data.catalogue import find
from emargin_train.data.frames import Splits
from emargin_train.data.recording import Recording
from emargin_train.data.sequences import read_all
from emargin_train.data.settings import DataConfig
from emargin_train.encode import encode
from emargin_train.errors import UserError, nearest
from emargin_train.evaluation.chosen import choose
from emargin_train.evaluation.evaluate import Embeddings
from emargin_train.evaluation.evaluate import evaluate as measured
from emargin_train.files import write_whole
from emargin_train.hyperparameters import DEFAULT_METHOD, method_named
from emargin_train.pretrain import Outcome, pretrain
from emargin_train.settings import declared
from emargin_train.trained_encoder import TrainedEncoder, load_encoder

__all__ = ["Trained", "evaluate", "fit", "load", "load_encoder", "recordings"]


def load(dataset: str = "sleepeeg-sim", **settings: Any) -> Splits:
    """Frames of a dataset by split, from its name, `ucr:<name>` or the path of a .toml file.

    settings: as the flags of `python -m emargin_train.pretrain` in the group data, such as `data_dir`,
        `subjects`, `sequence_length`, `split`, `split_seed`, `snr_db`
    Returns `train`, `validation` and `test` (None without test subjects), each with spectra
    `x(indices) -> (n, T, F)` and classes `y` (N, T), -1 = unlabelled.
    Raises UserError for what cannot be read or divided, and for an unknown setting.
    """
    return load_config(_data({"dataset": dataset} | settings))


def _data(settings: dict[str, Any]) -> DataConfig:
    """Raises UserError for a name that is not a setting of data."""
    known = declared(DataConfig)
    for name in settings:
        if name not in known:
            raise UserError(f"'{name}' is not a setting of data: {nearest(name, known)}")
    return TrainConfig.from_dict({"method": DEFAULT_METHOD} | settings).data


def recordings(dataset: str = "sleepeeg-sim", data_dir: str | None = None) -> Iterator[Recording]:
    """The recordings of a dataset, one after another: signal (C, samples), rate, units, labels.

    Raises UserError for what cannot be read.
    """
    config = DataConfig(dataset=dataset, data_dir=data_dir)
    return (recording for _, recording in read_all(find(dataset).parts(config)))


@dataclass(frozen=True)
class Trained:
    """A training that has ended.

    config: all of its settings
    row: columns of results.parquet: settings, status, metrics, seconds
    losses: of every step
    state: the checkpoint; None where the training diverged
    """

    config: TrainConfig
    row: dict[str, Any]
    losses: list[float]
    embeddings: Embeddings | None
    state: bytes | None

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics by name; None where one could not be computed, `row["null_reasons"]` says why."""
        from emargin_train.evaluation.metrics import METRICS

        return {name: self.row.get(name) for name in METRICS}

    def save(self, path: Path | str) -> Path:
        """Write the encoder to a file, which `load_encoder` reads. Raises ValueError where there is none."""
        if self.state is None:
            raise ValueError(f"there is no encoder: {self.row['error']}")
        write_whole(Path(path), self.state)
        return Path(path)

    @cached_property
    def encoder(self) -> TrainedEncoder:
        """What turns recordings into embeddings: `encoder.encode(recording)`."""
        with tempfile.TemporaryDirectory() as folder:
            return load_encoder(self.save(Path(folder) / "encoder.pt"))


def fit(
    dataset: str = "sleepeeg-sim",
    method: str = DEFAULT_METHOD,
    *,
    device: str = "cpu",
    progress: Callable[[int, int, float], None] | None = None,
    **settings: Any,
) -> Trained:
    """Train one encoder and measure it.

    settings: hyper-parameters and data settings by the names of the flags of
        `python -m emargin_train.pretrain`, as `threshold=0.4`; one with a dot as `**{"dilated.depth": 4}`
    progress: is called with the step, the number of steps and the loss, every 10 steps
    Raises UserError for an impossible setting. A training whose loss is not finite is returned with
    `row["status"] == "diverged"`.
    """
    given = {"report_every": 10} | settings
    if method_named(method).Training is not None:
        given = {"iterations": find(dataset).iterations} | given
    config = TrainConfig.from_dict(given | {"dataset": dataset, "method": method})
    state = None
    for item in pretrain(config, device=device):
        if isinstance(item, Outcome):
            embeddings = item.evaluation.embeddings if item.evaluation else None
            whole = state if item.row["status"] == "ok" else None
            return Trained(config, item.row, item.losses, embeddings, whole)
        if progress is not None:
            progress(item.step, config.iterations, item.loss)
        if item.step == config.iterations:
            state = checkpoint.to_bytes(item)
    raise AssertionError("a training ends with its outcome")


def evaluate(
    encoder: TrainedEncoder | Path | str, dataset: str | None = None, **settings: Any
) -> dict[str, float | None]:
    """Measure a trained encoder on a dataset, as a study does; a metric without a value is None.

    encoder: one, or where it is (`load_encoder`)
    dataset: None = that of its training
    settings: those of `load` that differ from its training, such as `split_seed=3`
    Raises UserError for an unknown setting, and for data whose frames are not those that the encoder has
    learned from: channels, units, rate, frames and normalisation have to be equal.
    """
    trained = encoder if isinstance(encoder, TrainedEncoder) else load_encoder(encoder)
    own = trained.config.data
    flat = {name: getattr(own, name) for name in declared(DataConfig)}
    config = _data(flat | ({} if dataset is None else {"dataset": dataset}) | settings)
    splits = load_config(config)
    theirs = splits.signal.to_dict() if splits.signal else {}
    for name, value in trained.signal.to_dict().items():
        if theirs.get(name) != value:
            raise UserError(
                f"the frames of {config.dataset} have {name} {theirs.get(name)}, but the encoder learned "
                f"from {value}: choose data like those of its training, or encode the recordings, which "
                "converts them"
            )
    chosen = choose(splits, seed=config.split_seed, cap=config.evaluation_frames)
    encoding = partial(encode, trained.method)
    return measured(encoding, splits, chosen, clusters=config.clusters).metrics
