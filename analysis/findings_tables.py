"""The tables of a findings document: each is a function of all its studies, read as one, to Markdown."""

from collections.abc import Callable
from itertools import product

import pandas as pd

from analysis import geometry, robustness, semi
from analysis.arms import arms
from analysis.arms import markdown as arms_markdown
from analysis.grids import Grid, grids
from analysis.statistics import holm, mean_p, paired_difference
from analysis.tables import Study

GOALS = ("probe_balanced_accuracy", "silhouette")
SHOWN = (
    "silhouette",
    "silhouette_excess",
    "largest_cluster_share",
    "effective_rank",
    "probe_balanced_accuracy",
    "knn_balanced_accuracy",
    "mlp_balanced_accuracy",
)


def counts(study: Study) -> str:
    """How many rows of which set came to what."""
    rows = study.rows
    rows = rows.assign(family=rows["role"].map({"searched": "eMargin", "reference": "reference"}))
    rows.loc[rows["method"].str.startswith("infonce"), "family"] = "InfoNCE"
    table = rows.pivot_table(index="dataset", columns="family", values="trial", aggfunc="size", fill_value=0)
    table["rows"] = table.sum(axis=1)
    for status in ("ok", "diverged", "failed"):
        table[status] = (rows["status"] == status).groupby(rows["dataset"]).sum()
    table.loc["all"] = table.sum()
    return markdown(table.reset_index(), digits=0)


def gate_arms(study: Study) -> str:
    """Every gate arm, InfoNCE at the same temperature and the references, at the lowest noise."""
    quiet = study.rows["snr_db"] == study.rows["snr_db"].max()
    own = study.rows["trial"].str.contains("-gates/emargin")
    beside = study.rows["trial"].str.contains("-threshold/") & (study.rows["method"] != "emargin")
    part = _with(study, study.rows[quiet & (own | beside)])
    table = arms([part], SHOWN)
    table["arm"] = table["method"].where(table["gate"].isna(), "emargin, " + table["gate"].fillna(""))
    return "\n\n".join(
        f"**{dataset}**\n\n{arms_markdown(rows, SHOWN)}"
        for dataset, rows in table.groupby("dataset", sort=False)
    )


def gate_differences(study: Study) -> str:
    """What a gate's labels add to its share: three pairs of arms, paired by seed, at the lowest noise."""
    pairs = {
        "intended minus random": ("intended", "random"),
        "oracle minus all-similar": ("oracle", "all-similar"),
        "released minus all-dissimilar": ("released", "all-dissimilar"),
    }
    rows = []
    own = study.rows[study.rows["trial"].str.contains("-gates/emargin")]
    for (dataset, part), metric, (name, gates) in product(own.groupby("dataset"), GOALS, pairs.items()):
        a, b = (part[part["gate"] == gate].set_index("seed")[metric].sort_index() for gate in gates)
        gap = paired_difference(a.to_numpy(float), b.to_numpy(float))
        text = f"{gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
        rows.append({"dataset": dataset, "metric": metric, "pair": name, "difference": text})
    table = pd.DataFrame(rows).pivot(index=["metric", "dataset"], columns="pair", values="difference")
    return markdown(table[list(pairs)].reset_index())


def threshold_verdicts(study: Study) -> str:
    """Verdict on each goal by set, for thresholds given as cosine and as share."""
    found = intended(study)
    judged = pd.concat(
        [robustness.verdicts(found, study.metric(m), robustness.margin_of(study.metric(m))) for m in GOALS]
    )
    judged = judged.sort_values(["metric", "given", "dataset"], kind="stable")
    judged["range over thresholds"] = _bounds(judged, "range", "range_low", "range_high")
    judged["slope"] = _bounds(judged, "slope", "slope_low", "slope_high")
    names = [
        "dataset",
        "given",
        "metric",
        "verdict",
        "range over thresholds",
        "margin",
        "p_robust",
        "p_sensitive",
    ]
    return markdown(judged[[*names, "slope", "seeds", "seeds_needed"]])


