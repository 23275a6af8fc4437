"""Write the table of metrics into a Markdown document.

python -m emargin_train.evaluation docs/metrics.md
"""

from math import inf
from pathlib import Path

from emargin_train.errors import UserError, exit_on_user_error
from emargin_train.evaluation.metrics import METRICS, Metric
from emargin_train.files import write_whole
from emargin_train.program import Parser

BEGIN = "<!-- table of metrics: python -m emargin_train.evaluation docs/metrics.md -->"
END = "<!-- end of table -->"
BEST = {"max": "high", "min": "low", None: "neither"}


def table() -> str:
    """All metrics except `test_*`, as a Markdown table."""
    rows = [
        "| column | what | frames | range | good | source |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows += [_row(name, metric) for name, metric in METRICS.items() if not name.startswith("test_")]
    tested = ", ".join(f"`{name}`" for name in METRICS if name.startswith("test_"))
    return "\n".join(rows) + f"\n\nThe same on test frames, for reporting: {tested}.\n"


def _row(name: str, metric: Metric) -> str:
    ends = (f"{end:g}".replace("inf", "∞").replace("-", "−") for end in (metric.low, metric.high))
    span = "{} to {}".format(*ends) if metric.high < inf else f"{metric.low:g} and above"
    what = f"{metric.title}: {metric.description}".replace("|", "\\|")
    return f"| `{name}` | {what} | {metric.frames} | {span} | {BEST[metric.best]} | {metric.source} |"


def updated(document: str) -> str:
    """The document with a new table. Raises UserError where it has no place for the table."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"the document has no place for the table: put '{BEGIN}' and '{END}' there")
    return f"{before}{BEGIN}\n{table()}{END}{after}"


def main() -> None:
    parser = Parser("emargin_train.evaluation", description=__doc__)
    parser.add_argument("document", type=Path, help="The Markdown file with the two marks of the table.")
    path = parser.parse_args().document
    if not path.is_file():
        raise UserError(f"there is no file {path}: give docs/metrics.md")
    write_whole(path, updated(path.read_text()).encode())


if __name__ == "__main__":
    exit_on_user_error(main)
