"""The paper's figures (arXiv:2507.14828), which are printed beside those of a study."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from emargin_train.data.catalogue import find
from study.settings import StudySettings


@dataclass(frozen=True)
class Published:
    """One figure. metric: our column for it; value: as printed in the paper, a number or a bound in words"""

    metric: str
    value: str


FIGURES = {
    "ecg": (Published("davies_bouldin", "0.59"), Published("silhouette", "0.80")),
    "sleepeeg": (
        Published("silhouette", "above 0.80"),
        Published("paper_probe_precision", "under 0.20"),
        Published("paper_probe_recall", "under 0.20"),
    ),
    "harth": (Published("silhouette", "not given as a number"), Published("davies_bouldin", "likewise")),
}


def compare(preset: str, settings: StudySettings, done: dict[str, list[dict[str, Any]]]) -> str:
    """A table of the published figures and ours, for each method, with the data that ours come from.

    done: rows by trial, as `study.records.finished` gives them
    """
    paper = preset.removeprefix("paper-")
    dataset = find(settings.dataset)
    kind = "simulated data" if dataset.simulated else "files"
    source = f" in {settings.data_dir}" if settings.data_dir else ""
    title = f"{preset}: the paper's {paper} beside ours on {settings.dataset} ({kind}{source})"
    table = Table("method", "metric", "published", "ours: mean ± sd over replicates", title=title)
    for rows in done.values():
        shown = FIGURES[paper]
        for figure in shown:
            values = [row[figure.metric] for row in rows if row.get(figure.metric) is not None]
            spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
            ours = f"{np.mean(values):.2f}{spread} (n={len(values)})" if values else rows[0]["status"]
            table.add_row(rows[0]["method"], figure.metric, figure.value, ours)
    console = Console(width=110, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]
