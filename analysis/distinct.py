"""Each setting and each training once: repeated points would count one observation twice in a correlation."""

from collections.abc import Sequence

import pandas as pd

from analysis.tables import Study, as_given


def distinct(study: Study, table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """The trials of `tables.per_trial` without repetitions; the first of each stays.

    Two trials of one method and data set repeat each other where all settings are equal, which studies
    read as one may both hold, or where all metrics are: thresholds below every cosine train the same encoder.
    """
    given = as_given(table)
    same = given.duplicated(["dataset", "method", *study.setting_columns])
    measured = table.groupby(["dataset", "method"]).ngroup().to_frame("arm").join(table[list(metrics)])
    return table[~same & ~measured.duplicated()]
