"""Train one encoder and measure it; no cluster, no tracking server."""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.profiler import record_function

from emargin_train import references
from emargin_train.config import ALL_KNOBS, KNOBS, TrainConfig
from emargin_train.cost import Clock, PeakMemory, device_name, git_revision, use_tf32
from emargin_train.data import load
from emargin_train.data.catalogue import find
from emargin_train.data.frames import Splits
from emargin_train.encoder import Encoder, encode, framing
from emargin_train.errors import UserError, exit_on_user_error
from emargin_train.evaluation.chosen import EvaluationSet, choose
from emargin_train.evaluation.evaluate import Evaluation, evaluate
from emargin_train.evaluation.metrics import METRICS
from emargin_train.evaluation.side import Encode
from emargin_train.flags import add_data_flags, data_settings
from emargin_train.pseudo_labels import pseudo_label_metrics, resolve_threshold
from emargin_train.trace import traced
from emargin_train.train import Diverged, State, train

EXAMPLES = """\
examples:
  A first look, no data needed (a minute on a laptop):
    python -m emargin_train.pretrain --dataset sleepeeg-sim --iterations 100
  Half of the steps called dissimilar, on your own copy of an ECG database:
    python -m emargin_train.pretrain --dataset ecg --data-dir mitdb --dissimilar-share 0.5
  The baseline, as JSON for another program:
    python -m emargin_train.pretrain --dataset sleepeeg-sim --objective infonce --json
"""


@dataclass(frozen=True)
class Outcome:
    """What one training came to.

    row: of results.parquet, but for what only a study knows (study, trial, mlflow_run_id, log_seconds)
    losses: of every step
    encoder: trained; None for a reference, or a training that diverged
    evaluation: metrics, reasons of nulls and validation embeddings; None if it diverged
    """

    row: dict[str, Any]
    losses: list[float] = field(default_factory=list)
    encoder: Encoder | None = None
    evaluation: Evaluation | None = None


def pretrain(
    config: TrainConfig, *, reference: str | None = None, resume: Path | None = None, device: str = "cpu"
) -> Iterator[State | Outcome]:
    """Yield the States of a training as they come, then its Outcome.

    reference: a reference encoder to measure instead of training; `config.objective` is then unused
    resume: checkpoint of a training with the same settings, to go on from
    """
    clock = Clock()
    run = begin(config, reference, device)
    clock.lap("data_seconds")
    if reference is not None:
        encoding = references.encoding(reference, run.splits, config)
        clock.lap("train_seconds")
        yield run.measured(encoding, None, clock)
        return
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


@dataclass
class Run:
    """A training under way: its data, and what its row already holds."""

    row: dict[str, Any]
    splits: Splits
    chosen: EvaluationSet
    memory: PeakMemory
    device: str

    def trained(self, state: State, clock: Clock) -> Outcome:
        """Evaluate the trained encoder."""
        self.row["final_loss"] = state.losses[-1]
        to_input = framing(state.config.data.framing, self.splits.magnitude_scale)
        return self.measured(partial(encode, state.encoder, to_input=to_input), state, clock)

    def measured(self, encoding: Encode, state: State | None, clock: Clock) -> Outcome:
        """Evaluate an encoding; `state` is None for a reference."""
        with record_function("evaluation"):
            evaluation = evaluate(encoding, self.splits, self.chosen, device=self.device)
        clock.lap("eval_seconds")
        row = self._row(clock, "ok") | evaluation.metrics
        return Outcome(row, state.losses if state else [], state.encoder if state else None, evaluation)

    def diverged(self, diverged: Diverged, clock: Clock) -> Outcome:
        row = self._row(clock, "diverged") | {
            "error": str(diverged),
            "diverged_step": diverged.step,
            "final_loss": diverged.last_finite_loss,
        }
        return Outcome(row, diverged.losses)

    def _row(self, clock: Clock, status: str) -> dict[str, Any]:
        return self.row | {"status": status} | clock.seconds | {"peak_memory_mb": self.memory.peak_mb()}


def begin(config: TrainConfig, reference: str | None, device: str) -> Run:
    """Load the data and choose the frames to measure."""
    memory = PeakMemory()
    row = settings_row(config, reference) | {"device": device_name(device)}
    with record_function("data"):
        splits = load(config.data)
    chosen = choose(splits, seed=config.data.split_seed, cap=config.data.evaluation_frames)
    row |= {"data_hash": splits.data_hash, "sequence_length": splits.train.y.shape[1]}
    if reference is None:
        row["stack_members"] = 1
        row |= pseudo_label_row(config, splits)
    return Run(row, splits, chosen, memory, device)


def settings_row(config: TrainConfig, reference: str | None = None) -> dict[str, Any]:
    """Who and what, by the names of results.parquet; knobs that the objective does not read are None."""
    flat = config.to_dict()
    objective = reference or config.objective.name
    knobs = KNOBS.get(objective, ())
    row = {name: flat[name] if name in knobs else None for name in ALL_KNOBS}
    for name in ("split", "split_seed", "framing", "snr_db", "evaluation_frames", "seed"):
        row[name] = flat[name]
    row["dataset"] = config.data.dataset_name
    row["noise_kind"] = None if config.data.snr_db is None else config.data.noise_kind
    encodes = reference is None or reference == "random"
    for name in ("head", "kernel_size"):
        row[name] = flat[name] if encodes else None
    for name in ("iterations", "batch_size"):
        row[name] = flat[name] if reference is None else None
    return row | {
        "objective": objective,
        "config_hash": config.digest() if reference is None else f"{reference}-{config.digest()}",
        "git_revision": git_revision(),
        "started_at": datetime.now(UTC),
        "error": None,
        "diverged_step": None,
        "final_loss": None,
    }


