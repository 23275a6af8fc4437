"""Frames to embeddings; as a program, recordings to a file of embeddings.

python -m emargin_train.encode runs/first/checkpoints/emargin-0003-0-0.pt my.toml --out embeddings.parquet
"""

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from emargin_train.data.catalogue import find
from emargin_train.data.frames import Frames
from emargin_train.data.recording import Recording
from emargin_train.data.sequences import read_all
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError, exit_on_user_error
from emargin_train.methods.base import Method
from emargin_train.trained_encoder import Encoded, TrainedEncoder, load_encoder

ENCODE_SEQUENCES = 64  # per batch
ENDINGS = (".parquet", ".arrow")


@torch.no_grad()
def encode(method: Method, frames: Frames, chosen: np.ndarray) -> np.ndarray | Tensor:
    """Embeddings of the chosen frames, in row-major order of `chosen`: (n, D) float32.

    An array if the method is on a CPU, else a tensor that stays where the method is. The method is put into
    evaluation mode for this, and sees batches of whole sequences.

    chosen: (N, T) bool
    """
    if chosen.shape != frames.shape[:2] or chosen.dtype != bool:
        raise TypeError(f"chosen is {chosen.dtype} {chosen.shape}, not bool {frames.shape[:2]}")
    like, was_training = method.like, method.training
    method.eval()
    dim = method.encode(like.new_zeros(1, *frames.shape[1:])).shape[-1]
    h = torch.empty((int(chosen.sum()), dim), device=like.device)
    done = 0
    touched = np.flatnonzero(chosen.any(1))
    for which in np.split(touched, range(ENCODE_SEQUENCES, len(touched), ENCODE_SEQUENCES)):
        own = torch.from_numpy(np.flatnonzero(chosen[which])).to(like.device)
        h[done : done + len(own)] = method.embed(frames.x(which)).flatten(0, 1)[own]
        done += len(own)
    method.train(was_training)
    return h.numpy() if like.device.type == "cpu" else h


def recordings(source: str, data_dir: str | None) -> Iterator[Recording]:
    """The recordings of a dataset, one after another: its name, or a .toml file that describes some."""
    config = DataConfig(dataset=source, data_dir=data_dir)
    return (recording for _, recording in read_all(find(source).parts(config)))


def table(encoded: Encoded) -> pa.Table:
    """One row for each frame: record, subject, start_s, label (null = unlabelled), h."""
    n, width = encoded.h.shape
    return pa.table(
        {
            "record": pa.array([encoded.record] * n, pa.string()),
            "subject": pa.array([encoded.subject] * n, pa.string()),
            "start_s": encoded.start_s,
            "label": pa.array(encoded.label, pa.string()),
            "h": pa.FixedSizeListArray.from_arrays(pa.array(encoded.h.reshape(-1)), width),
        }
    )


def write(encoder: TrainedEncoder, found: Iterator[Recording], out: Path) -> Iterator[Encoded]:
    """Encode recordings into a file, one at a time; yields each once it is written.

    The file appears under its name when it is whole. Memory: one recording.
    """
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    writer: Any = None
    with contextlib.ExitStack() as stack:
        stack.callback(part.unlink, missing_ok=True)
        for recording in found:
            encoded = encoder.encode(recording)
            rows = table(encoded)
            if writer is None:
                begin = pq.ParquetWriter if out.suffix == ".parquet" else pa.ipc.new_file
                writer = begin(str(part), rows.schema)
            writer.write_table(rows)
            yield encoded
        if writer is None:
            raise UserError("there is no recording to encode: give a dataset that has some")
        writer.close()
        part.replace(out)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emargin_train.encode",
        description="Encode recordings with an encoder that a study has trained. Channels, units and rate "
        "are converted to those of the training; a recording that cannot be converted is refused.",
    )
    parser.add_argument(
        "encoder",
        type=Path,
        help="The checkpoint of the encoder, such as runs/NAME/checkpoints/TRIAL-0-0.pt.",
    )
    parser.add_argument(
        "source", help="The recordings: the name of a dataset, or a .toml file that describes your own."
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="The file that is written: one row for each frame, as Parquet (.parquet) or Arrow (.arrow).",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="The folder that holds the recordings.")
    return parser


def main() -> None:
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    args = build_parser().parse_args()
    if args.out.suffix not in ENDINGS:
        raise UserError(f"--out is {args.out}, but its ending decides the format: give .parquet or .arrow")
    if not args.out.absolute().parent.is_dir():
        raise UserError(f"--out is {args.out}, but there is no folder {args.out.parent}: make it first")
    encoder = load_encoder(args.encoder)
    n_records = n_frames = 0
    shown = Progress(
        TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True), transient=True
    )
    with shown as progress:
        bar = progress.add_task("encoding", total=None)
        for encoded in write(encoder, recordings(args.source, args.data_dir), args.out):
            n_records, n_frames = n_records + 1, n_frames + len(encoded.h)
            progress.update(bar, description=f"encoding: {n_records} recordings, {n_frames} frames")
    print(f"{args.out}: {n_frames} frames of {n_records} recordings, {encoded.h.shape[1]} numbers each")


if __name__ == "__main__":
    exit_on_user_error(main)
