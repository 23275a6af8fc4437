"""What an analysis returns (sections of figures with their numbers), and the command line of analyses."""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from altair.typing import ChartType

from analysis import charts
from analysis.joined import join
from analysis.program import Parser
from analysis.tables import Study, load


@dataclass(frozen=True)
class Figure:
    """Charts that belong together, an explanation of how to read them, and their numbers.

    name: stem of the files
    charts: panel title to chart; panels share the figure's reading and table
    printed: what the command line shows in place of the table's first rows
    """

    name: str
    title: str
    reading: str
    charts: dict[str, ChartType]
    table: pd.DataFrame
    printed: pd.DataFrame | None = None

    def stems(self) -> dict[str, ChartType]:
        """Charts by file stem: the figure's name, with a number where there are several panels."""
        if len(self.charts) == 1:
            return {self.name: next(iter(self.charts.values()))}
        return {f"{self.name}-{i}": chart for i, chart in enumerate(self.charts.values(), 1)}

    def clear(self, folder: Path) -> None:
        """Remove the figure's files of an earlier run, which may have had more panels."""
        for path in folder.glob(f"{self.name}*"):
            if re.fullmatch(rf"{re.escape(self.name)}(-\d+)?\.(png|svg|pdf|html|csv)", path.name):
                path.unlink()


@dataclass(frozen=True)
class Section:
    """The part of the report that answers one question.

    verdicts: what was found, in whole sentences, most important first
    headlines: how many of these belong in the report's first screen
    notes: what cannot be said, and why
    commands: command lines to copy
    """

    name: str
    title: str
    intro: str
    verdicts: tuple[str, ...] = ()
    headlines: int = 0
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


def parser(doc: str | None, prog: str, *, several: bool = True) -> Parser:
    """A parser with the arguments of every analysis: one exported study, or several that are read as one."""
    made = Parser(prog.removeprefix("python -m "), doc)
    made.add_argument("study", type=Path, help="The folder of an exported study, such as runs/NAME.")
    if several:
        made.add_argument(
            "others",
            nargs="*",
            type=Path,
            help="The folders of more studies, which are read as one with the first.",
        )
    made.add_argument(
        "--formats",
        default="png,svg,pdf,html",
        help="Write each chart in these formats, a list of png, svg, pdf and html (default: all).",
    )
    return made


def run(arguments: argparse.Namespace, section: Callable[[Study], Section]) -> None:
    """Print the findings and tables of a section; write its charts and tables to the report folder."""
    study = join([load(folder) for folder in (arguments.study, *getattr(arguments, "others", ()))])
    show(section(study), study.folder / "report", arguments.formats.split(","))


def show(section: Section, folder: Path, formats: Sequence[str]) -> None:
    """Print the findings and the first rows of each table; write charts and tables."""
    print(f"{section.title}\n")
    for sentence in (*section.verdicts, *section.notes):
        print(f"  {sentence}")
    folder.mkdir(parents=True, exist_ok=True)
    for figure in section.figures:
        shown = _excerpt(figure.table) if figure.printed is None else figure.printed.to_string(index=False)
        print(f"\n{figure.title}\n{shown}")
        path = folder / f"{figure.name}.csv"
        figure.clear(folder)
        figure.table.to_csv(path, index=False)
        written = [path]
        for stem, chart in figure.stems().items():
            written += charts.save(chart, folder / stem, formats)
        print("written: " + ", ".join(str(path) for path in written))
    for line in section.commands:
        print(f"\n  {line}")


def _excerpt(table: pd.DataFrame, rows: int = 12) -> str:
    more = f"\n... {len(table) - rows} more rows in the file" if len(table) > rows else ""
    return table.head(rows).to_string(index=False, float_format="{:.4g}".format, max_colwidth=60) + more
