"""Rebuild the numbers and figures of a findings document from its studies.

python -m analysis.findings docs/findings            # writes the blocks of docs/findings.md, and the figures
python -m analysis.findings docs/findings --check    # changes nothing; exit code 1 if a block would change

FOLDER has one folder for each study (results.parquet, study.toml, manifest.json), and tables.toml, which says
what each block and figure shows. The document is FOLDER.md. It marks blocks by `<!-- begin NAME -->` and
`<!-- end -->`; the words between blocks are kept.
"""

import argparse
import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import charts, geometry, geometry_charts, robustness, robustness_charts
from analysis.errors import UserError, exit_on_user_error, nearest
from analysis.findings_tables import TABLES
from analysis.grids import grids
from analysis.joined import join
from analysis.selection import selected
from analysis.tables import Study, load

BLOCK = re.compile(r"(<!-- begin ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
Plan = dict[str, dict[str, dict[str, Any]]]  # "blocks" and "figures": name to options


def plan(folder: Path) -> Plan:
    """tables.toml of a findings folder. Raises UserError where it is missing or names an unknown table."""
    path = folder / "tables.toml"
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: write it, to say which table each block shows") from None
    except ValueError as error:
        raise UserError(f"{path} cannot be read ({error}): correct it") from None
    for part, key, known in (("blocks", "table", TABLES), ("figures", "chart", CHARTS)):
        for name, options in read.setdefault(part, {}).items():
            if options.get(key) not in known:
                raise UserError(f"{path}: {part}.{name} has {key} '{options.get(key)}': {nearest('', known)}")
    return read


def ranges(study: Study, options: Mapping[str, Any], stem: Path) -> None:
    """Range of each metric over thresholds, with bounds and verdict."""
    found = grids(study)
    for metric in (study.metric(name) for name in options["metrics"]):
        judged = robustness.verdicts(found, metric, robustness.margin_of(metric))
        chart = robustness_charts.range_chart(study, judged)
        charts.save(chart, stem.with_name(f"{stem.name}-{metric.name}"), ("png", "svg"))


def ranks(study: Study, options: Mapping[str, Any], stem: Path) -> None:
    """Silhouette over effective rank, a chart for each data set."""
    rank, silhouette = study.metric("effective_rank"), study.metric("silhouette")
    for dataset, part in geometry.measured(study).groupby("dataset", sort=False):
        clusters = study.manifest.get("clusters", {}).get(dataset)
        chart = geometry_charts.rank_chart(study, part, rank, silhouette, clusters)
        charts.save(chart, stem.with_name(f"{stem.name}-{dataset}"), ("png", "svg"))


CHARTS: dict[str, Callable[[Study, Mapping[str, Any], Path], None]] = {"ranges": ranges, "rank": ranks}


def figures(study: Study, planned: Plan, folder: Path) -> None:
    """The charts that the document shows, as PNG and SVG."""
    folder.mkdir(exist_ok=True)
    for name, options in planned["figures"].items():
        CHARTS[options["chart"]](_part(study, options), options, folder / name)


def _part(study: Study, options: Mapping[str, Any]) -> Study:
    return study.with_rows(selected(study.rows, options.get("rows", [])))


def studies(folder: Path) -> Study:
    """All studies of a folder, read as one. Raises UserError where there are none."""
    found = sorted(path.parent for path in folder.glob("*/results.parquet"))
    if not found:
        raise UserError(f"{folder} has no study (no */results.parquet): give the folder of the findings")
    return join([load(path) for path in found])


def rebuilt(text: str, study: Study, planned: Plan) -> str:
    """The document with every block rebuilt. Raises UserError for a block that tables.toml does not have."""

    def block(match: re.Match[str]) -> str:
        name = match.group(2)
        if name not in planned["blocks"]:
            raise UserError(f"the document has a block '{name}': {nearest(name, planned['blocks'])}")
        options = planned["blocks"][name]
        table = TABLES[options["table"]](_part(study, options), options)
        return f"{match.group(1)}\n{table}\n\n{match.group(3)}"

    return BLOCK.sub(block, text)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "python -m analysis.findings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="The folder of the studies; the document is FOLDER.md.")
    parser.add_argument(
        "--check", action="store_true", help="Change nothing, and print whether the document is up to date."
    )
    arguments = parser.parse_args(argv)
    document = arguments.folder.with_suffix(".md")
    if not document.is_file():
        raise UserError(f"{document} does not exist: write the document with its blocks first")
    study, planned = studies(arguments.folder), plan(arguments.folder)
    text = document.read_text(encoding="utf-8")
    made = rebuilt(text, study, planned)
    if arguments.check:
        print(f"{document} is {'up to date' if made == text else 'not what the studies say'}")
        sys.exit(made != text)
    whole = document.with_suffix(".part")
    whole.write_text(made, encoding="utf-8")
    os.replace(whole, document)
    figures(study, planned, arguments.folder / "figures")
    print(f"written: {document} from {len(study.rows)} rows, and {arguments.folder / 'figures'}")


if __name__ == "__main__":
    exit_on_user_error(main)
