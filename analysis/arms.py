"""List every setting of one or more studies in a table: the mean of each metric, with its 95 % t interval.

python -m analysis.arms runs/gates runs/methods
python -m analysis.arms runs/gates --metrics silhouette,effective_rank --csv arms.csv
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.errors import exit_on_user_error
from analysis.joined import join
from analysis.program import Parser
from analysis.tables import Study, load, per_trial, settings_text

LEADING = ("arm", "replicates", "ok")


def arms(study: Study, metrics: Sequence[str]) -> pd.DataFrame:
    """One row for each trial: `arm` (method and setting in words), and `m`, `m_low`, `m_high` by metric m."""
    table = per_trial(study, metrics)
    words = settings_text(study, table)
    table.insert(0, "arm", table["method"] + words.where(words == "", " (" + words + ")"))
    order = {"reference": 0, "baseline": 1, "searched": 2}
    return table.sort_values(
        ["dataset", "role", "arm"], key=lambda c: c.map(order) if c.name == "role" else c
    )


def markdown(table: pd.DataFrame, metrics: Sequence[str]) -> str:
    """The table as Markdown: mean [low, high]; a mean alone where there is no interval; – for null."""
    lines = [
        f"| {' | '.join((*LEADING, *metrics))} |",
        f"| {' | '.join(['---'] + ['---:'] * (len(LEADING) - 1 + len(metrics)))} |",
    ]
    for _, row in table.iterrows():
        cells = [str(row[name]) for name in LEADING] + [_cell(row, name) for name in metrics]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: "pd.Series[float]", metric: str) -> str:
    mean, low, high = row[metric], row[f"{metric}_low"], row[f"{metric}_high"]
    if pd.isna(mean):
        return "–"
    return f"{mean:.3g}" if pd.isna(low) else f"{mean:.3g} [{low:.3g}, {high:.3g}]"


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser("analysis.arms", __doc__)
    parser.add_argument("studies", nargs="+", type=Path, metavar="STUDY", help="The folders of the studies.")
    parser.add_argument("--metrics", metavar="NAMES", help="Show these metrics, a list a,b,c (default: all).")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="Also write the table with all columns to this CSV file."
    )
    arguments = parser.parse_args(argv)
    study = join([load(folder) for folder in arguments.studies])
    metrics = arguments.metrics.split(",") if arguments.metrics else list(study.metrics)
    table = arms(study, metrics)
    for dataset, part in table.groupby("dataset", sort=False):
        print(f"\n{dataset}\n\n{markdown(part, metrics)}")
    if arguments.csv:
        table.to_csv(arguments.csv, index=False)


if __name__ == "__main__":
    exit_on_user_error(main)
