"""The quality report as a page: a small picture and the doubts of each recording. It needs no network."""

import html
from pathlib import Path

from emargin_train.data.check import Checked
from emargin_train.data.files import writing
from emargin_train.errors import UserError
from emargin_train.files import write_whole

STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2em;color:#222}table{border-collapse:collapse}"
    "td,th{padding:.3em .8em;text-align:left;vertical-align:top;border-top:1px solid #ddd}"
    ".doubt{color:#b42318}svg{background:#fafafa}"
)
WIDTH, HEIGHT = 240, 40


def write_page(title: str, records: list[Checked], path: Path) -> None:
    """All records as one HTML file."""
    if path.suffix.lower() != ".html":
        raise UserError(f"--page is '{path}', but the report is a page: give a name that ends in .html")
    doubtful = sum(bool(one.all_doubts()) for one in records)
    rows = "\n".join(_row(one) for one in records)
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>"
        f"<p>{len(records)} records, {doubtful} with doubts. "
        "Pictures show the first channel: its lowest and highest value over time.</p><table>"
        "<tr><th>record</th><th>signal</th><th>seconds</th><th>Hz</th><th>unlabelled</th><th>doubts</th></tr>"
        f"{rows}</table></html>\n"
    )
    with writing(path.parent, "give another --page"):
        write_whole(path, page.encode())


def _row(one: Checked) -> str:
    doubts = "<br>".join(html.escape(doubt) for doubt in one.all_doubts())
    return (
        f"<tr><td>{html.escape(one.record)}</td><td>{_picture(one)}</td>"
        f"<td>{one.samples / one.rate_hz:,.0f}</td><td>{one.rate_hz:g}</td>"
        f'<td>{one.unlabelled / max(1, one.samples):.0%}</td><td class="doubt">{doubts}</td></tr>'
    )


def _picture(one: Checked) -> str:
    if not one.picture:
        return ""
    low, high = min(p[0] for p in one.picture), max(p[1] for p in one.picture)
    height, step = (high - low) or 1.0, WIDTH / len(one.picture)
    lines = "".join(
        f"M{i * step:.1f} {HEIGHT - (a - low) / height * HEIGHT:.1f}"
        f"V{HEIGHT - (b - low) / height * HEIGHT - 0.5:.1f}"
        for i, (a, b) in enumerate(one.picture)
    )
    name = html.escape(f"signal of {one.record}")
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{name}">'
        f'<path d="{lines}" stroke="#33475b" stroke-width="{max(step, 0.6):.1f}"/></svg>'
    )
