"""Count each setting and each training once: repeated points would count twice in a correlation."""

from collections.abc import Sequence

import pandas as pd

from analysis.tables import Study, as_given


def distinct(study: Study, table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """The trials of `tables.per_trial` without repetitions; the first of each stays.

    Two trials of one method and dataset repeat each other if all their settings are equal, as may happen
    when several studies are read as one. They also do if all their metrics are equal: for example, all
    thresholds below every cosine train the same encoder.
    """
    given = as_given(table)
    same = given.duplicated(["dataset", "method", *study.setting_columns])
    measured = table.groupby(["dataset", "method"]).ngroup().to_frame("arm").join(table[list(metrics)])
    return table[~same & ~measured.duplicated()]
