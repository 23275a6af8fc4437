"""The page of the report: one HTML file that holds all it needs."""

import html
import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from analysis import charts
from analysis.sections import Figure, Section

SHORT = 15  # a table without a chart is open at first if it has at most so many rows
PAGE_ROWS = 1000  # rows of a table that are in the page
MAX_SVG_POINTS = 1500  # charts with more points are drawn on a canvas


@cache
def _resource(name: str) -> str:
    return files("analysis").joinpath(name).read_text(encoding="utf-8")


Specs = dict[str, dict[str, Any]]  # the Vega-Lite spec of each chart, by the stem of its files


def page(
    title: str,
    header: str,
    sections: Sequence[Section],
    footer: str,
    *,
    specs: Specs,
    vega: str,
    titles: dict[str, str],
    links: dict[str, str],
) -> str:
    """The whole page. `header` and `footer` are HTML, `vega` the script that draws the charts.

    titles: of the columns of tables; links: the address in MLflow of each trial's first run
    """
    contents = "".join(f'<li><a href="#{s.name}">{html.escape(s.title)}</a></li>' for s in sections)
    body = "\n".join(section_html(section, specs) for section in sections)
    themes = {name: charts.theme(name) for name in ("light", "dark")}
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<link rel="icon" href="data:,">
<style>{_resource("page.css")}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the report</a>
{header}
<nav aria-label="Sections"><ul>{contents}</ul></nav>
<main id="content">
<noscript><p>The charts need JavaScript; PNG and SVG files of them are beside this page.</p></noscript>
{body}
</main>
{footer}
<script type="application/json" id="themes">{_json(themes)}</script>
<script type="application/json" id="titles">{_json(titles)}</script>
<script type="application/json" id="links">{_json(links)}</script>
<script>{_script(vega)}</script>
<script>{_resource("page.js")}</script>
</body>
</html>
"""


def section_html(section: Section, specs: Specs) -> str:
    """One section: intro, findings, notes, figures, commands."""
    parts = [f'<section id="{section.name}" aria-labelledby="{section.name}-title">']
    parts.append(f'<h2 id="{section.name}-title">{html.escape(section.title)}</h2>')
    if section.intro:
        parts.append(f'<p class="intro">{html.escape(section.intro)}</p>')
    parts.append(bullets(section.verdicts))
    parts += [f'<p class="note">{prose(note)}</p>' for note in section.notes]
    parts += [figure_html(figure, specs) for figure in section.figures]
    if section.commands:
        lines = html.escape("\n".join(section.commands))
        parts.append(f"<h3>Run it again</h3><pre tabindex='0'><code>{lines}</code></pre>")
    return "\n".join([*parts, "</section>"])


def bullets(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{prose(sentence)}</li>" for sentence in sentences)
    return f'<ul class="findings">{items}</ul>' if items else ""


def prose(sentence: str) -> str:
    """The sentence as HTML, with true minus signs, and intervals that are not broken over lines."""
    text = re.sub(r"(?<![\w.])-(?=\d)", "−", html.escape(sentence))
    return re.sub(r"\[[^\]]*\]", lambda interval: f'<span class="iv">{interval.group()}</span>', text)


def figure_html(figure: Figure, specs: Specs) -> str:
    """A figure: how to read it, its charts beside each other, and their numbers below."""
    panels = []
    for stem, title in zip(figure.stems(), figure.charts, strict=True):
        spec = responsive(specs[stem])
        heading = f"<h4>{html.escape(title)}</h4>" if len(figure.charts) > 1 else ""
        renderer = "canvas" if points(spec) > MAX_SVG_POINTS else "svg"
        label = html.escape(f"{figure.title}: {title}. {figure.reading}", quote=True)
        panels.append(
            f'<div class="panel">{heading}<div class="chart" role="figure" aria-label="{label}" '
            f'data-renderer="{renderer}" data-spec="{stem}-spec"></div>'
            f'<script type="application/json" id="{stem}-spec">{_json(spec)}</script></div>'
        )
    return f"""<figure id="figure-{figure.name}">
<h3>{html.escape(figure.title)}</h3>
<figcaption>{html.escape(figure.reading)}</figcaption>
{f'<div class="panels">{"".join(panels)}</div>' if panels else ""}
{table_html(figure.name, figure.table, alone=not figure.charts)}
</figure>"""


def table_html(name: str, table: pd.DataFrame, *, alone: bool) -> str:
    """The numbers, hidden at first; page.js shows, sorts and saves them from one copy of the CSV."""
    part = table.head(PAGE_ROWS)
    csv = charts.compact(part, list(table.columns)).to_csv(index=False, lineterminator="\n")
    cut = f"These are the first {PAGE_ROWS:,} rows; {name}.csv beside this page holds all {len(table):,}."
    shown = " open" if alone and len(table) <= SHORT else ""
    return f"""<details{shown} data-csv="{name}-csv" data-name="{name}.csv">
<summary>The numbers</summary>
<div class="tools"><button type="button" class="plain">Save as CSV</button>
<span class="count" role="status"></span>{f" <span>{cut}</span>" if len(table) > PAGE_ROWS else ""}</div>
<div class="scroll" tabindex="0" role="region" aria-label="Table: {html.escape(name)}"></div>
</details>
<script type="application/json" id="{name}-csv">{_json(csv)}</script>"""


def responsive(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec that fills its column if it is a single view; composed views keep their size and scroll."""
    if "layer" in spec or "mark" in spec:
        spec = spec | {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
    return {name: value for name, value in spec.items() if name != "config"}


def points(spec: dict[str, Any]) -> int:
    """The number of rows in a chart's largest dataset."""
    return max((len(rows) for rows in spec.get("datasets", {}).values()), default=0)


def _json(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")


def _script(text: str) -> str:
    """JavaScript that can be embedded: it does not contain the end of a script element."""
    return re.sub("<(?=/script|!--)", r"\\x3C", text, flags=re.IGNORECASE)
