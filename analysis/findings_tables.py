"""The tables of a findings document: each turns the rows that its block selects into Markdown.

tables.toml, in the folder of the studies, says which rows a block shows; nothing here names a study.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from analysis import contrasts, geometry, robustness
from analysis.arms import arms
from analysis.arms import markdown as arms_markdown
from analysis.findings_pairs import best, differences, gain_sentences, gains, largest
from analysis.grids import Grid, grids
from analysis.markdown import bounds, markdown
from analysis.tables import Study

Options = Mapping[str, Any]


def counts(study: Study, options: Options) -> str:
    """The number of rows of each data set, by method and by how they ended; references count together."""
    rows = study.rows
    methods = rows["method"].map(study.method_title).where(rows["role"] != "reference", "references")
    order = [*(method.title for method in study.methods.values()), "references"]
    table = pd.crosstab(rows["dataset"], methods)
    table = table[[name for name in dict.fromkeys(order) if name in table]]
    table["rows"] = table.sum(axis=1)
    for status in ("ok", "diverged", "failed"):
        table[status] = (rows["status"] == status).groupby(rows["dataset"]).sum()
    table.loc["all"] = table.sum()
    return markdown(table.reset_index(), digits=0)


def revisions(study: Study, options: Options) -> str:
    """For each revision of the code, how many rows of which studies it trained, and whether it was clean."""
    rows = study.rows.assign(kind=study.rows["study"].str.rsplit("-", n=1).str[-1])
    table = rows.groupby("git_revision").agg(
        rows=("trial", "size"), studies=("kind", lambda kinds: ", ".join(dict.fromkeys(kinds)))
    )
    table = table.reset_index()
    dirty = table["git_revision"].str.endswith("+")
    table.insert(1, "tree", dirty.map({True: "uncommitted changes", False: "clean"}))
    table["git_revision"] = table["git_revision"].str[:7] + dirty.map({True: "+", False: ""})
    return markdown(table, digits=0)


def setting_arms(study: Study, options: Options) -> str:
    """The setting of every trial with its means and intervals, in a table for each data set."""
    metrics = options["metrics"]
    table = arms(study, metrics)
    return "\n\n".join(
        f"**{dataset}**\n\n{arms_markdown(rows, metrics)}"
        for dataset, rows in table.groupby("dataset", sort=True)
    )


def verdicts(study: Study, options: Options) -> str:
    """Verdict on each metric by data set, for thresholds given as cosine and as share."""
    found = _grids(study)
    metrics = [study.metric(name) for name in options["metrics"]]
    judged = pd.concat([robustness.verdicts(found, m, robustness.margin_of(m)) for m in metrics])
    judged = judged.sort_values(["metric", "given", "dataset"], kind="stable")
    judged["range over thresholds"] = bounds(judged, "range", "range_low", "range_high")
    judged["slope"] = bounds(judged, "slope", "slope_low", "slope_high")
    judged["units_needed"] = [_needed(row) for row in judged.itertuples()]
    names = ["dataset", "given", "metric", "verdict", "range over thresholds", "margin"]
    names += ["p_robust", "p_sensitive", "slope", "units", "units_needed"]
    unit = judged["unit"].iloc[0]
    return markdown(judged[names].rename(columns={"units": f"{unit}s", "units_needed": f"{unit}s needed"}))


def _needed(row: Any) -> str:
    if row.verdict != "undecided":
        return "–"
    return f"> {robustness.LIMIT}" if pd.isna(row.units_needed) else f"{row.units_needed:.0f}"


def relations(study: Study, options: Options) -> str:
    """Spearman's rho of each metric with threshold and SNR, each within levels of the other; interaction."""
    found = _grids(study)
    metrics = [study.metric(name) for name in options["metrics"]]
    table = pd.concat([robustness.rank_correlations(found, m) for m in metrics])
    table["rho"] = bounds(table, "estimate", "low", "high")
    wide = table.pivot(index=["dataset", "given", "metric"], columns="relation", values="rho").reset_index()
    return markdown(wide.sort_values(["metric", "given", "dataset"]))


def activity(study: Study, options: Options) -> str:
    """The share of steps that each threshold calls dissimilar at each noise level, and the labels' AUROC."""
    parts = []
    for grid in _grids(study):
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


def one_curve(study: Study, options: Options) -> str:
    """R2 of one curve for all noise levels, over the cosine and over the share, from both grids together."""
    found = _grids(study)
    metrics = [study.metric(name) for name in options["metrics"]]
    table = pd.concat([robustness.common_curve(found, m) for m in metrics])
    table["r2"] = bounds(table, "r2", "low", "high")
    wide = table.pivot(index=["dataset", "metric"], columns="over", values="r2").reset_index()
    names = {"threshold": "over the cosine", "dissimilar_share": "over the share"}
    wide = wide.rename(columns=names).sort_values(["metric", "dataset"])
    return markdown(wide[["dataset", "metric", *names.values(), "share minus cosine"]])


def shapes(study: Study, options: Options) -> str:
    """How much of the clustering scores the shape explains, within each noise level."""
    table = geometry.fits(geometry.measured(study))
    table["r2"] = bounds(table, "r2", "low", "high")
    wide = table.pivot(index=["world", "score", "trials"], columns="shape", values="r2").reset_index()
    return markdown(wide.rename(columns={"world": "dataset"}))


def correlations(study: Study, options: Options) -> str:
    """Spearman's rho of clustering scores and probes over the distinct trained settings of a noise level."""
    table = geometry.correlations(geometry.measured(study))
    table = table[table["method"] == geometry.ALL].assign(rho=bounds(table, "spearman", "low", "high"))
    wide = table.pivot(index=["world", "clustering", "trials"], columns="probe", values="rho").reset_index()
    return markdown(wide.rename(columns={"world": "dataset"}))


def probes(study: Study, options: Options) -> str:
    """How far other probes are ahead of the linear one, and the Silhouette beyond a Gaussian."""
    table = geometry.gaps(study, geometry.measured(study))
    table["mean"] = bounds(table, "mean", "low", "high")
    wide = table.pivot(index=["world", "method"], columns="quantity", values="mean").reset_index()
    return markdown(wide.rename(columns={"world": "dataset"}))


def _grids(study: Study) -> list[Grid]:
    return sorted(grids(study), key=lambda grid: (grid.dataset, grid.given))


def planned(study: Study, options: Options) -> str:
    """Every contrast of one question of plan.toml, which lies beside the studies."""
    plan = contrasts.read(study.folder.parent / "plan.toml")
    own = tuple(contrast for contrast in plan.contrasts if contrast.question == options["question"])
    part = dataclasses.replace(plan, contrasts=own)
    return contrasts.text(contrasts.table(study, part), part)


TABLES: dict[str, Callable[[Study, Options], str]] = {
    "counts": counts,
    "contrasts": planned,
    "revisions": revisions,
    "arms": setting_arms,
    "differences": differences,
    "verdicts": verdicts,
    "relations": relations,
    "activity": activity,
    "one-curve": one_curve,
    "shapes": shapes,
    "correlations": correlations,
    "probes": probes,
    "gains": gains,
    "gain-sentences": gain_sentences,
    "best": best,
    "largest": largest,
}
