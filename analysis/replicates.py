"""What repeats independently in a study, and how replicates are paired.

All training seeds of one split use the same subjects, so they say nothing about other subjects. Where a
setting was trained on several splits, the splits count as independent, and training seeds are averaged within
them. With a single split, the training seeds are the only repetition.
"""

import pandas as pd

SPLIT, SEED = "split_seed", "seed"


def unit_means(rows: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """One row per trial and independent unit: mean of each metric over the rows of that unit."""
    several = rows.groupby("trial")[SPLIT].transform("nunique") > 1
    unit = rows[SPLIT].where(several, rows[SEED])
    values = rows[metrics].astype(float).assign(trial=rows["trial"], unit=unit)
    return values.groupby(["trial", "unit"], sort=False, dropna=False).mean().reset_index()


def values(rows: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """The metric by (split seed, seed); null where a replicate has no result."""
    keyed = rows.assign(**{SPLIT: pd.to_numeric(rows[SPLIT]).fillna(0), metric: rows[metric].astype(float)})
    return keyed.groupby([SPLIT, SEED])[metric].mean()


def units(values: "pd.Series[float]") -> "pd.Series[float]":
    """Values by (split seed, seed) -> independent ones: means of splits, or the seeds of a single split."""
    known = values.dropna()
    if known.index.get_level_values(SPLIT).nunique() > 1:
        return known.groupby(level=SPLIT).mean()
    return known.droplevel(SPLIT)


def differences(a: "pd.Series[float]", b: "pd.Series[float]") -> "pd.Series[float]":
    """Independent differences a - b of two `values`, paired by split seed and seed."""
    return units(a - b)


def against(a: "pd.Series[float]", b: "pd.Series[float]") -> "pd.Series[float]":
    """Independent differences a - b of two `values`; what has one value in a split is the same for all seeds.

    PCA, for example, gives the same for every training seed, so a study measures it once for each split.
    """
    a, b = a.dropna(), b.dropna()
    if _once_a_split(b):
        return units(a - b.droplevel(SEED).reindex(a.index.get_level_values(SPLIT)).to_numpy())
    if _once_a_split(a):
        return units(a.droplevel(SEED).reindex(b.index.get_level_values(SPLIT)).to_numpy() - b)
    return differences(a, b)


def _once_a_split(values: "pd.Series[float]") -> bool:
    return not values.index.get_level_values(SPLIT).has_duplicates


def unit_word(rows: pd.DataFrame) -> str:
    """The word for the independent units of these rows: "split" or "seed"."""
    return "split" if rows[SPLIT].nunique() > 1 else "seed"
