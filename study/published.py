"""The paper's figures (arXiv:2507.14828), which are printed in a separate row above those of a study."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from emargin_train.data.catalogue import find
from emargin_train.declarations import declarations
from study.presets import PAPER
from study.settings import StudySettings

WIDTH = 150
PROTOCOL = (
    "protocol of the published row: as printed; the number of seeds and the spread are not known; the "
    "paper's code joins all recordings, splits them in sequence, and measures class-balanced validation "
    "frames by KMeans with as many clusters as classes, and by a linear probe of 10 epochs"
)


@dataclass(frozen=True)
class Published:
    """What the paper prints of one of its datasets.

    data: what the paper measured; files: names that its recordings have, as a pattern for each
    figures: by our column, a number or a bound in words, as printed
    """

    data: str
    files: tuple[str, ...]
    figures: dict[str, str]


FIGURES = {
    "ecg": Published(
        "MIT-BIH AFDB",
        ("0[4-8][0-9][0-9][0-9].hea",),
        {"davies_bouldin": "0.59", "silhouette": "0.80"},
    ),
    "sleepeeg": Published(
        "Sleep-EDF Expanded",
        ("SC4*-PSG.edf", "ST7*-PSG.edf"),
        {
            "silhouette": "above 0.80",
            "paper_probe_precision": "under 0.20",
            "paper_probe_recall": "under 0.20",
        },
    ),
    "harth": Published(
        "HARTH",
        ("S0[0-9][0-9].csv",),
        {"silhouette": "not given as a number", "davies_bouldin": "not given as a number"},
    ),
}


def compare(preset: str, settings: StudySettings, done: dict[str, list[dict[str, Any]]]) -> str:
    """A table with the published figures in the first row, then one row for each trial of the study.

    Each row names its data. Below the table are the protocols, the reason of each trial that diverged, and a
    warning where our data are not the paper's.

    done: rows by trial, as `study.records.finished` gives them
    """
    paper = FIGURES[preset.removeprefix(PAPER)]
    ours, is_theirs = our_data(preset.removeprefix(PAPER), settings)
    columns = [declarations().metrics[name].title for name in paper.figures]
    table = Table("what", "data", *columns, "replicates", title=f"{preset}: means ± sd over replicates")
    table.add_row("published: eMargin", paper.data, *paper.figures.values(), "–", end_section=True)
    reasons = []
    for trial, rows in done.items():
        precision = rows[0].get("precision")
        name = f"{rows[0]['method']}{f', {precision}' if precision else ''}"
        ended = f"{sum(row['status'] == 'ok' for row in rows)} of {len(rows)} ok"
        table.add_row(f"ours: {name}", ours, *(_spread(rows, metric) for metric in paper.figures), ended)
        errors = [row["error"] for row in rows if row["status"] != "ok" and row.get("error")]
        if errors:  # those of other seeds differ in a digit of the loss
            reasons.append(f"{name} ({trial}, {len(errors)} of {len(rows)} replicates): {errors[0]}")
    console = Console(width=WIDTH, file=io.StringIO())
    console.print(table)
    lines = [console.file.getvalue().rstrip(), PROTOCOL, our_protocol(settings), *reasons]  # type: ignore[attr-defined]
    if not is_theirs:
        lines.append(
            f"our rows are measured on {ours}, the published row on {paper.data}: "
            "they do not say whether the published figures hold"
        )
    return "\n".join(lines)


def our_protocol(settings: StudySettings) -> str:
    """How the rows of a study are measured, beside the paper's way."""
    seeds = ", ".join(map(str, settings.seeds))
    if settings.split == "released":
        split = "the same split and measures"
    else:
        split = f"the same measures, but --split {settings.split}"
    return f"protocol of our rows: {split}; seeds {seeds}"


def our_data(name: str, settings: StudySettings) -> tuple[str, bool]:
    """The data of a study in words, and whether they are the paper's recordings, by their names.

    name: the paper's dataset, a key of FIGURES
    """
    dataset, paper = find(settings.dataset), FIGURES[name]
    if dataset.simulated:
        return f"simulated data ({settings.dataset})", False
    if settings.dataset != name:
        return f"{settings.dataset} (not {paper.data})", False
    if settings.data_dir is None:
        return paper.data, True
    folder = Path(settings.data_dir)
    if any(_files(folder, paper.files)):
        return f"{paper.data}, as in {settings.data_dir}", True
    return f"{folder.resolve().name} (not {paper.data})", False


def _files(folder: Path, patterns: Iterable[str]) -> Iterable[Path]:
    return (path for pattern in patterns for path in folder.rglob(pattern))


def _spread(rows: list[dict[str, Any]], metric: str) -> str:
    values = [row[metric] for row in rows if row.get(metric) is not None]
    if not values:
        return str(rows[0]["status"])
    return f"{np.mean(values):.2f}" + (f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else "")
