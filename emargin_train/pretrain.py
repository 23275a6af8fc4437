"""Train one encoder and measure it, without a cluster or a tracking server."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.profiler import record_function

from emargin_train import checkpoint
from emargin_train.config import RUN, TrainConfig, encoder_of
from emargin_train.cost import Clock, PeakMemory, device_name, git_revision
from emargin_train.data import load
from emargin_train.data.catalogue import find
from emargin_train.data.frames import Splits
from emargin_train.data.settings import DataConfig
from emargin_train.encode import encode
from emargin_train.encoders import ENCODERS
from emargin_train.errors import UserError, exit_on_user_error
from emargin_train.evaluation.chosen import EvaluationSet, choose
from emargin_train.evaluation.evaluate import Evaluation, evaluate
from emargin_train.evaluation.metrics import METRICS
from emargin_train.files import check_new
from emargin_train.flags import add_flags, default_note, read_flags
from emargin_train.hyperparameters import all_hyperparameters, read_by, table
from emargin_train.methods import METHODS, find_method
from emargin_train.methods.base import Method
from emargin_train.program import Parser
from emargin_train.settings import declared
from emargin_train.trace import traced
from emargin_train.train import Diverged, State, new_method, start, train
from emargin_train.variants import VARIANT, find_variant

EXAMPLES = """\
examples:
  Try it without any data (a minute on a laptop):
    python -m emargin_train.pretrain --dataset sleepeeg-sim --iterations 100
  Call half of the steps dissimilar, on your own copy of an ECG database:
    python -m emargin_train.pretrain --dataset ecg --data-dir mitdb --dissimilar-share 0.5
  Train InfoNCE, and print the result as JSON for another program:
    python -m emargin_train.pretrain --dataset sleepeeg-sim --method infonce --json