def pseudo_label_row(config: TrainConfig, splits: Splits) -> dict[str, Any]:
    """The resolved threshold as cosine and as share, and how good its labels are on the training frames."""
    if "threshold" not in KNOBS[config.objective.name]:
        return {}
    threshold, share = resolve_threshold(config.objective, splits.train)
    return {"threshold": threshold, "dissimilar_share": share} | pseudo_label_metrics(splits.train, threshold)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emargin_train.pretrain",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_flags(parser)
    objective = parser.add_argument_group("objective")
    objective.add_argument(
        "--objective", metavar="NAME", help="emargin (default), infonce, ... (see docs/objectives.md)"
    )
    gate = objective.add_mutually_exclusive_group()
    gate.add_argument(
        "--threshold", type=float, metavar="T", help="adjacent frames below this cosine are dissimilar"
    )
    gate.add_argument(
        "--dissimilar-share", type=float, metavar="Q", help="or: this share of training steps is"
    )
    objective.add_argument("--margin", type=float, metavar="M", help="of the kernel, from 0")
    objective.add_argument("--temperature", type=float, metavar="TAU", help="divides cosines, above 0")
    objective.add_argument(
        "--gate", metavar="ARM", help="intended (default), all-similar, all-dissimilar, random, oracle"
    )
    objective.add_argument(
        "--neighbours", type=int, metavar="N", help="positives of a frame: 2 (default) or 1"
    )
    objective.add_argument(
        "--similar-sign", type=int, metavar="S", help="sign of the kernel's similar part: -1 or 1"
    )
    objective.add_argument(
        "--gamma", type=float, metavar="G", help="scale of the kernel in a logit (default 0.05)"
    )
    objective.add_argument(
        "--label-share", type=float, metavar="Q", help="emargin-semi: share of labelled sequences"
    )
    objective.add_argument(
        "--supervised-term", metavar="KIND", help="emargin-semi: contrastive or cross-entropy"
    )
    objective.add_argument(
        "--supervised-weight", type=float, metavar="W", help="emargin-semi: weight of that term"
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--iterations", type=int, metavar="N", help="steps (default: the dataset's in the paper)"
    )
    training.add_argument("--batch-size", type=int, metavar="B", help="sequences in a step (default 8)")
    training.add_argument("--seed", type=int, metavar="N", help="of initial weights and batches (default 0)")
    training.add_argument("--head", metavar="KIND", help="none (default), linear or mlp")
    training.add_argument("--kernel-size", type=int, metavar="K", help="of the convolutions, odd (default 1)")
    training.add_argument(
        "--framing", metavar="KIND", help="what the encoder sees: magnitude (default) or log"
    )
    training.add_argument("--snr-db", type=float, metavar="DB", help="add noise to the signals at this ratio")
    training.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
    training.add_argument("--tf32", action="store_true", help="on a GPU: products in TensorFloat-32, faster")
    training.add_argument(
        "--profile", type=Path, metavar="FILE", help="write a trace, to be opened at https://ui.perfetto.dev"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, a row of results.parquet")
    return parser


def config_of(args: argparse.Namespace) -> TrainConfig:
    """The flags as settings; iterations come from the dataset's paper settings where not given."""
    given = data_settings(args)
    names = (
        *ALL_KNOBS,
        "objective",
        "iterations",
        "batch_size",
        "seed",
        "head",
        "kernel_size",
        "framing",
        "snr_db",
    )
    given |= {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    dataset = find(given.get("dataset", TrainConfig().data.dataset))
    return TrainConfig.from_dict({"iterations": dataset.iterations, "report_every": 10} | given)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _show(outcome: Outcome) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "metric", "value", "best", "note", title=f"{outcome.row['objective']} on {outcome.row['dataset']}"
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
    if args.device != "cpu" and not (args.device.startswith("cuda") and torch.cuda.is_available()):
        raise UserError(
            f"--device is '{args.device}', but no such device is here: leave it out to use the CPU"
        )
    if args.tf32 and args.device == "cpu":
        raise UserError("--tf32 is given, but a CPU has no TensorFloat-32: give --device cuda too")
    use_tf32(args.tf32)
    from rich.console import Console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    with traced(args.profile, args.device) as trace, shown as progress:
        bar = progress.add_task("training", total=config.iterations)
        for outcome in pretrain(config, device=args.device):
            if isinstance(outcome, State):
                trace.after(outcome)
                progress.update(bar, completed=outcome.step, description=f"training, loss {outcome.loss:.4g}")
    assert isinstance(outcome, Outcome)
    if args.json:
        json.dump({name: _plain(value) for name, value in outcome.row.items()}, sys.stdout)
        print()
    else:
        _show(outcome)
    if outcome.row["status"] == "diverged":
        print(f"diverged: {outcome.row['error']}", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    exit_on_user_error(main)
