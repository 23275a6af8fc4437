"""Choose rows by conditions: in this way a findings document says which rows a table shows."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import UserError, nearest

CLOSE = {"dissimilar_share": 1e-3}  # it is counted: 0.5 of the steps may be 0.50003
ROUNDING = 1e-6
QUIET = "quiet"  # true: at the least noise among the rows chosen so far


def selected(rows: pd.DataFrame, wheres: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows that meet any of the conditions, in their order; all rows without a condition.

    Each condition gives a value, a list of values, or a pattern such as "*-gates" for some columns; a row
    meets it if it agrees in all of them, shares to within CLOSE. `quiet = true` keeps the rows with the
    least noise. Raises UserError for a column that does not exist, and for a condition that no row meets.
    """
    if not wheres:
        return rows
    kept = pd.Series(False, index=rows.index)
    for where in wheres:
        own = meeting(rows, where)
        if not own.any():
            raise UserError(f"no row meets the condition {dict(where)}: correct it, or add the study")
        kept |= own
    return rows[kept]


def meeting(rows: pd.DataFrame, where: Mapping[str, Any]) -> "pd.Series[bool]":
    """Which rows meet one condition. Raises UserError for a column that does not exist."""
    own = pd.Series(True, index=rows.index)
    for name, wanted in where.items():
        if name == QUIET:
            continue
        if name not in rows:
            raise UserError(f"a condition names the column '{name}': {nearest(name, rows.columns)}")
        own &= _meets(rows[name], wanted if isinstance(wanted, list) else [wanted])
    if where.get(QUIET):
        own &= rows["snr_db"] == rows.loc[own, "snr_db"].max()
    return own


def _meets(column: "pd.Series[Any]", wanted: Sequence[Any]) -> "pd.Series[bool]":
    texts = [value for value in wanted if isinstance(value, str)]
    matching = [
        value
        for value in column.unique()
        if isinstance(value, str) and any(fnmatchcase(value, text) for text in texts)
    ]
    met = column.isin([*wanted, *matching])
    numbers = [value for value in wanted if isinstance(value, (int, float))]
    if numbers and pd.api.types.is_float_dtype(column):
        allowed = CLOSE.get(str(column.name), 0.0)
        for number in numbers:
            met |= np.isclose(column, number, rtol=ROUNDING, atol=allowed)
    return met
