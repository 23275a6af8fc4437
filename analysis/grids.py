"""The grids of a study: thresholds combined with noise levels, at otherwise equal settings."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.replicates import SEED, SPLIT
from analysis.tables import GIVEN, SHARE_DIGITS, Study, settings_text

MINIMUM = 3  # values of the threshold that a grid needs
# Settings that vary within a grid, or that distinguish grids.
VARIED = (*GIVEN, "snr_db", "noise_kind", "gate")
FIXED_GATES = {"all-similar": 0.0, "all-dissimilar": 1.0}


@dataclass(frozen=True)
class Grid:
    """Rows that differ only in threshold, noise level and replicate.

    given: the column that was set, as the study says: "threshold" (a cosine) or "dissimilar_share"
    rest: the settings that the rows share, in words
    rows: the rows, including failed ones, with these columns added:
        at: the value of `given`
        snr: in dB, inf without added noise
        unit: what repeats independently: the split seed where there are several, else the training seed
        activity: share of steps that the gate calls dissimilar, null where unknown
    """

    dataset: str
    method: str
    gate: str
    given: str
    rest: str
    rows: pd.DataFrame

    @property
    def at(self) -> np.ndarray:
        """(thresholds,) the values of `given`, sorted."""
        return np.sort(self.rows["at"].unique())

    @property
    def snrs(self) -> np.ndarray:
        """(noise levels,) in dB, the noisiest first."""
        return np.sort(self.rows["snr"].unique())

    def curves(self, metric: str) -> list[np.ndarray]:
        """For each noise level (thresholds, units): the metric, nan where there is none."""
        units = np.sort(self.rows["unit"].unique())
        found = []
        for snr in self.snrs:
            part = self.rows[self.rows["snr"] == snr]
            cells = part.pivot_table(index="at", columns="unit", values=metric, aggfunc="mean", dropna=False)
            found.append(cells.reindex(index=self.at, columns=units).to_numpy(dtype=float))
        return found

    def activity(self) -> list[np.ndarray]:
        """For each noise level (thresholds,): share of steps that the gate calls dissimilar."""
        parts = (self.rows[self.rows["snr"] == snr] for snr in self.snrs)
        return [
            part.groupby("at")["activity"].mean().reindex(self.at).to_numpy(dtype=float) for part in parts
        ]


def grids(study: Study) -> list[Grid]:
    """Every grid of at least three thresholds in the study, in the order of its rows."""
    return list(_grids(study))


def _grids(study: Study) -> Iterator[Grid]:
    gated = study.rows[study.rows["gate_given_as"].isin(GIVEN)].copy()
    if gated.empty:
        return
    gated["given"] = gated["gate_given_as"]
    shared = [name for name in study.setting_columns if name not in VARIED]
    trials = gated.drop_duplicates("trial")
    texts = settings_text(study, trials, shared)
    gated["rest"] = gated["trial"].map(dict(zip(trials["trial"], texts, strict=True)))
    gated["gate"] = gated["gate"].fillna("intended")
    gated["snr"] = gated["snr_db"].astype(float).fillna(np.inf)
    gated["activity"] = _activity(gated)
    # Shares are computed from frames, so equal ones may differ in their last digits.
    gated["at"] = gated["threshold"].where(gated["given"] == "threshold", gated["dissimilar_share"])
    gated["at"] = gated["at"].astype(float).round(SHARE_DIGITS)
    same = gated.groupby(["dataset", "method", "gate", "given", "rest"], sort=False)
    gated = gated[same["at"].transform("nunique") >= MINIMUM]
    for keys, part in gated.groupby(["dataset", "method", "gate", "given", "rest"], sort=False):
        dataset, method, gate, given, rest = keys
        yield Grid(dataset, method, gate, given, rest, part.assign(unit=_unit(part)))


def _activity(rows: pd.DataFrame) -> pd.Series:
    """Share of steps that each row's gate calls dissimilar: as recorded, unless it ignores the threshold."""
    share = rows["dissimilar_share"].astype(float)
    share = share.where(~rows["gate"].isin(FIXED_GATES), rows["gate"].map(FIXED_GATES))
    ignores = (rows["gate"] == "released") & (rows["threshold"] >= 0)  # there, all labels are 1
    return share.mask(ignores, 1.0).mask(rows["gate"] == "oracle", np.nan)


def _unit(rows: pd.DataFrame) -> pd.Series:
    """What repeats independently: the split seed where there are several, else the training's seed."""
    return rows[SPLIT] if rows[SPLIT].nunique() > 1 else rows[SEED]
