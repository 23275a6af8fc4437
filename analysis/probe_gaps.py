"""Do non-linear probes read what a linear one misses? Two probes of the same embeddings, on test subjects.

For the two sides of a contrast, each with its own name, and for their difference: how far kNN and MLP are
ahead of the linear probe, paired by split, with the verdicts of `analysis.contrasts`.
"""

from collections.abc import Mapping

import pandas as pd

from analysis import contrasts, replicates
from analysis.contrasts import Contrast
from analysis.selection import selected
from analysis.tables import Study

LINEAR = "test_probe_balanced_accuracy"
OTHERS = {"knn": "test_knn_balanced_accuracy", "mlp": "test_mlp_balanced_accuracy"}
Gaps = dict[str, "pd.Series[float]"]  # by dataset, by split


def judged(
    study: Study, contrast: Contrast, names: Mapping[str, str], margin: float, level: float
) -> pd.DataFrame:
    """Rows named knn-over-linear and mlp-over-linear (`contrasts.COLUMNS`).

    metric: the name of side a or b in `names`, or "difference" for a less b
    """
    rows = []
    for probe, metric in OTHERS.items():
        a, b = (_gaps(selected(study.ok, [side]), metric) for side in (contrast.a, contrast.b))
        both = [name for name in a if name in b]
        of: dict[str, Gaps] = {names["a"]: a, names["b"]: b}
        of["difference"] = {name: (a[name] - b[name]).dropna() for name in both}
        for name, gaps in of.items():
            about = {"question": "Q2", "contrast": f"{probe}-over-linear", "metric": name}
            rows += contrasts.judged(gaps, margin, level, about)
    return pd.DataFrame(rows, columns=contrasts.COLUMNS)


def _gaps(rows: pd.DataFrame, metric: str) -> Gaps:
    found = {}
    for dataset, own in rows.groupby("dataset", sort=True):
        gap = replicates.values(own, metric) - replicates.values(own, LINEAR)
        units = replicates.units(gap)
        if units.notna().any():
            found[str(dataset)] = units
    return found
