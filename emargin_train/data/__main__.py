"""Look at a dataset, or download it."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from emargin_train.data import (
    cache,
    catalogue,
    check,
    check_page,
    describe,
    download,
    load,
    picture,
)
from emargin_train.data.dataset import Dataset
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError, exit_on_user_error
from emargin_train.program import Parser

EXAMPLES = """\
examples:
  What a simulated dataset holds, and a picture of it:
    python -m emargin_train.data describe sleepeeg-sim
  Your own recordings, described by a TOML file (docs/own_data.md):
    python -m emargin_train.data describe my.toml --data-dir recordings --plot my.png
  Two nights of two sleepers, about 200 MB:
    python -m emargin_train.data download sleepeeg --subjects 2
"""


def build_parser() -> Parser:
    parser = Parser("emargin_train.data", description=__doc__, epilog=EXAMPLES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="describe | download")
    look = commands.add_parser("describe", help="Print how a dataset is read, and draw one recording.")
    look.add_argument("name", help="The name of a dataset, ucr:<name>, or a .toml file.")
    look.add_argument(
        "--data-dir",
        metavar="DIR",
        help="The recordings are in this folder (default: they are downloaded or simulated).",
    )
    look.add_argument("--subjects", type=int, metavar="N", help="Only the first N subjects are used.")
    look.add_argument("--sequence-length", type=int, metavar="T", help="A sequence has T frames.")
    look.add_argument(
        "--split",
        default="subject",
        metavar="KIND",
        help="Recordings are divided by subject (default), leave-one-subject-out, time, or released.",
    )
    look.add_argument(
        "--split-seed",
        type=int,
        default=0,
        metavar="N",
        help="This seed decides which subjects belong to training, validation and test. With "
        "leave-one-subject-out, it is the number of the subject that is left out.",
    )
    look.add_argument(
        "--threshold",
        type=float,
        default=0.4,
        metavar="T",
        help="Steps with a cosine below this count as dissimilar (default 0.4).",
    )
    look.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="Write the picture to this .png or .svg file (default: <name>.png in the cache).",
    )
    look.add_argument(
        "--check",
        action="store_true",
        help="Read the whole dataset, and print every doubt about a recording. The exit code is 1 if there "
        "is a doubt.",
    )
    look.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="Also write the report of --check as a web page, FILE.html.",
    )
    get = commands.add_parser("download", help="Download a dataset from its public home.")
    get.add_argument("name", help=f"The dataset: {', '.join(download.HOMES)} or ucr:<name>.")
    get.add_argument("--subjects", type=int, metavar="N", help="Only the first N subjects are downloaded.")
    get.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="Write the files to this folder (default: in the cache, where studies find them).",
    )
    return parser


def run_describe(args: argparse.Namespace) -> None:
    """Print as it becomes known. Data that no study could split are described too, with what would help."""
    config = DataConfig(
        dataset=args.name,
        data_dir=args.data_dir,
        subjects=args.subjects,
        sequence_length=args.sequence_length,
        split=args.split,
        split_seed=args.split_seed,
    )
    if not -1 <= args.threshold <= 1:
        raise UserError(f"--threshold is {args.threshold}, but it is a cosine: give a value from -1 to 1")
    dataset = catalogue.find(args.name)
    if args.check:
        run_check(dataset, config, args.page)
        return
    if args.page is not None:
        raise UserError(f"--page is '{args.page}', but only --check writes a report: give --check too")
    found = describe.contents(dataset, config)
    show(describe.describe_contents(dataset, found))
    kept = describe.kept(dataset, config, found)
    try:
        splits = load(config)
    except UserError as error:
        show(describe.describe_classes(found, kept, None))
        helps = describe.remedies(dataset, config, found)
        show([f"  a study        would refuse this: {' '.join(str(error).split())}"])
        show([f"  what helps     {', or '.join(helps) or 'more subjects; no flag that was tried does'}"])
        return
    show(describe.describe_classes(found, kept, splits))
    show(describe.describe_splits(splits))
    show(describe.describe_adjacency(describe.adjacency(splits, args.threshold), args.threshold))
    show([describe.describe_cache()])
    path = args.plot or cache.folder() / "pictures" / f"{dataset.name.replace(':', '-')}.png"
    shown = picture.draw(dataset, config, splits, args.threshold, path)
    show([f"  picture        {path} ({shown})"])


def run_check(dataset: Dataset, config: DataConfig, page: Path | None) -> None:
    """Print each record and its doubts; exit code 1 if there are any."""
    records = check.check(dataset, config)
    if not records:
        raise UserError(f"dataset '{dataset.name}' holds no recording: give a folder that holds some")
    show([f"{dataset.title}  [{dataset.name}]"])
    for record in records:
        show([record.line(), *(f"    doubt: {doubt}" for doubt in record.all_doubts())])
    of_classes = list(check.of_classes(records[0].class_names))
    show(f"  doubt: {doubt}" for doubt in of_classes)
    n = len(of_classes) + sum(len(record.all_doubts()) for record in records)
    show([f"  {len(records)} records, {n} doubts"])
    if page is not None:
        check_page.write_page(dataset.title, records, page)
        show([f"  page           {page}"])
    if n:
        raise SystemExit(1)


def show(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def run_download(args: argparse.Namespace) -> None:
    if args.subjects is not None and args.subjects < 1:
        raise UserError(f"--subjects is {args.subjects}, but it counts people: give 1 or more")
    folder = download.ensure(args.name, subjects=args.subjects, to=args.to)
    found = "" if args.to is None else f"; use it with --data-dir {folder}"
    print(f"{args.name}: complete in {folder}{found}")


def main(argv: Sequence[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    if args.command == "describe":
        run_describe(args)
    else:
        run_download(args)


if __name__ == "__main__":
    exit_on_user_error(main)
