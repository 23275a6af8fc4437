"""Rebuild the numbers and figures of a findings document from its studies.

python -m analysis.findings docs/findings            # writes docs/findings.md, and the figures
python -m analysis.findings docs/findings README.md  # and the numbers inside another document
python -m analysis.findings docs/findings --check    # changes nothing; exit code 1 if words would change

FOLDER has one folder for each study (results.parquet, study.toml, manifest.json), plan.toml and posthoc.toml
with the contrasts, and tables.toml, which says what each block and figure shows. The document is FOLDER.md.
It marks blocks by `<!-- begin NAME -->` and `<!-- end -->`, and numbers inside its sentences by `<!-- = WHAT
-->` and `<!-- / -->` (`analysis.sentences`); all other words are kept.
"""

import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.errors import UserError, exit_on_user_error, nearest
from analysis.evidence import Evidence, gather
from analysis.findings_charts import CHARTS
from analysis.findings_tables import JUDGED, NO_ROWS, TABLES
from analysis.joined import join
from analysis.program import Parser
from analysis.selection import meeting, selected
from analysis.sentences import value
from analysis.tables import Study, load

BLOCK = re.compile(r"(<!-- begin ([a-z0-9-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
INLINE = re.compile(r"(<!-- = ([^>]*?) -->).*?(<!-- / -->)", re.DOTALL)
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
    tables = [*TABLES, *JUDGED]
    for part, key, known in (("blocks", "table", tables), ("figures", "chart", list(CHARTS))):
        for name, options in read.setdefault(part, {}).items():
            if options.get(key) not in known:
                raise UserError(f"{path}: {part}.{name} has {key} '{options.get(key)}': {nearest('', known)}")
    return read


def figures(study: Study, planned: Plan, folder: Path) -> list[Path]:
    """The charts that the document shows, as files; a chart whose rows are not there yet is left out."""
    folder.mkdir(exist_ok=True)
    written: list[Path] = []
    for name, options in planned["figures"].items():
        part = _part(study, options)
        if part is not None:
            written += CHARTS[options["chart"]](part, options, folder / name)
    for old in {*folder.iterdir()} - {*written}:
        old.unlink()
    return written


def _part(study: Study, options: Mapping[str, Any]) -> Study | None:
    """The study with the rows of a block or figure; None where there are none yet."""
    asked = options.get("rows", [])
    met = [where for where in asked if meeting(study.rows, where).any()]
    return None if asked and not met else study.with_rows(selected(study.rows, met))


def studies(folder: Path) -> Study:
    """All studies of a folder, read as one. Raises UserError where there are none."""
    found = sorted(path.parent for path in folder.glob("*/results.parquet"))
    if not found:
        raise UserError(f"{folder} has no study (no */results.parquet): give the folder of the findings")
    return join([load(path) for path in found])


def rebuilt(text: str, evidence: Evidence, planned: Plan) -> str:
    """The document with every block and number rebuilt. Raises UserError for one that nothing describes."""
    study = evidence.study

    def block(match: re.Match[str]) -> str:
        name = match.group(2)
        if name not in planned["blocks"]:
            raise UserError(f"the document has a block '{name}': {nearest(name, planned['blocks'])}")
        options = planned["blocks"][name]
        part = _part(study, options)
        if options["table"] in JUDGED:
            table = JUDGED[options["table"]](evidence, options)
        else:
            table = NO_ROWS if part is None else TABLES[options["table"]](part, options)
        return f"{match.group(1)}\n{table}\n\n{match.group(3)}"

    def number(match: re.Match[str]) -> str:
        return f"{match.group(1)}{value(evidence, match.group(2))}{match.group(3)}"

    return INLINE.sub(number, BLOCK.sub(block, text))


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser("analysis.findings", __doc__)
    parser.add_argument("folder", type=Path, help="The folder of the studies; the document is FOLDER.md.")
    parser.add_argument("others", nargs="*", type=Path, help="Other documents with marked numbers.")
    parser.add_argument(
        "--check", action="store_true", help="Change nothing, and print whether the document is up to date."
    )
    arguments = parser.parse_args(argv)
    document = arguments.folder.with_suffix(".md")
    for path in (document, *arguments.others):
        if not path.is_file():
            raise UserError(f"{path} does not exist: write the document with its blocks first")
    study, planned = studies(arguments.folder), plan(arguments.folder)
    evidence = gather(study)
    documents = [document, *arguments.others]
    old = [path.read_text(encoding="utf-8") for path in documents]
    made = [rebuilt(text, evidence, planned) for text in old]
    if arguments.check:
        for path, before, after in zip(documents, old, made, strict=True):
            print(f"{path} is {'up to date' if before == after else 'not what the studies say'}")
        sys.exit(made != old)
    for path, text in zip(documents, made, strict=True):
        whole = path.with_suffix(".part")
        whole.write_text(text, encoding="utf-8")
        os.replace(whole, path)
    figures(study, planned, arguments.folder / "figures")
    named = ", ".join(map(str, documents))
    print(f"written: {named} from {len(study.rows)} rows, and {arguments.folder / 'figures'}")
    lacking = sorted(evidence.named - set(evidence.rows["contrast"]))
    if lacking:
        print(f"without rows so far: {', '.join(lacking)}")


if __name__ == "__main__":
    exit_on_user_error(main)
