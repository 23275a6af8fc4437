"""Command-line flags that programs share: which data, which noise."""

import argparse
from typing import Any

NAMES = (
    "dataset",
    "data_dir",
    "subjects",
    "sequence_length",
    "split",
    "split_seed",
    "noise_kind",
    "noise_on",
    "noise_seed",
    "evaluation_frames",
)


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """Flags for the fields of DataConfig that a study holds fixed; an absent flag leaves the default."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--dataset",
        metavar="NAME",
        help="sleepeeg, harth, ecg, their simulated twins sleepeeg-sim, harth-sim, ecg-sim, ucr:<name>, "
        "or a .toml file that describes your own recordings",
    )
    group.add_argument(
        "--data-dir", metavar="DIR", help="folder of the recordings (default: download, or simulate)"
    )
    group.add_argument("--subjects", type=int, metavar="N", help="use the first N subjects only")
    group.add_argument(
        "--sequence-length", type=int, metavar="T", help="frames in a sequence (default: the dataset's)"
    )
    group.add_argument(
        "--split", metavar="KIND", help="subject (default), time, or released (as the paper's code)"
    )
    group.add_argument("--split-seed", type=int, metavar="N", help="chooses who is on which side (default 0)")
    group.add_argument(
        "--noise-kind",
        metavar="KIND",
        help="white (default), pink, baseline-wander, hum-50, hum-60 or electrode-motion; with --snr-db",
    )
    group.add_argument("--noise-on", metavar="SIDES", help="all (default), train or eval")
    group.add_argument("--noise-seed", type=int, metavar="N", help="seed of the noise (default 0)")
    group.add_argument(
        "--evaluation-frames",
        type=int,
        metavar="N",
        help="at most N frames of a side are measured, and probes learn from 3 N (default 5000)",
    )


def data_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The data flags that were given, by the names of DataConfig."""
    return {name: getattr(args, name) for name in NAMES if getattr(args, name) is not None}