"""
VARIANT_OF_ONE = dataclasses.replace(
    VARIANT,
    many=False,
    default=VARIANT.default[0],
    metavar="NAME",
    help="The method is taken in this variant: on the encoder that all share, as published, or as the "
    "released code of the eMargin paper has it.",
)
DATA = [one for one in declared(DataConfig).values() if not one.is_hyperparameter]


@dataclass(frozen=True)
class Outcome:
    """The result of one training.

    row: columns of results.parquet, without those that only a study knows (study, trial, mlflow_run_id ...)
    losses: the loss of every step
    method: the trained method; None where the training diverged
    evaluation: metrics, reasons of nulls and validation embeddings; None where the training diverged
    """

    row: dict[str, Any]
    losses: list[float] = field(default_factory=list)
    method: Method | None = None
    evaluation: Evaluation | None = None


def pretrain(
    config: TrainConfig,
    *,
    resume: Path | None = None,
    device: str = "cpu",
    metrics: Collection[str] | None = None,
) -> Iterator[State | Outcome]:
    """Yield the States of a training one by one, then its Outcome. A reference yields one State, of step 0.

    resume: the checkpoint of a training with the same settings, to continue from
    metrics: the names of those that are measured; None = all
    """
    clock = Clock()
    run = begin(config, device, metrics)
    clock.lap("data_seconds")
    state = None
    try:
        for state in train(config, run.splits, resume=resume, device=device):
            yield state
    except Diverged as diverged:
        clock.lap("train_seconds")
        yield run.diverged(diverged, clock)
        return
    assert state is not None
    clock.lap("train_seconds")
    yield run.trained(state, clock)


def measure(saved: bytes, *, device: str = "cpu", metrics: Collection[str] | None = None) -> Outcome:
    """The Outcome of a training that has ended, measured again, from the bytes of its checkpoint."""
    clock, trained = Clock(), checkpoint.load(saved)
    config = TrainConfig.from_dict(trained["config"])
    run = begin(config, device, metrics)
    state = start(config, run.splits, device)
    state.restore(trained)
    clock.lap("data_seconds")
    return run.trained(state, clock)


@dataclass
class Run:
    """A running training: its data, the part of its row that is already known, and the wanted metrics."""

    row: dict[str, Any]
    splits: Splits
    chosen: EvaluationSet
    memory: PeakMemory
    device: str
    clusters: int | None
    metrics: Collection[str] | None = None

    def trained(self, state: State, clock: Clock) -> Outcome:
        """Evaluate the trained method."""
        with record_function("evaluation"):
            evaluation = evaluate(
                partial(encode, state.method),
                self.splits,
                self.chosen,
                device=self.device,
                metrics=self.metrics,
                clusters=self.clusters,
            )
        clock.lap("eval_seconds")
        row = self._row(clock, "ok") | {"final_loss": state.losses[-1] if state.losses else None}
        return Outcome(row | evaluation.metrics, state.losses, state.method, evaluation)

    def diverged(self, diverged: Diverged, clock: Clock) -> Outcome:
        row = self._row(clock, "diverged") | {
            "error": str(diverged),
            "diverged_step": diverged.step,
            "final_loss": diverged.last_finite_loss,
        }
        return Outcome(row, diverged.losses)

    def _row(self, clock: Clock, status: str) -> dict[str, Any]:
        return self.row | {"status": status} | clock.seconds | {"peak_memory_mb": self.memory.peak_mb()}


def begin(config: TrainConfig, device: str, metrics: Collection[str] | None = None) -> Run:
    """Load the data and choose the frames to measure. metrics: the names of those to measure; None = all"""
    check_device(device)
    memory = PeakMemory()
    row = settings_row(config) | {"device": device_name(device)}
    with record_function("data"):
        splits = load(config.data)
    chosen = choose(splits, seed=config.data.split_seed, cap=config.data.evaluation_frames)
    row |= {"data_hash": splits.data_hash, "sequence_length": splits.train.y.shape[1]}
    row["encoder_context"] = "sequence" if new_method(config, splits).sees_sequence else "frame"
    if config.iterations:
        row["stack_members"] = 1
    assert config.settings is not None
    row |= config.method_class.row(config.settings, splits.train)
    return Run(row, splits, chosen, memory, device, config.data.clusters, metrics)


def check_device(device: str) -> None:
    """Raises UserError for a device that this machine has not."""
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise UserError(
            f"--device is '{device}', but this machine has no such device: leave it out to use the CPU"
        )


def settings_row(config: TrainConfig) -> dict[str, Any]:
    """The settings of a training, by column of results.parquet; of hyper-parameters, those that are read."""
    data, method = config.data, config.method_class
    return config.hyperparameters() | {
        "method": config.method,
        "encoder": None if (encoder := encoder_of(method, config.encoder)) is None else encoder.name,
        "encoder_variant": method.encoder_variant,
        "dataset": data.dataset_name,
        "split": data.split,
        "split_seed": data.split_seed,
        "evaluation_frames": data.evaluation_frames,
        "noise_kind": None if data.snr_db is None else data.noise_kind,
        "seed": config.seed,
        "config_hash": config.digest(),
        "git_revision": git_revision(),
        "started_at": datetime.now(UTC),
        "error": None,
        "diverged_step": None,
        "final_loss": None,
    }


def build_parser() -> Parser:
    parser = Parser("emargin_train.pretrain", description=__doc__, epilog=EXAMPLES)
    add_flags(parser.add_argument_group("data"), DATA)
    method = parser.add_argument_group("method")
    for flag, help in (
        ("--method", f"Train this method (default {TrainConfig.method}): {', '.join(METHODS)}."),
        ("--objective", argparse.SUPPRESS),
    ):
        method.add_argument(flag, dest="method", metavar="NAME", help=help)
    add_flags(method, [VARIANT_OF_ONE])
    method.add_argument(
        "--encoder",
        metavar="NAME",
        help=f"The method trains this encoder (default {TrainConfig.encoder}): {', '.join(ENCODERS)}.",
    )
    group = parser.add_argument_group("hyper-parameters")
    every = all_hyperparameters()
    notes = {column: f"{default_note(one)} {read_by(column)}".strip() for column, one in every.items()}
    add_flags(group, every.values(), notes=notes)
    training = parser.add_argument_group("training")
    training.add_argument(
        "--seed", metavar="N", help="This seed draws the initial weights and the batches (default 0)."
    )
    training.add_argument(
        "--device", default="cpu", help="Train on this device: cpu (default), cuda, cuda:1, ..."
    )
    training.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="Write a trace of the time spent to this file, which https://ui.perfetto.dev opens.",
    )
    parser.add_argument(
        "--json", action="store_true", help="Print one JSON object, a row of results.parquet."
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="Write the trained encoder to this file, such as encoder.pt, for emargin_train.encode.",
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace the file of --out if it exists.")
    return parser


def config_of(args: argparse.Namespace) -> TrainConfig:
    """The settings that the flags give. Without --iterations, it is the dataset's number in the paper."""
    given = read_flags(args, DATA)
    given |= {name: getattr(args, name) for name in ("method", "encoder") if getattr(args, name) is not None}
    if args.variant is not None:
        given["method"] = find_variant(
            given.get("method", TrainConfig.method), VARIANT_OF_ONE.read(args.variant)
        )
    method = find_method(given.get("method", TrainConfig.method))
    if args.encoder is not None and not method.uses_encoder:
        own_encoder = "has no encoder" if method.own_encoder is None else "brings its own encoder"
        raise UserError(f"--encoder is {args.encoder}, but {method.name} {own_encoder}: leave it out")
    own = table(method.name, given.get("encoder", TrainConfig.encoder))
    given |= read_flags(args, (all_hyperparameters() | own).values())
    if args.seed is not None:
        given["seed"] = RUN["seed"].read(args.seed)
    dataset = find(given.get("dataset", DataConfig().dataset))
    if method.Training is not None:
        given = {"iterations": dataset.iterations} | given
    return TrainConfig.from_dict({"report_every": 10} | given)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _show(outcome: Outcome) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "metric", "value", "best", "note", title=f"{outcome.row['method']} on {outcome.row['dataset']}"
    )
    reasons = outcome.evaluation.reasons if outcome.evaluation else {}
    for name, value in outcome.row.items():
        metric = METRICS.get(name)
        shown = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(_plain(value))
        note = reasons.get(name, metric.title if metric else "")
        table.add_row(name, shown, (metric.best or "") if metric else "", note)
    Console().print(table)


def main() -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    args = build_parser().parse_args()
    config = config_of(args)
    check_device(args.device)
    if args.out is not None:
        check_new(args.out, overwrite=args.overwrite)
    from rich.console import Console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    with traced(args.profile, args.device) as trace, shown as progress:
        bar = progress.add_task("training", total=config.iterations)
        for outcome in pretrain(config, device=args.device):
            if isinstance(outcome, State):
                if args.out is not None and outcome.step == config.iterations:
                    checkpoint.save(outcome, args.out)
                trace.after(outcome)
                progress.update(bar, completed=outcome.step, description=f"training, loss {outcome.loss:.4g}")
    assert isinstance(outcome, Outcome)
    if args.json:
        json.dump({name: _plain(value) for name, value in outcome.row.items()}, sys.stdout)
        print()
    else:
        _show(outcome)
    if args.out is not None and outcome.row["status"] == "ok":
        print(f"encoder: {args.out}", file=sys.stderr)
    if outcome.row["status"] == "diverged":
        print(f"diverged: {outcome.row['error']}", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    exit_on_user_error(main)
