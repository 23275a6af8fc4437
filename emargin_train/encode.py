"""Frames to embeddings; as a program, recordings to a file of embeddings.

python -m emargin_train.encode runs/first/checkpoints/emargin-0003-0-0.pt my.toml --out embeddings.parquet
python -m emargin_train.encode runs/first/checkpoints/emargin-0003-0-0.pt night.edf --out night.parquet
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emargin_train.data.catalogue import find
from emargin_train.data.frames import Frames
from emargin_train.data.recording import Recording
from emargin_train.data.sequences import read_all
from emargin_train.data.settings import DataConfig
from emargin_train.data.signal_file import ENDINGS, FileOptions, is_file, open_file
from emargin_train.data.table_spec import SUFFIX_FORMATS
from emargin_train.embedding_files import check, write
from emargin_train.errors import UserError, exit_on_user_error
from emargin_train.files import check_new
from emargin_train.methods.base import Method
from emargin_train.program import Parser
from emargin_train.trained_encoder import Encoded, TrainedEncoder, cut, load_encoder

ENCODE_SEQUENCES = 64  # per batch


@torch.no_grad()
def encode(method: Method, frames: Frames, chosen: np.ndarray) -> np.ndarray | Tensor:
    """Embeddings of the chosen frames, in row-major order of `chosen`: (n, D) float32.

    They are an array if the method is on a CPU, and otherwise a tensor on the device of the method. The
    method is put into evaluation mode, and sees batches of whole sequences.

    chosen: (N, T) bool
    """
    if chosen.shape != frames.shape[:2] or chosen.dtype != bool:
        raise TypeError(f"chosen is {chosen.dtype} {chosen.shape}, not bool {frames.shape[:2]}")
    frames, like, was_training = method.seen(frames), method.like, method.training
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


def recordings(source: str, data_dir: str | None = None) -> Iterator[Recording]:
    """The recordings of a dataset, one after another. source: its name, or a .toml file that describes it"""
    config = DataConfig(dataset=source, data_dir=data_dir)
    return (recording for _, recording in read_all(find(source).parts(config)))


@dataclass
class Encoding:
    """The work of the program: a source on its way through an encoder.

    seconds: of the whole source; None = not known before its end
    done_s: seconds of signal that are encoded; n_records, n_frames: so far
    n_short: stretches that were left out, since they are shorter than a frame
    rates_hz: of the recordings so far
    """

    encoder: TrainedEncoder
    stretches: Iterator[Iterable[Recording]]
    seconds: float | None = None
    done_s: float = 0.0
    n_records: int = 0
    n_frames: int = 0
    n_short: int = 0
    rates_hz: set[float] = field(default_factory=set)

    @classmethod
    def of(
        cls, encoder: TrainedEncoder, source: str, data_dir: str | None, options: FileOptions
    ) -> "Encoding":
        """Raises UserError for a source that the encoder cannot take."""
        if Path(source).is_dir() or Path(source).suffix not in ("", ".toml", *SUFFIX_FORMATS):
            raise UserError(
                f"{source} is not a file of recordings: give one that ends in {ENDINGS}, a .toml file that "
                "describes some, or the name of a dataset"
            )
        if not is_file(source):
            if options.given():
                raise UserError(
                    f"{options.given()[0]} is given, but it is for single files: leave it out, or write it "
                    "into the .toml file"
                )
            return cls(encoder, (cut(recording) for recording in recordings(source, data_dir)))
        if data_dir is not None:
            raise UserError(f"--data-dir is given, but {source} is a file: leave it out")
        file = open_file(Path(source), options, encoder.signal)
        return cls(encoder, file.stretches, file.seconds)

    def run(self) -> Iterator[Encoded]:
        records = set[str]()
        hop_s = self.encoder.signal.hop / self.encoder.signal.rate_hz
        for stretch in self.stretches:
            before = self.n_frames
            for encoded in self.encoder.encode_pieces(self._seen(stretch)):
                records.add(encoded.record)
                self.n_records, self.n_frames = len(records), self.n_frames + len(encoded.h)
                self.done_s += len(encoded.h) * hop_s
                yield encoded
            self.n_short += self.n_frames == before

    def _seen(self, stretch: Iterable[Recording]) -> Iterator[Recording]:
        for piece in stretch:
            self.rates_hz.add(piece.rate_hz)
            yield piece

    def conversions(self) -> list[str]:
        """A sentence for each rate that is not the encoder's."""
        own, said = self.encoder.signal.rate_hz, []
        for rate in sorted(self.rates_hz - {own}):
            lacking = (
                f"; they have nothing above {rate / 2:g} Hz, which the training had" if rate < own else ""
            )
            said.append(f"recordings at {rate:g} Hz were resampled to the encoder's {own:g} Hz{lacking}")
        return said


