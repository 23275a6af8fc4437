"""Whether methods were compared on equal terms: the same data, budgets and replicates."""

import pandas as pd

from analysis.errors import UserError
from analysis.methods_charts import UNTRAINED
from analysis.tables import Study
from analysis.words import listed

TERMS = ("iterations", "batch_size", "sequence_length", "evaluation_frames", "split", "split_seed", "seed")


def check_same_data(study: Study) -> None:
    """Raises UserError where studies call different recordings by the same name."""
    if "data_hash" not in study.rows:
        return
    for dataset, own in study.rows.groupby("dataset", sort=False):
        hashes = own["data_hash"].dropna().unique()
        if len(hashes) > 1:
            raise UserError(
                f"'{dataset}' is not the same data everywhere (data_hash {', '.join(map(str, hashes))}), so "
                "methods would be compared on different recordings or frames: give studies of the same data"
            )


def notes(made: pd.DataFrame) -> list[str]:
    """What must be known to compare the methods: unequal budgets, missing ones, lost trainings."""
    found = []
    one = made.drop_duplicates(["dataset", "title"])
    trained = one[~one["role"].isin(UNTRAINED)]
    budgets = trained["settings"]
    if budgets.nunique() > 1:
        low, high = int(budgets.min()), int(budgets.max())
        found.append(
            f"The methods had from {low} to {high} complete settings to choose the best from, which favours "
            "those with more: see the column settings."
        )
    for dataset, own in one.groupby("dataset", sort=False):
        absent = [title for title in trained["title"].unique() if title not in set(own["title"])]
        if absent:
            found.append(f"{dataset} has no value for {listed(absent)}.")
    lost = trained[trained["ok"] < trained["asked"]]
    if len(lost):
        each = [
            f"{row.title} on {row.dataset} ({row.asked - row.ok} of {row.asked})" for row in lost.itertuples()
        ]
        found.append(f"Trainings diverged or failed: {listed(each)}.")
    return found


def unequal(study: Study) -> list[str]:
    """Settings outside the search that are not the same for all trained methods of a dataset."""
    trained = study.rows[study.rows["role"] != "reference"]
    found = []
    for name in (name for name in TERMS if name in trained):
        for dataset, own in trained.groupby("dataset", sort=False):
            values = own.groupby("method", sort=False)[name].agg(_distinct)
            if values.nunique() > 1:
                each = [f"{study.method_title(str(m))} {v}" for m, v in values.items()]
                found.append(f"On {dataset} the methods differ in {study.title(name)}: {listed(each)}.")
    return found


def _distinct(column: pd.Series) -> str:
    values = sorted(column.dropna().unique())
    if len(values) > 4:
        return f"{len(values)} values"
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values) or "unknown"