def rank_relations(study: Study) -> str:
    """Spearman's rho of accuracy with SNR and threshold, and their interaction."""
    table = pd.concat([robustness.rank_correlations(intended(study), study.metric(m)) for m in GOALS])
    table["rho"] = _bounds(table, "estimate", "low", "high")
    keys = ["dataset", "given", "metric"]
    wide = table.pivot(index=keys, columns="relation", values="rho").reset_index()
    return markdown(wide.sort_values(["metric", "given", "dataset"]))


def gate_activity(study: Study) -> str:
    """Share of steps called dissimilar by each cosine and noise level, and the labels' AUROC."""
    parts = []
    for grid in intended(study):
        if grid.given != "threshold":
            continue
        rows = grid.rows
        shares = rows.pivot_table(index="snr", columns="at", values="activity")
        shares.columns = [f"{at:g}" for at in shares.columns]
        shares.insert(0, "AUROC", rows.groupby("snr")["pseudo_label_auroc"].mean())
        parts.append(shares.reset_index().assign(dataset=grid.dataset))
    table = pd.concat(parts, ignore_index=True)
    table["snr"] = table["snr"].map("{:g} dB".format)
    return markdown(table[["dataset", *(name for name in table.columns if name != "dataset")]])


def one_curve(study: Study) -> str:
    """R2 of one curve for all noise levels, over the cosine and over the share."""
    table = pd.concat([robustness.common_curve(intended(study), study.metric(m)) for m in GOALS])
    table["r2"] = _bounds(table, "r2", "low", "high")
    wide = table.pivot(index=["dataset", "given", "metric"], columns="over", values="r2").reset_index()
    names = {"threshold": "over the cosine", "dissimilar_share": "over the share"}
    return markdown(wide.rename(columns=names).sort_values(["metric", "given", "dataset"]))


def shape_fits(study: Study) -> str:
    """How much of the clustering scores the shape accounts for."""
    table = geometry.fits(geometry.measured(study))
    table["r2"] = _bounds(table, "r2", "low", "high")
    wide = table.pivot(index=["world", "score", "trials"], columns="shape", values="r2").reset_index()
    return markdown(wide.rename(columns={"world": "dataset"}))


def score_correlations(study: Study) -> str:
    """Spearman between clustering scores and probes over all trained trials."""
    table = geometry.correlations(geometry.measured(study))
    table = table[table["method"] == geometry.ALL].assign(rho=_bounds(table, "spearman", "low", "high"))
    wide = table.pivot(index=["world", "clustering", "trials"], columns="probe", values="rho").reset_index()
    return markdown(wide.rename(columns={"world": "dataset"}))


def probe_gaps(study: Study) -> str:
    """What other probes read beyond the linear one, and what is left of Silhouette after calibration."""
    table = geometry.gaps(geometry.measured(study))
    table = table[table["method"].isin(["emargin", "infonce", "random", "raw"])]
    table["mean"] = _bounds(table, "mean", "low", "high")
    wide = table.pivot(index=["world", "method"], columns="quantity", values="mean").reset_index()
    return markdown(wide.rename(columns={"world": "dataset"}))


def labels_gain(study: Study) -> str:
    """Each label share and weight minus eMargin without labels, paired by seed."""
    x, y = (study.metric(name) for name in reversed(GOALS))
    table = semi.differences(_with_labels(study), (x, y))
    table = table[table["end"] == semi.PLAIN].assign(change=_bounds(table, "difference", "low", "high"))
    table = table[~table["p_holm"].isna()]
    keys = ["dataset", "label_share", "supervised_weight"]
    wide = table.pivot(index=keys, columns="metric", values=["change", "p_holm"])
    wide.columns = [f"{metric}{', p' if kind == 'p_holm' else ''}" for kind, metric in wide.columns]
    return markdown(wide.reset_index())


def labels_ends(study: Study) -> str:
    """The best label share and weight against each end, by set."""
    x, y = (study.metric(name) for name in reversed(GOALS))
    lines = []
    own = _with_labels(study).rows
    for dataset, rows in own.groupby("dataset", sort=False):
        part = _with(study, rows)
        found = semi.sentences(semi.differences(part, (x, y)), x, y)
        lines += [f"- {dataset}: {sentence}" for sentence in found]
    return "\n".join(lines)