def build_parser() -> Parser:
    parser = Parser(
        "emargin_train.encode",
        description="Encode recordings with an encoder that a study has trained. Channels, units and rate "
        "are converted to those of the training; a recording that cannot be converted is refused.",
    )
    parser.add_argument(
        "encoder",
        help="The encoder: a checkpoint such as runs/NAME/checkpoints/TRIAL-0-0.pt, or MLflow's "
        "runs:/RUN_ID/encoder or models:/NAME/VERSION.",
    )
    parser.add_argument(
        "source",
        help="The recordings: one file (.edf, .bdf, .hea, .csv, .tsv, .parquet or .mat), a .toml file that "
        "describes some, or the name of a dataset.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="Write the embeddings to this .parquet or .arrow file, one row for each frame.",
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace the file of --out if it exists.")
    parser.add_argument("--data-dir", metavar="DIR", help="The folder that holds the recordings.")
    file = parser.add_argument_group("one file", "These flags give what a single file does not state itself.")
    file.add_argument(
        "--channels",
        metavar="NAMES",
        help="Use these channels of the file, in the encoder's order, by name (a,b) or by position (1,2) "
        "(default: the channels that have the encoder's names).",
    )
    file.add_argument(
        "--units",
        metavar="UNITS",
        help="The channels are in this unit, such as uV, or in these units, one for each channel, such as "
        "mV,uV. Give none if neither the file nor the training data state a unit.",
    )
    file.add_argument("--rate-hz", type=float, metavar="HZ", help="The file has this many samples a second.")
    file.add_argument("--time", metavar="COLUMN", help="This column of a table has the time stamps.")
    file.add_argument(
        "--time-unit",
        metavar="UNIT",
        help="The time stamps count this unit: s, ms, us or ns. Give date if they are dates.",
    )
    file.add_argument("--variable", metavar="NAME", help="The channels are in this matrix of a .mat file.")
    return parser


def options_of(args: argparse.Namespace) -> FileOptions:
    """Raises UserError for a rate that is none."""
    return FileOptions(**{name: getattr(args, name) for name in FileOptions.__dataclass_fields__})


def main() -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    args = build_parser().parse_args()
    check_new(args.out, overwrite=args.overwrite, source=args.source)
    check(args.out)
    encoder = load_encoder(args.encoder)
    work = Encoding.of(encoder, args.source, args.data_dir, options_of(args))
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("encoding", total=work.seconds)
        for _ in write(work.run(), args.out):
            told = f"encoding: {work.n_frames:,} frames, {work.done_s / 3600:,.1f} h"
            progress.update(bar, completed=work.done_s, description=told)
    recordings = f"{work.n_records} recording{'' if work.n_records == 1 else 's'}"
    print(f"{args.out}: {work.n_frames} frames of {recordings}, {encoder.dim} numbers each")
    for sentence in work.conversions():
        print(sentence)
    if work.n_short == 1:
        print("1 stretch of signal was left out, since it is shorter than a frame")
    elif work.n_short:
        print(f"{work.n_short} stretches of signal were left out, since each is shorter than a frame")


if __name__ == "__main__":
    exit_on_user_error(main)
