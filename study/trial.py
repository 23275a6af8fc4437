"""Run one trial: train its replicates one after another, in a folder that holds the trial's state.

This is plain Python and needs no cluster. A replicate is a split seed and a training seed, written as 0-1.
The folder holds these files:

<replicate>.pt          the checkpoint; once the replicate is finished, its encoder
<replicate>.json        row, loss curve and reasons of nulls; it is written when the replicate is finished
<replicate>.arrow       validation embeddings, where the training did not diverge
"""

import json
import math
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import torch

from emargin_train import checkpoint
from emargin_train.evaluation.evaluate import Embeddings, Evaluation
from emargin_train.files import write_whole
from emargin_train.pretrain import Outcome, pretrain, settings_row
from emargin_train.pretrain_many import pretrain_many
from emargin_train.train import State
from emargin_train.train_many import TrainMany, can_stack, train_many
from study.trial_spec import Replicate, TrialSpec

CURVE_POINTS = 100
MACHINE = (OSError, MemoryError, torch.OutOfMemoryError)


@dataclass(frozen=True)
class Progress:
    """How far a trial is: `n_done` replicates are finished, and the current one has taken `step` steps."""

    n_done: int
    step: int
    loss: float | None


def run_trial(
    spec: TrialSpec,
    folder: Path,
    *,
    device: str = "cpu",
    stacked: bool | None = None,
    train: TrainMany = train_many,
) -> Iterator[Progress]:
    """Yield Progress; whenever it does, `folder` holds all that is needed to continue elsewhere.

    The trial continues from finished replicates and checkpoints that the folder already holds. If a training
    raises an error, its replicate is finished too: its row has the status `failed` and the reason, and the
    other replicates are trained. Only errors that are the machine's fault are raised: a disk, a network, too
    little memory.

    stacked: whether to train the replicates in one stack, where the method can be stacked; None does so on a
        GPU only, since on a CPU it takes as long as one replicate after another (docs/log.md)
    train: how a stack is trained: here, or by the engine of a GPU (`study.cluster.engine`)
    """
    if (device != "cpu" if stacked is None else stacked) and can_stack(spec.config(spec.replicates[0])):
        yield from _run_stack(spec, folder, device, train)
    for n_done, replicate in enumerate(spec.replicates):
        if not (folder / f"{replicate}.json").exists():
            yield from _run_one(spec, replicate, folder, n_done, device)
        yield Progress(n_done + 1, 0, None)


def _run_stack(spec: TrialSpec, folder: Path, device: str, train: TrainMany) -> Iterator[Progress]:
    """Train all unfinished replicates at once.

    If the stack raises an error, its replicates are trained one by one from their checkpoints, so that only
    the one at fault fails.
    """
    left = [one for one in spec.replicates if not (folder / f"{one}.json").exists()]
    files = [folder / f"{one}.pt" for one in left]
    resume = [file if file.exists() else None for file in files]
    configs = [spec.config(one) for one in left]
    try:
        for i, item in pretrain_many(
            configs, resume=resume, device=device, train=train, metrics=spec.metrics
        ):
            if isinstance(item, State):
                checkpoint.save(item, files[i])
                yield Progress(len(spec.replicates) - len(left), item.step, item.loss)
            else:
                _keep(spec, left[i], folder, item)
    except MACHINE:
        raise
    except Exception:  # the traceback is kept with each replicate, which is then trained alone
        for one in left:
            write_whole(folder / f"{one}.traceback.txt", traceback.format_exc().encode())


def _run_one(
    spec: TrialSpec, replicate: Replicate, folder: Path, n_done: int, device: str
) -> Iterator[Progress]:
    state_file = folder / f"{replicate}.pt"
    outcome = None
    try:
        resume = state_file if state_file.exists() else None
        for item in pretrain(spec.config(replicate), resume=resume, device=device, metrics=spec.metrics):
            if isinstance(item, State):
                checkpoint.save(item, state_file)
                yield Progress(n_done, item.step, item.loss)
            else:
                outcome = item
        assert outcome is not None
    except MACHINE:
        raise  # the machine is at fault, not the setting: the trial starts again, perhaps elsewhere
    except Exception as error:  # any other error of a training is its result
        outcome = failed(spec, replicate, f"{type(error).__name__}: {error}")
        write_whole(folder / f"{replicate}.traceback.txt", traceback.format_exc().encode())
    _keep(spec, replicate, folder, outcome)


def _keep(spec: TrialSpec, replicate: Replicate, folder: Path, outcome: Outcome) -> None:
    """Write the files of a finished replicate, the record last."""
    if outcome.evaluation is not None:
        write_whole(folder / f"{replicate}.arrow", embeddings_file(outcome.evaluation.embeddings))
    write_whole(folder / f"{replicate}.json", json.dumps(record(spec, replicate, outcome)).encode())


def trial_records(spec: TrialSpec, folder: Path) -> list[dict[str, Any]]:
    """The records of the finished replicates in a trial's folder, in the order of `spec.replicates`."""
    files = (folder / f"{one}.json" for one in spec.replicates)
    return [json.loads(file.read_text()) for file in files if file.exists()]


def failed(spec: TrialSpec, replicate: Replicate, error: str) -> Outcome:
    """The outcome of a training that raised, or of one whose worker was lost for good."""
    row = settings_row(spec.config(replicate))
    return Outcome(row | {"status": "failed", "error": error, "device": None, "data_hash": None})


def record(spec: TrialSpec, replicate: Replicate, outcome: Outcome) -> dict[str, Any]:
    """The record of one replicate, as plain JSON: row, loss curve, reasons of nulls, confusion matrices."""
    row = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in outcome.row.items()
    }
    return {
        "trial": spec.trial,
        "role": spec.role,
        "replicate": str(replicate),
        "row": row | {"trial": spec.trial, "role": spec.role},
        "curve": loss_curve(outcome.losses),
        "metrics": spec.metrics,
        **beside_metrics(outcome.evaluation),
    }


def beside_metrics(evaluation: Evaluation | None) -> dict[str, Any]:
    """What a record keeps of an evaluation beside the metrics, such as the reasons of nulls."""
    return {
        "reasons": evaluation.reasons if evaluation else {},
        "confusion": evaluation.confusion if evaluation else {},
        "classes": evaluation.classes if evaluation else (),
        "notes": evaluation.notes if evaluation else (),
    }


def loss_curve(losses: list[float]) -> list[tuple[int, float]]:
    """At most 100 points (step, mean loss of the steps since the previous point)."""
    width = max(1, math.ceil(len(losses) / CURVE_POINTS))
    pieces = [losses[start : start + width] for start in range(0, len(losses), width)]
    return [(min((i + 1) * width, len(losses)), sum(piece) / len(piece)) for i, piece in enumerate(pieces)]


def embeddings_file(embeddings: Embeddings) -> bytes:
    """Arrow IPC file: h as fixed-size lists, label, cluster, subject, record, frame."""
    n, width = embeddings.h.shape
    h = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.h.reshape(n * width)), width)
    names = ("label", "cluster", "subject", "record", "frame")
    table = pa.table({"h": h} | {name: pa.array(getattr(embeddings, name)) for name in names})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