def equal_budgets(study: Study) -> str:
    """Best of six thresholds against best of six temperatures at 30 dB; chosen on validation.

    The sets with a test side are compared there: choosing the best of six flatters both on validation.
    """
    rows = []
    quiet = study.rows[study.rows["snr_db"] == study.rows["snr_db"].max()]
    for dataset, part in quiet.groupby("dataset", sort=False):
        sides = {
            "emargin": part[part["trial"].str.contains("-threshold/emargin-")],
            "infonce": part[part["trial"].str.contains("-infonce/infonce-")],
        }
        if any(side.empty for side in sides.values()):
            continue
        for metric in GOALS:
            best = {name: side.groupby("trial")[metric].mean().idxmax() for name, side in sides.items()}
            reported = f"test_{metric}" if part[f"test_{metric}"].notna().any() else metric
            a, b = (
                side[side["trial"] == best[name]].set_index("seed")[reported] for name, side in sides.items()
            )
            seeds = a.index.intersection(b.index)
            gap = paired_difference(a.loc[seeds].to_numpy(float), b.loc[seeds].to_numpy(float))
            row = {"dataset": dataset, "chosen by": metric, "reported": reported}
            row |= {"emargin": a.mean(), "infonce": b.mean(), "estimate": gap.estimate, "low": gap.low}
            row |= {"high": gap.high, "p": float(mean_p((a.loc[seeds] - b.loc[seeds]).to_numpy(float)))}
            rows.append(row)
    table = pd.DataFrame(rows).sort_values("chosen by", kind="stable")
    for _, family in table.groupby("chosen by"):
        table.loc[family.index, "p"] = holm(family["p"].to_numpy())
    table["emargin minus infonce"] = _bounds(table, "estimate", "low", "high")
    return markdown(table.drop(columns=["estimate", "low", "high"]).rename(columns={"p": "p (Holm)"}))


BLOCKS: dict[str, Callable[[Study], str]] = {
    "counts": counts,
    "gate-arms": gate_arms,
    "gate-differences": gate_differences,
    "threshold-verdicts": threshold_verdicts,
    "rank-relations": rank_relations,
    "gate-activity": gate_activity,
    "one-curve": one_curve,
    "shape-fits": shape_fits,
    "score-correlations": score_correlations,
    "probe-gaps": probe_gaps,
    "labels-gain": labels_gain,
    "labels-ends": labels_ends,
    "equal-budgets": equal_budgets,
}


def markdown(table: pd.DataFrame, digits: int = 3) -> str:
    """A Markdown table; numbers with so many significant digits (0: whole numbers), – for null."""

    def cell(value: object) -> str:
        if isinstance(value, float):
            return "–" if pd.isna(value) else f"{value:.0f}" if digits == 0 else f"{value:.{digits}g}"
        return "–" if value is None else str(value)

    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    lines = [" | ".join(map(str, table.columns)), " | ".join("---:" if n else "---" for n in numeric)]
    lines += [" | ".join(map(cell, row)) for row in table.itertuples(index=False)]
    return "\n".join(f"| {line} |" for line in lines)


def _bounds(table: pd.DataFrame, mean: str, low: str, high: str) -> "pd.Series[str]":
    """Three columns as text: 0.52 [0.41, 0.63]."""
    texts = [
        "–" if pd.isna(m) else f"{m:.3f}" if pd.isna(a) else f"{m:.3f} [{a:.3f}, {b:.3f}]"
        for m, a, b in zip(table[mean], table[low], table[high], strict=True)
    ]
    return pd.Series(texts, index=table.index)


def _with(study: Study, rows: pd.DataFrame) -> Study:
    return Study(study.folder, study.name, rows, study.metrics, study.settings, study.manifest, study.absent)


def _with_labels(study: Study) -> Study:
    """Without the semi-supervised trials that only stand beside the other methods."""
    beside = (study.rows["method"] == semi.SEMI) & ~study.rows["trial"].str.contains("-semi/")
    return _with(study, study.rows[~beside])


def intended(study: Study) -> list[Grid]:
    """The threshold and share grids with the intended gate."""
    return [grid for grid in grids(study) if grid.gate == "intended" and grid.method == "emargin"]
