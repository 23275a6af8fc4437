"""How the trainings of each method ended, and why some did not end well."""

from typing import Any

import pandas as pd

from analysis.tables import Study, varying
from analysis.words import listed

MOST_VALUES = 3  # of a setting that are listed
COARSE = {"float32", "tf32", "bf16"}  # precisions whose exponentials overflow from 89 on


def by_method(study: Study) -> pd.DataFrame:
    """Trials of each method, and its rows by status."""
    rows = study.rows
    table = pd.crosstab(rows["method"], rows["status"])
    table = table.reindex(columns=["ok", "diverged", "failed"], fill_value=0)
    table.insert(0, "trials", rows.groupby("method")["trial"].nunique())
    return table.reset_index()


def unfinished(study: Study) -> list[str]:
    """Which trainings of each method diverged or failed, and why, a sentence each."""
    rows, found = study.rows, []
    for _, row in by_method(study).iterrows():
        n = row["ok"] + row["diverged"] + row["failed"]
        name = study.method_title(row["method"])
        own = rows[rows["method"] == row["method"]]
        if row["diverged"]:
            how_many = f"All {n}" if row["diverged"] == n else f"{row['diverged']} of {n}"
            found.append(f"{how_many} trainings of {name} diverged: {divergence(study, own)}")
        if row["failed"]:
            reasons = own[own["status"] == "failed"]
            known = reasons["error"].dropna().astype(str) if "error" in own else pd.Series(dtype=str)
            most = f", most often with “{known.value_counts().index[0][:120]}”" if len(known) else ""
            found.append(f"{row['failed']} of {n} trainings of {name} failed{most}.")
    return found


def divergence(study: Study, own: pd.DataFrame) -> str:
    """Why trainings diverged: when their loss stopped being finite, and with which settings.

    own: all rows of a method. A value of a setting is named where all of its trainings diverged, and not all
        of the others; it needs two trials, since of a single one every setting would be named.
    """
    bad = own["status"] == "diverged"
    said = "the loss was not finite any more"
    if "diverged_step" in own and own.loc[bad, "diverged_step"].notna().any():
        steps = pd.to_numeric(own.loc[bad, "diverged_step"])
        first, last = int(steps.min()), int(steps.max())
        said += f" at step {first}" if first == last else f" between steps {first} and {last}"
    always = []
    for name in varying(study, own):
        shares, trials = bad.groupby(own[name]).mean(), own.groupby(name)["trial"].nunique()
        values = [_short(value) for value in shares.index[(shares == 1) & (trials > 1)]]
        if 0 < len(values) <= MOST_VALUES and (shares < 1).any():
            always.append(f"{study.title(name)} {listed(values)}")
    said = f"{said}, in every training with {listed(always)}." if always else f"{said}."
    if "precision" in own and set(own.loc[bad, "precision"]) <= COARSE:
        said += " With --precision float64, the same loss may stay finite."
    return said


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
