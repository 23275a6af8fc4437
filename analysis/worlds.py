"""Worlds: trials can be compared only within one dataset at one noise level, which we call a world."""

import numpy as np
import pandas as pd

LEVELS = 8  # more noise levels are treated as a range: trials are then compared within bands of it
BANDS = 3


def worlds(table: pd.DataFrame) -> pd.Series:
    """The world of each row in words: its dataset, and its noise if that differs within the table.

    More than eight noise levels, such as those of a searched range, are divided into three bands with equally
    many levels.
    """
    named = table["dataset"].astype(str)
    if table["snr_db"].nunique(dropna=False) > 1:
        named = named + ", " + _levels(pd.to_numeric(table["snr_db"]))
        if table["noise_kind"].nunique() > 1:
            named = named + " " + table["noise_kind"].fillna("").astype(str)
    return named


def _levels(snr: pd.Series) -> pd.Series:
    known = np.sort(snr.dropna().unique())
    if len(known) <= LEVELS:
        return snr.map(lambda v: "no added noise" if pd.isna(v) else f"{v:g} dB")
    bands = np.array_split(known, BANDS)
    names = {level: f"{band[0]:.3g} to {band[-1]:.3g} dB" for band in bands for level in band}
    return snr.map(lambda v: "no added noise" if pd.isna(v) else names[v])


def main_worlds(table: pd.DataFrame) -> list[str]:
    """The worlds that sentences are about: for each dataset, the one with the least noise."""
    quiet = table.assign(snr=table["snr_db"].astype(float).fillna(np.inf))
    best = quiet.groupby("dataset", sort=False)["snr"].transform("max") == quiet["snr"]
    return [str(world) for world in quiet.loc[best, "world"].drop_duplicates()]
