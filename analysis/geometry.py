"""Compare the shape of embeddings with their scores: why do they cluster well and classify badly?

python -m analysis.geometry runs/NAME [runs/OTHER ...]
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from analysis import charts, geometry_charts, replicates
from analysis.distinct import distinct
from analysis.errors import UserError, exit_on_user_error
from analysis.sections import Section, parser, run
from analysis.statistics import determination, mean_interval, spearman_interval
from analysis.tables import Study, per_trial, settings_text
from analysis.worlds import worlds

SCORES = ("silhouette", "davies_bouldin")
SHAPE = ("effective_rank", "intrinsic_dimension", "mean_cosine")
BALANCE = ("silhouette_null", "silhouette_excess", "largest_cluster_share")
CLUSTERING = ("silhouette", "davies_bouldin", "silhouette_excess", "nmi")
PROBES = ("probe_balanced_accuracy", "knn_balanced_accuracy", "mlp_balanced_accuracy")
LOGARITHMIC = ("effective_rank", "intrinsic_dimension")
ALL = "all trained"
MINIMUM = 6  # trials that are needed for a relation


def measured(study: Study) -> pd.DataFrame:
    """Trial means of the metrics used here that were measured, with `world` and `setting`; distinct trials.

    Relations are computed within one dataset and noise level. Since noise moves rank, score and accuracy
    together, a correlation pooled over noise levels can have the opposite sign (Simpson's paradox).
    """
    wanted = dict.fromkeys((*SCORES, *SHAPE, *BALANCE, *CLUSTERING, *PROBES))
    there = [name for name in wanted if name in study.metrics and study.rows[name].notna().any()]
    table = per_trial(study, there)
    table["world"] = worlds(table)
    table["setting"] = settings_text(study, table)
    table = table[table[there].notna().any(axis=1)]
    return distinct(study, table, there).reset_index(drop=True)


def fits(table: pd.DataFrame) -> pd.DataFrame:
    """R2 of each clustering score on each measure of shape, over the trained trials of a world.

    Effective rank and intrinsic dimension enter as logarithms.
    """
    rows = []
    for world, part in _trained(table).groupby("world", sort=False):
        for score, shape in product(SCORES, SHAPE):
            if score in part and shape in part:
                x = part[shape].to_numpy(dtype=float)
                fit = determination(
                    np.log(x) if shape in LOGARITHMIC else x, part[score].to_numpy(dtype=float)
                )
                rows.append((world, score, shape, fit.estimate, fit.low, fit.high, fit.n))
    return pd.DataFrame(rows, columns=["world", "score", "shape", "r2", "low", "high", "trials"])


def correlations(table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rho of each clustering metric with each probe, over all trained trials and by method.

    A rho below 0 is the main result of the paper: better clustering with worse probes.
    """
    rows = []
    for world, part in _trained(table).groupby("world", sort=False):
        arms = {ALL: part} | dict(iter(part.groupby("method", sort=False)))
        for (name, arm), a, b in product(arms.items(), CLUSTERING, PROBES):
            if a in arm and b in arm:
                rho = spearman_interval(arm[a].to_numpy(dtype=float), arm[b].to_numpy(dtype=float))
                rows.append((world, name, a, b, rho.estimate, rho.low, rho.high, rho.n))
    columns = ["world", "method", "clustering", "probe", "spearman", "low", "high", "trials"]
    return pd.DataFrame(rows, columns=columns).dropna(subset=["spearman"])


def gaps(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """For each method and world: how far kNN and MLP are ahead of the linear probe, and Silhouette's excess.

    A replicate's value is its mean over the distinct settings; means and t intervals are over replicates.
    """
    pairs = {
        "MLP minus linear": ("mlp_balanced_accuracy", "probe_balanced_accuracy"),
        "kNN minus linear": ("knn_balanced_accuracy", "probe_balanced_accuracy"),
        "Silhouette beyond a Gaussian": ("silhouette_excess", None),
        "largest cluster": ("largest_cluster_share", None),
    }
    rows = []
    for (world, method), part in table.groupby(["world", "method"], sort=False):
        own = study.ok[study.ok["trial"].isin(part["trial"])]
        for name, (a, b) in pairs.items():
            if a in part and (b is None or b in part):
                values = replicates.values(own, a) - (replicates.values(own, b) if b else 0.0)
                metric = study.metrics[a]
                limits = metric.differences if b else (metric.low, metric.high)
                found = mean_interval(replicates.units(values).to_numpy(), within=limits)
                rows.append((world, method, name, found.estimate, found.low, found.high, found.n, len(part)))
    columns = ["world", "method", "quantity", "mean", "low", "high", "units", "trials"]
    return pd.DataFrame(rows, columns=columns)


def _trained(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["role"] != "reference"]


def section(study: Study) -> Section | None:
    """Shape, scores, Silhouette beyond a Gaussian, probes; None for fewer than six measured trials."""
    table = measured(study)
    needed = [name for name in ("silhouette", "effective_rank") if name in table]
    if len(needed) < 2 or len(_trained(table).dropna(subset=needed)) < MINIMUM:
        return None
    r2, rho, gap = fits(table), correlations(table), gaps(study, table)
    return Section(
        name="geometry",
        title="Shape and score",
        intro="Do high clustering scores mean clusters, or only embeddings that have collapsed?",
        verdicts=tuple(sentences(study, r2, rho, gap)),
        headlines=3,
        figures=geometry_charts.figures(study, table, r2, rho, gap),
        notes=(
            "A search does not sample settings at random, so these relations hold only among the settings "
            "that were tried. They are computed within one dataset and noise level, over distinct settings.",
            *charts.thinned(len(table)),
        ),
    )


def sentences(study: Study, r2: pd.DataFrame, rho: pd.DataFrame, gap: pd.DataFrame) -> list[str]:
    """What the relations say, in sentences with their intervals."""
    found = []
    several = r2["world"].nunique() > 1
    title = {name: metric.title for name, metric in study.metrics.items()}
    rank = r2[(r2["score"] == "silhouette") & (r2["shape"] == "effective_rank")].dropna()
    for _, row in rank.iterrows():
        where = f" on {row['world']}" if several else ""
        found.append(
            f"Effective rank alone explains {row['r2']:.0%} [{row['low']:.0%}, {row['high']:.0%}] of the "
            f"variance of {title['silhouette']} over {row['trials']} trained trials{where}."
        )
    main = rho[(rho["clustering"] == "silhouette") & (rho["probe"] == "probe_balanced_accuracy")]
    for _, row in main[main["method"] != ALL].iterrows():
        where = f" on {row['world']}" if several else ""
        relation = _sign(row, "opposed", "aligned", "not clearly related")
        found.append(
            f"Over the settings of {study.method_title(row['method'])}{where}, {title['silhouette']} "
            f"and {title['probe_balanced_accuracy']} are {relation}: rank correlation {row['spearman']:.2f} "
            f"[{row['low']:.2f}, {row['high']:.2f}]."
        )
    for _, row in gap[gap["quantity"] == "MLP minus linear"].dropna().iterrows():
        if row["trials"] < MINIMUM:
            continue
        where = f" on {row['world']}" if several else ""
        verdict = _sign(row, "less accurate than", "more accurate than", "not clearly different from")
        found.append(
            f"On the embeddings of {study.method_title(row['method'])}{where}, a non-linear probe is "
            f"{verdict} a linear one: {row['mean']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}] balanced "
            "accuracy."
        )
    return found


def _sign(row: Any, below: str, above: str, neither: str) -> str:
    """The word for an interval that is below zero, above zero, or contains zero."""
    return below if row["high"] < 0 else above if row["low"] > 0 else neither


def main(argv: Sequence[str] | None = None) -> None:
    def needed(study: Study) -> Section:
        found = section(study)
        if found is None:
            raise UserError(
                f"{study.folder} has fewer than {MINIMUM} trained trials with Silhouette and effective rank: "
                "run more trials"
            )
        return found

    run(parser(__doc__, "python -m analysis.geometry").parse_args(argv), needed)


if __name__ == "__main__":
    exit_on_user_error(main)
