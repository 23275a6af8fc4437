"""Every setting of one or more studies beside the others: each metric's mean over seeds, 95 % t interval.

python -m analysis.arms runs/gates runs/objectives
python -m analysis.arms runs/gates --metrics silhouette,effective_rank --csv arms.csv
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.errors import UserError, exit_on_user_error
from analysis.tables import Study, load, per_trial, settings_text, varying

LEADING = ("arm", "seeds", "ok")


def arms(studies: Sequence[Study], metrics: Sequence[str]) -> pd.DataFrame:
    """One row per dataset, objective and setting: `arm` in words, and per metric `m`, `m_low`, `m_high`.

    A setting measured in several studies of the same dataset is one arm for each study.
    """
    tables = [per_trial(study, metrics).assign(study=study.name) for study in studies]
    table = pd.concat([part.dropna(axis="columns", how="all") for part in tables], ignore_index=True)
    table = table.reindex(columns=list(dict.fromkeys([*tables[0].columns, *table.columns])))
    names = [
        name for name in varying(table) if name not in ("neighbours", "similar_sign", "gamma", "iterations")
    ]
    words = settings_text(table, names)
    table.insert(0, "arm", table["objective"] + words.where(words == "", " (" + words + ")"))
    kinds = {"reference": 0, "baseline": 1, "searched": 2}
    return table.sort_values(
        ["dataset", "kind", "arm"], key=lambda c: c.map(kinds) if c.name == "kind" else c
    )


def markdown(table: pd.DataFrame, metrics: Sequence[str]) -> str:
    """The table as Markdown: mean [low, high]; a mean alone where one seed gives no interval; – for null."""
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
    parser = argparse.ArgumentParser(
        "python -m analysis.arms", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="+", type=Path, metavar="STUDY", help="folders of studies")
    parser.add_argument("--metrics", metavar="NAMES", help="a list a,b,c (default: every metric)")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="also write the table there, with all columns"
    )
    arguments = parser.parse_args(argv)
    studies = [load(folder) for folder in arguments.studies]
    metrics = arguments.metrics.split(",") if arguments.metrics else list(studies[0].metrics)
    table = arms(studies, metrics)
    if table.empty:
        raise UserError(f"{', '.join(map(str, arguments.studies))} have no trials: resume the study")
    for dataset, part in table.groupby("dataset", sort=False):
        print(f"\n{dataset}\n\n{markdown(part, metrics)}")
    if arguments.csv:
        table.to_csv(arguments.csv, index=False)


if __name__ == "__main__":
    exit_on_user_error(main)
