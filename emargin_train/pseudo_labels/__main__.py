"""Measure how well pseudo-labels show where the class changes. This needs no training.

For every noise level this prints the distribution of the cosines of adjacent frames, the cosine that theory
expects, and how the steps that each threshold calls dissimilar compare with the true changes of class.
"""

from pathlib import Path

import numpy as np

from emargin_train.data import load
from emargin_train.data.catalogue import find
from emargin_train.data.frames import Frames
from emargin_train.data.sequences import Layout, read_all
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError, exit_on_user_error
from emargin_train.flags import add_flags, read_flags
from emargin_train.program import Parser
from emargin_train.pseudo_labels.chart import draw, save
from emargin_train.pseudo_labels.noise import Bins, predict
from emargin_train.pseudo_labels.quality import Row, Steps, steps_of
from emargin_train.settings import declared

EXAMPLES = """\
examples:
  Draw a chart for the simulated sleep EEG, without and with noise:
    python -m emargin_train.pseudo_labels --dataset sleepeeg-sim --snr-db 20,10,0 --plot labels.png
  Judge three thresholds on your own copy of an ECG database:
    python -m emargin_train.pseudo_labels --dataset ecg --data-dir mitdb --thresholds 0.4,0.8,0.95
"""
DATA = [one for one in declared(DataConfig).values() if not one.is_hyperparameter]
AS_IS = "none"
N_THRESHOLDS = 50
MAX_ROWS = 12  # thresholds that are printed for each noise level


def build_parser() -> Parser:
    parser = Parser("emargin_train.pseudo_labels", description=__doc__, epilog=EXAMPLES)
    add_flags(parser.add_argument_group("data"), DATA)
    parser.add_argument(
        "--snr-db",
        metavar="DB,...",
        default="",
        help="Also show these noise levels in dB. Negative numbers need an equals sign: --snr-db=-5,0.",
    )
    parser.add_argument(
        "--thresholds",
        metavar="T,... | A:B",
        default="0.2:0.99",
        help=f"Judge these cosines as thresholds, or {N_THRESHOLDS} of them from A to B (default 0.2:0.99).",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="Write a chart to this .png, .svg or .html file."
    )
    return parser


def numbers(flag: str, text: str, low: float, high: float) -> list[float]:
    """The numbers of a list such as `1,2,3`. Raises UserError for one outside low to high."""
    try:
        values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UserError(
            f"{flag} is '{text}', but it has to be numbers: give a list such as 0.4,0.8"
        ) from None
    for value in values:
        if not low <= value <= high:
            raise UserError(
                f"{flag} has {value:g}, but each number has to be from {low:g} to {high:g}: correct it"
            )
    return values


def thresholds_of(text: str) -> np.ndarray:
    """`A:B` or a list -> cosines."""
    ends = numbers("--thresholds", text.replace(":", ","), -1, 1)
    if ":" not in text:
        if not ends:
            raise UserError("--thresholds is empty: give cosines such as 0.4,0.8")
        return np.array(ends)
    if len(ends) != 2 or ends[0] >= ends[1]:
        raise UserError(
            f"--thresholds is '{text}', but a range is A:B with A below B: give a range such as 0.2:0.99"
        )
    return np.linspace(ends[0], ends[1], N_THRESHOLDS)


def frames_at(config: DataConfig) -> list[Frames]:
    return list(load(config).by_name().values())


def expected_mean(clean: list[Frames], bins: Bins, snr_db: float) -> float:
    """Mean over all steps of the cosine that white noise leads to."""
    return float(np.concatenate([predict(frames, bins, snr_db).ravel() for frames in clean]).mean())


def bins_of(config: DataConfig) -> Bins:
    dataset = find(config.dataset)
    _, first = next(read_all(dataset.parts(config), config.subjects))
    return Bins(Layout.of(dataset, first).frame)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def show(found: dict[str, Steps], expected: dict[str, float], thresholds: np.ndarray, title: str) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console()
    head = ("SNR dB", "steps", "changes", "mean", "expected", "1 %", "median", "99 %", "AUROC", "AP")
    overview = Table(title=title, box=SIMPLE, collapse_padding=True)
    for name in head:
        overview.add_column(name, justify="right", no_wrap=True)
    for noise, steps in found.items():
        n_known = len(steps.changed) + len(steps.unchanged)
        share = len(steps.changed) / n_known if n_known else None
        quantiles = np.quantile(steps.cosine, (0.01, 0.5, 0.99))
        cells = [steps.cosine.mean(), expected.get(noise), *quantiles, *steps.ranking().values()]
        overview.add_row(noise, str(len(steps.cosine)), _text(share), *map(_text, cells))
    console.print(overview)
    console.print(
        "changes: share of labelled steps where the class changes; it is also the AP of chance", style="dim"
    )
    every = max(1, -(-len(thresholds) // MAX_ROWS))
    for noise, steps in found.items():
        table = Table(title=f"SNR dB: {noise}", box=SIMPLE, collapse_padding=True)
        for name in ("threshold", "share", "precision", "recall", "F1"):
            table.add_column(name, justify="right")
        for threshold in thresholds[::every]:
            row: Row = steps.at(float(threshold))
            table.add_row(f"{threshold:.3f}", *map(_text, row.values()))
        console.print(table)


def main() -> None:
    args = build_parser().parse_args()
    given = read_flags(args, DATA)
    thresholds = thresholds_of(args.thresholds)
    levels = numbers("--snr-db", args.snr_db, -100, 100)
    config = DataConfig(**given)
    clean = frames_at(config)
    found = {AS_IS: steps_of(clean)}
    expected = {}
    bins = bins_of(config) if levels and config.noise_kind == "white" else None
    for snr_db in levels:
        found[f"{snr_db:g}"] = steps_of(frames_at(DataConfig(**given, snr_db=snr_db)))
        if bins is not None:
            expected[f"{snr_db:g}"] = expected_mean(clean, bins, snr_db)
    title = f"Cosines of adjacent frames: {config.dataset_name}"
    show(found, expected, thresholds, title)
    if args.plot:
        save(draw(found, thresholds, title=title, noise=config.noise_kind), args.plot)
        print(f"drawn: {args.plot}")


if __name__ == "__main__":
    exit_on_user_error(main)
