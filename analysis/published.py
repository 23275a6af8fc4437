"""Figures that others published, to be read beside ours: other data, splits and probes, never mixed in.

published.json holds them as facts, each with its source and protocol.
"""

import json
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd

COLUMNS = ["method", "data", "dataset", "metric", "column", "value", "sd", "protocol", "source", "first_hand"]


@cache
def published() -> pd.DataFrame:
    """Every figure, one row each.

    method, data, metric: as the source calls them; value and sd in our units
    dataset, column: our names of the data and of the metric that comes nearest; null where there is none
    first_hand: whether it comes from the authors' own files
    """
    read = json.loads(files("analysis").joinpath("published.json").read_text(encoding="utf-8"))
    rows = []
    for group in read["groups"]:
        for method, data, metric, value, sd in group["rows"]:
            column, scale = read["metrics"].get(metric, (None, 1.0))
            rows.append(
                {"method": method, "data": data, "dataset": read["datasets"].get(data), "metric": metric}
                | {"column": column, "value": value * scale, "sd": np.nan if sd is None else sd * scale}
                | {name: group[name] for name in ("protocol", "source", "first_hand")}
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def beside(ours: pd.DataFrame) -> pd.DataFrame:
    """The published figures of our datasets and metrics, and our value of the same method, if there is one.

    ours: columns `dataset`, `method` (title), `metric`, `value`, `low`, `high`, `side`, as in
        `methods.table`; metrics are compared by the name without `test_`
    """
    theirs = published().rename(columns={"value": "published", "sd": "published sd"})
    theirs = theirs[theirs["dataset"].isin(ours["dataset"]) & theirs["column"].isin(ours["metric"])]
    own = ours.assign(key=ours["method"].str.lower())[
        ["dataset", "key", "metric", "value", "low", "high", "side"]
    ]
    own = own.rename(columns={"metric": "column", "value": "ours", "low": "ours_low", "high": "ours_high"})
    made = theirs.assign(key=theirs["method"].str.lower()).merge(
        own, on=["dataset", "key", "column"], how="left"
    )
    names = [
        "data",
        "method",
        "metric",
        "published",
        "published sd",
        "ours",
        "ours_low",
        "ours_high",
        "column",
    ]
    return made[[*names, "side", "protocol", "source", "first_hand"]]
