"""Rebuild the numbers and figures of a findings document from the studies that lie beside it.

python -m analysis.findings docs/findings            # writes the blocks of docs/findings.md, and the figures
python -m analysis.findings docs/findings --check    # changes nothing; exit code 1 if a block would change

The folder holds one folder a study (results.parquet, study.toml, manifest.json). The document beside it has
the folder's name and marks blocks by `<!-- begin NAME -->` and `<!-- end -->`; words between blocks are kept.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis import charts, geometry, geometry_charts, robustness, robustness_charts
from analysis.errors import UserError, exit_on_user_error, nearest
from analysis.findings_tables import BLOCKS, GOALS, intended
from analysis.joined import join
from analysis.tables import Study, load

BLOCK = re.compile(r"(<!-- begin ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def figures(study: Study, folder: Path) -> None:
    """The charts that the document shows, as PNG and SVG."""
    folder.mkdir(exist_ok=True)
    found = intended(study)
    judged = pd.concat(
        [robustness.verdicts(found, study.metric(m), robustness.margin_of(study.metric(m))) for m in GOALS]
    )
    for metric in GOALS:
        own = judged[judged["metric"] == metric]
        charts.save(robustness_charts.range_chart(study, own), folder / f"threshold-{metric}", ("png", "svg"))
    table = geometry.measured(study)
    rank, silhouette = study.metric("effective_rank"), study.metric("silhouette")
    for dataset, part in table.groupby("world", sort=False):
        clusters = study.manifest.get("clusters", {}).get(dataset)
        chart = geometry_charts.rank_chart(study, part, rank, silhouette, clusters)
        charts.save(chart, folder / f"rank-{dataset}", ("png", "svg"))


def studies(folder: Path) -> Study:
    """All studies of a folder as one. Raises UserError where it holds none."""
    found = sorted(path.parent for path in folder.glob("*/results.parquet"))
    if not found:
        raise UserError(f"{folder} holds no study (no */results.parquet): give the folder of the findings")
    return join([load(path) for path in found])


def rebuilt(text: str, study: Study) -> str:
    """The document with every block written anew. Raises UserError for a block of unknown name."""

    def block(match: re.Match[str]) -> str:
        name = match.group(2)
        if name not in BLOCKS:
            raise UserError(f"the document has a block '{name}': {nearest(name, BLOCKS)}")
        return f"{match.group(1)}\n{BLOCKS[name](study)}\n\n{match.group(3)}"

    return BLOCK.sub(block, text)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "python -m analysis.findings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="folder of the studies; its document is FOLDER.md")
    parser.add_argument("--check", action="store_true", help="only say whether the document is up to date")
    arguments = parser.parse_args(argv)
    document = arguments.folder.with_suffix(".md")
    if not document.is_file():
        raise UserError(f"{document} does not exist: write the document with its blocks first")
    study = studies(arguments.folder)
    text = document.read_text(encoding="utf-8")
    made = rebuilt(text, study)
    if arguments.check:
        print(f"{document} is {'up to date' if made == text else 'not what the studies say'}")
        sys.exit(made != text)
    whole = document.with_suffix(".part")
    whole.write_text(made, encoding="utf-8")
    os.replace(whole, document)
    figures(study, arguments.folder / "figures")
    print(f"written: {document} from {len(study.rows)} rows, and {arguments.folder / 'figures'}")


if __name__ == "__main__":
    exit_on_user_error(main)
