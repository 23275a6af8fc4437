"""Write a study's report: one page that opens without a network, and a PNG and SVG of each chart beside it.

python -m analysis.report runs/NAME                     # -> runs/NAME/report/index.html
python -m analysis.report runs/NAME runs/OTHER ...      # reads them as one; the page goes to the first one
"""

import html
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from analysis import (
    charts,
    embeddings,
    geometry,
    health,
    importance,
    methods,
    mlflow_links,
    pareto,
    robustness,
    semi,
    slices,
)
from analysis.errors import exit_on_user_error
from analysis.joined import join
from analysis.page import PAGE_ROWS, page
from analysis.program import Parser
from analysis.rendering import Renderer
from analysis.sections import Section
from analysis.summary import header_html, headline
from analysis.tables import Study, load

SECTIONS: tuple[Callable[[Study], Section | None], ...] = (
    pareto.section,
    methods.report_section,
    robustness.section,
    geometry.section,
    semi.section,
    slices.section,
    importance.section,
    embeddings.section,
    health.section,
)

ELSEWHERE = ("subjects", "dataset_titles")  # entries of the manifest that the page says in other places


def build(folder: Path | str, *others: Path | str) -> Path:
    """Write `folder`/report/index.html with its figures and tables; returns its path.

    With others, all studies are read as one; their embeddings, which are in separate folders, are left out.

    Raises UserError where there is no exported study or its table cannot be read.
    """
    study = join([load(each) for each in (folder, *others)])
    target = study.folder / "report"
    target.mkdir(exist_ok=True)
    sections, specs = [], {}
    with Renderer() as renderer:
        for make in SECTIONS:
            if others and make is embeddings.section:
                continue
            section = make(study)
            if section is None:
                continue
            sections.append(section)
            for figure in section.figures:
                figure.clear(target)
                figure.table.to_csv(target / f"{figure.name}.csv", index=False)
                for stem, chart in figure.stems().items():
                    specs[stem] = chart.to_dict(validate=False)
                    renderer.add(charts.on_paper(specs[stem]), target / stem)
        header = header_html(study, sections)
        vega = renderer.finish()
    tables = [figure.table.head(PAGE_ROWS) for section in sections for figure in section.figures]
    shown = {trial for table in tables if "trial" in table for trial in table["trial"]}
    made = page(
        headline(study),
        header,
        sections,
        footer_html(study),
        specs=specs,
        vega=vega,
        titles={
            name: study.schema.titles[name] for table in tables for name in table if name in study.metrics
        },
        links=mlflow_links.first_runs(study, shown),
    )
    path = target / "index.html"
    whole = path.with_suffix(".part")
    whole.write_text(made, encoding="utf-8")
    os.replace(whole, path)
    return path


def footer_html(study: Study) -> str:
    """The footer: how the study was made, from its manifest and settings."""
    entries = {**study.manifest, "settings": study.settings}
    lines = "".join(
        f"<dt>{html.escape(name.replace('_', ' '))}</dt><dd>{html.escape(_words(value))}</dd>"
        for name, value in entries.items()
        if value not in (None, {}, [], "") and name not in ELSEWHERE
    )
    again = html.escape(f"python -m analysis.report {study.folder}")
    return f"""<footer>
<h2>How this was made</h2>
<dl class="manifest">{lines}</dl>
<p>Written by <code>{again}</code> from results.parquet alone.</p>
</footer>"""


def _words(value: Any) -> str:
    """A value of the manifest as lines of text."""
    if isinstance(value, dict):
        return "\n".join(f"{k}: {_flat(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "\n".join(_flat(v) for v in value)
    return str(value)


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_flat(v)}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def build_parser() -> Parser:
    made = Parser("analysis.report", __doc__)
    made.add_argument("study", type=Path, help="The folder of an exported study, such as runs/NAME.")
    made.add_argument(
        "others", nargs="*", type=Path, help="The folders of more studies, read as one with the first."
    )
    return made


def main(argv: Sequence[str] | None = None) -> None:
    arguments = build_parser().parse_args(argv)
    print(f"report: {build(arguments.study, *arguments.others)}")


if __name__ == "__main__":
    exit_on_user_error(main)
