"""Those tables of a findings document that compare settings, label shares, or the best of two methods."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import pandas as pd

from analysis import replicates, semi
from analysis.markdown import bounds, markdown
from analysis.selection import selected
from analysis.statistics import holm, mean_interval, mean_p
from analysis.tables import Study, settings_text

Options = Mapping[str, Any]
POOLED = "all data sets"


def differences(study: Study, options: Options) -> str:
    """Differences between two values of a column, paired by replicate, for each data set and over all.

    Over all data sets, it is the mean of their differences with a t interval; each data set counts once.
    """
    column, rows = options["column"], []
    for metric, pair in product(options["metrics"], options["pairs"]):
        for dataset, part in study.ok.groupby("dataset"):
            a, b = (replicates.values(part[part[column] == value], metric) for value in pair)
            gap = replicates.differences(a, b).to_numpy(dtype=float)
            found = mean_interval(gap, within=study.metric(metric).differences)
            rows.append((metric, dataset, " minus ".join(pair), found.estimate, found.low, found.high))
        means = [row[3] for row in rows[-study.ok["dataset"].nunique() :]]
        found = mean_interval(means, within=study.metric(metric).differences)
        rows.append((metric, POOLED, " minus ".join(pair), found.estimate, found.low, found.high))
    table = pd.DataFrame(rows, columns=["metric", "dataset", "pair", "mean", "low", "high"])
    table["difference"] = bounds(table, "mean", "low", "high", sign="+")
    wide = table.pivot(index=["metric", "dataset"], columns="pair", values="difference").reset_index()
    wide = wide.sort_values(["metric", "dataset"], key=lambda c: c.map(lambda v: (v == POOLED, v)))
    return markdown(wide[["metric", "dataset", *(" minus ".join(pair) for pair in options["pairs"])]])


def gains(study: Study, options: Options) -> str:
    """Each label share minus the same method without labels, paired by replicate; p is corrected (Holm)."""
    table = semi.differences(study, [study.metric(name) for name in options["metrics"]])
    table = table[table["plain"]].assign(change=bounds(table, "difference", "low", "high", sign="+"))
    table = table[~table["p_holm"].isna()]
    keys = ["dataset", "label_share", "supervised_weight"]
    wide = table.pivot(index=keys, columns="metric", values=["change", "p_holm"])
    wide.columns = [f"{metric}{', p' if name == 'p_holm' else ''}" for name, metric in wide.columns]
    columns = [f"{metric}{end}" for metric in options["metrics"] for end in ("", ", p")]
    return markdown(wide[columns].reset_index())


def gain_sentences(study: Study, options: Options) -> str:
    """For each data set, the best label share and weight, compared with each end (see analysis.semi)."""
    x, y = (study.metric(name) for name in options["metrics"])
    lines = []
    for dataset, rows in study.rows.groupby("dataset", sort=True):
        part = study.with_rows(rows)
        found = semi.sentences(part, semi.differences(part, (x, y)), x, y)
        lines += [f"- {dataset}: {sentence}" for sentence in found]
    return "\n".join(lines)


def best(study: Study, options: Options) -> str:
    """The best settings of two selections: chosen on validation, compared on test subjects where possible.

    On validation, the best of several settings looks better than it is.
    """
    rows = []
    sides = {name: study.with_rows(selected(study.rows, [where])) for name, where in options["sides"].items()}
    first, second = sides
    for metric, dataset in product(options["metrics"], sorted(study.rows["dataset"].unique())):
        parts = {name: side.ok[side.ok["dataset"] == dataset] for name, side in sides.items()}
        if any(part.empty for part in parts.values()):
            continue
        tested = all(part[f"test_{metric}"].notna().any() for part in parts.values())
        reported = f"test_{metric}" if tested else metric
        values = {}
        for name, part in parts.items():
            chosen = part.groupby("trial")[metric].mean().idxmax()
            values[name] = replicates.values(part[part["trial"] == chosen], reported)
        gap = replicates.differences(values[first], values[second]).to_numpy(dtype=float)
        found = mean_interval(gap, within=study.metric(metric).differences)
        row = {"dataset": dataset, "chosen by": metric, "reported": reported}
        row |= {name: float(value.mean()) for name, value in values.items()}
        row |= {"estimate": found.estimate, "low": found.low, "high": found.high, "p (Holm)": mean_p(gap)}
        rows.append(row)
    table = pd.DataFrame(rows)
    for _, family in table.groupby("chosen by"):
        table.loc[family.index, "p (Holm)"] = holm(family["p (Holm)"].to_numpy(dtype=float))
    table[f"{first} minus {second}"] = bounds(table, "estimate", "low", "high", sign="+")
    return markdown(table.drop(columns=["estimate", "low", "high"]))


def largest(study: Study, options: Options) -> str:
    """For each data set, the setting in which one metric is furthest above another, also on test subjects.

    On validation subjects the largest of many differences is partly luck; on test subjects nothing is chosen.
    """
    above, below = options["metrics"]
    rows = []
    for dataset, part in study.ok.groupby("dataset"):
        gaps = (part[above] - part[below]).groupby(part["trial"]).mean()
        own = part[part["trial"] == gaps.idxmax()]
        row = {"dataset": dataset, "setting": settings_text(study, own.head(1), options["setting"]).iloc[0]}
        for name, prefix in (("validation", ""), ("test", "test_")):
            gap = replicates.differences(*(replicates.values(own, prefix + m) for m in (above, below)))
            found = mean_interval(gap.to_numpy(dtype=float), within=study.metric(above).differences)
            row |= {name: found.estimate, "low": found.low, "high": found.high}
            row[name] = bounds(pd.DataFrame([row]), name, "low", "high", sign="+").iloc[0]
        rows.append({key: row[key] for key in ("dataset", "setting", "validation", "test")})
    return markdown(pd.DataFrame(rows))
