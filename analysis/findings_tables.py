"""The tables of a findings document: each turns the rows that its block selects into Markdown.

tables.toml, in the folder of the studies, says which rows a block shows; nothing here names a study.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import contrasts, geometry, methods, power, robustness, thresholds, transplant
from analysis.arms import arms
from analysis.arms import markdown as arms_markdown
from analysis.evidence import PLANNED, Evidence
from analysis.grids import Grid, grids
from analysis.markdown import bounds, markdown
from analysis.statistics import mean_interval
from analysis.tables import SHARE_DIGITS, Study
from analysis.words import listed

Options = Mapping[str, Any]
NO_ROWS = "No study of this part has ended yet."


def counts(study: Study, options: Options) -> str:
    """The number of rows of each dataset, by part of the plan and by how they ended."""
    rows = study.rows
    table = pd.crosstab(rows["dataset"], _part(rows))
    table["rows"] = table.sum(axis=1)
    for status in ("ok", "diverged", "failed"):
        table[status] = (rows["status"] == status).groupby(rows["dataset"]).sum()
    table.loc["all"] = table.sum()
    return markdown(table.reset_index(), digits=0)


def revisions(study: Study, options: Options) -> str:
    """For each revision of the code, how many rows of which parts it trained, when, and from which tree."""
    rows = study.rows.assign(part=_part(study.rows), began=pd.to_datetime(study.rows["started_at"], utc=True))
    table = rows.groupby("git_revision").agg(
        rows=("trial", "size"), parts=("part", lambda names: ", ".join(dict.fromkeys(names))),
        first=("began", "min"), last=("began", "max"),
    )  # fmt: skip
    table = table.reset_index()
    dirty = table["git_revision"].str.endswith("+")
    table.insert(1, "tree", dirty.map({True: "uncommitted changes", False: "clean"}))
    table["git_revision"] = table["git_revision"].str[:7] + dirty.map({True: "+", False: ""})
    for name in ("first", "last"):
        table[name] = table[name].dt.strftime("%Y-%m-%d %H:%M")
    return markdown(table, digits=0)


def _part(rows: pd.DataFrame) -> "pd.Series[str]":
    """The part of the plan that a row belongs to: the first word of its study's name."""
    return rows["study"].str.partition("-")[0]


def setting_arms(study: Study, options: Options) -> str:
    """The setting of every trial with its means and intervals, in a table for each dataset."""
    metrics = options["metrics"]
    table = arms(study, metrics)
    return "\n\n".join(
        f"**{dataset}**\n\n{arms_markdown(rows, metrics)}"
        for dataset, rows in table.groupby("dataset", sort=True)
    )


def verdicts(study: Study, options: Options) -> str:
    """Verdict on each metric by dataset, for thresholds given as cosine and as share."""
    found = _grids(study)
    if not found:
        return NO_ROWS
    metrics = [study.metric(name) for name in options["metrics"]]
    judged = pd.concat([robustness.verdicts(found, m, robustness.margin_of(m)) for m in metrics])
    judged = judged.sort_values(["metric", "given", "dataset"], kind="stable")
    judged["range over thresholds"] = bounds(judged, "range", "range_low", "range_high")
    judged["units_needed"] = [_needed(row) for row in judged.itertuples()]
    names = ["dataset", "given", "metric", "verdict", "range over thresholds", "margin"]
    names += ["p_robust", "p_sensitive", "units", "units_needed"]
    unit = judged["unit"].iloc[0]
    return markdown(judged[names].rename(columns={"units": f"{unit}s", "units_needed": f"{unit}s needed"}))


def _needed(row: Any) -> str:
    if row.verdict != "undecided":
        return "–"
    return f"> {robustness.LIMIT}" if pd.isna(row.units_needed) else f"{row.units_needed:.0f}"


def activity(study: Study, options: Options) -> str:
    """The share of steps that each threshold calls dissimilar, by dataset and noise level; labels' AUROC."""
    rows = study.ok[study.ok["gate_given_as"] == "threshold"]
    if rows.empty:
        return NO_ROWS
    snr = rows["snr_db"].map(lambda db: "no added noise" if pd.isna(db) else f"{db:g} dB")
    rows = rows.assign(noise=snr, at=rows["threshold"].astype(float))
    keys = ["dataset", "noise"]
    shares = rows.pivot_table(index=keys, columns="at", values="dissimilar_share", sort=True)
    shares.columns = [f"{at:g}" for at in shares.columns]
    shares.insert(0, "AUROC", rows.groupby(keys)["pseudo_label_auroc"].mean())
    return markdown(shares.reset_index())


def threshold_sentences(study: Study, options: Options) -> str:
    """For each metric, on how many datasets a best value of a knob is shown, and what choosing costs."""
    knob, lines = study.title(options["knob"]), []
    for metric in (study.metric(name) for name in options["metrics"]):
        table = thresholds.table(study, [metric], options["knob"], options.get("fixed"))
        if table.empty:
            return NO_ROWS
        shown = table[table["shown"]]
        where = ", ".join(
            f"{row.best_at:g} on {row.dataset}{', an end of the values tried' if row.at_end else ''}"
            for row in shown.itertuples()
        )
        line = f"- {metric.title}: a best {knob} is shown on {len(shown)} of {len(table)} datasets"
        line += f" ({where})" if where else ""
        line += f"; choosing on validation costs {table['regret_chosen'].max():.3f} at most"
        if "fixed" in options:
            line += (
                f", and always taking {options['fixed']:g} costs {table['regret_fixed'].max():.3f} at most"
            )
        line += f"; {table['lost'].sum()} trainings diverged or failed" if table["lost"].any() else ""
        lines.append(f"{line} (means over splits, test subjects).")
    return "\n".join(lines)


def best_thresholds(study: Study, options: Options) -> str:
    """The best value of a knob on each dataset, whether it is shown to be the best, and regrets."""
    metrics = [study.metric(name) for name in options["metrics"]]
    table = thresholds.table(study, metrics, options["knob"], options.get("fixed"))
    if table.empty:
        return NO_ROWS
    for name in ("regret_chosen", "regret_fixed"):
        table[name] = bounds(table, name, f"{name}_low", f"{name}_high", sign="+")
    table["best at"] = [f"{at:g}" for at in table["best_at"]]
    table["shown to be best"] = table["shown"].map({True: "yes", False: "no"})
    table["trained apart"] = [
        f"{n} of {of}" for n, of in zip(table["distinct"], table["values"], strict=True)
    ]
    fixed = f"regret of always {options['fixed']:g}" if "fixed" in options else None
    names = {"dataset": "dataset", "metric": "metric", "trained apart": "trained apart", "worst": "worst"}
    names |= {
        "best": "best",
        "best at": "best at",
        "equal": "equal to it",
        "shown to be best": "shown to be best",
    }
    names |= {"regret_chosen": "regret of choosing on validation"} | (
        {"regret_fixed": fixed} if fixed else {}
    )
    last = ["splits", "lost"] if (table["lost"] > 0).any() else ["splits"]
    return markdown(table[[*names, *last]].rename(columns=names))


def knob_means(study: Study, options: Options) -> str:
    """Means of metrics with intervals over splits, for each dataset and value of a knob."""
    rows = study.ok[study.ok["gate_given_as"] == options["knob"]]
    if rows.empty:
        return NO_ROWS
    lines = []
    for (dataset, at), own in rows.groupby(
        ["dataset", rows[options["knob"]].astype(float).round(SHARE_DIGITS)]
    ):
        line: dict[str, Any] = {"dataset": dataset, options["knob"]: f"{at:g}"}
        line |= {"share dissimilar": f"{own['dissimilar_share'].astype(float).mean():.2g}"}
        for name in options["metrics"]:
            found = mean_interval(own.groupby("split_seed")[name].mean().to_numpy(dtype=float))
            line[name] = bounds(pd.DataFrame([found._asdict()]), "estimate", "low", "high").iloc[0]
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def shapes(study: Study, options: Options) -> str:
    """How much of the clustering scores the shape explains, within each noise level."""
    table = geometry.fits(geometry.measured(study))
    table["r2"] = bounds(table, "r2", "low", "high")
    wide = table.pivot(index=["world", "score", "trials"], columns="shape", values="r2").reset_index()
    return markdown(wide.rename(columns={"world": "dataset"}))


def correlations(study: Study, options: Options) -> str:
    """Spearman's rho of clustering scores and probes over the distinct trained settings of a noise level."""
    table = geometry.correlations(geometry.measured(study))
    if table.empty:
        return NO_ROWS
    table = table[table["method"] == geometry.ALL].assign(rho=bounds(table, "spearman", "low", "high"))
    wide = table.pivot(index=["world", "clustering", "trials"], columns="probe", values="rho").reset_index()
    return markdown(wide.rename(columns={"world": "dataset"}))


def _grids(study: Study) -> list[Grid]:
    return sorted(grids(study), key=lambda grid: (grid.dataset, grid.given))


def planned(study: Study, options: Options) -> str:
    """Every contrast of one question in a plan, which lies beside the studies."""
    plan = contrasts.read(folder_of(study) / options.get("plan", PLANNED))
    own = tuple(contrast for contrast in plan.contrasts if contrast.question == options["question"])
    part = dataclasses.replace(plan, contrasts=own)
    return contrasts.text(contrasts.table(study, contrasts.with_rows(study, part)), part)


def judged(evidence: Evidence, options: Options) -> str:
    """Differences that are judged like contrasts: the parts of exchanged spectra, the lead of probes."""
    own = evidence.rows[evidence.rows["contrast"].isin(options["contrasts"])]
    if own.empty:
        return NO_ROWS
    return contrasts.shown(own, first=["contrast"])


def combinations(study: Study, options: Options) -> str:
    """Mean Silhouette by dataset of the four combinations of scores and spectrum."""
    rows = transplant.kept(folder_of(study))
    if rows.empty:
        return NO_ROWS
    words = options["sides"]  # what a and b are called
    cell = rows["scores"].map(words) + " scores, " + rows["spectrum"].map(words) + " spectrum"
    wide = rows.assign(cell=cell).pivot_table(index="dataset", columns="cell", values="silhouette")
    off = (rows["silhouette"] - rows["stored"].astype(float)).abs().groupby(rows["dataset"]).max()
    return markdown(wide.assign(**{"largest deviation from the stored Silhouette": off}).reset_index())


def compared_methods(study: Study, options: Options) -> str:
    """Methods by dataset with intervals over splits, a table for each metric, and their average ranks."""
    metrics = methods.chosen_metrics(study, options["metrics"])
    made = methods.table(study, metrics)
    parts = []
    for metric in metrics:
        own, said = made[made["metric"] == metric.name], methods.ranked(made, metric)[2]
        sides = own.groupby("side")["dataset"].unique()
        where = "; ".join(f"{side} subjects of {listed(sorted(names))}" for side, names in sides.items())
        parts.append(f"**{metric.title}, {where}**\n\n{markdown(methods.wide(made, metric))}\n\n{said}")
    return "\n\n".join(parts)


def power_rates(evidence: Evidence, options: Options) -> str:
    """`analysis.power` for every planned contrast and metric, at the splits that there are."""
    return markdown(evidence.power, digits=2) if len(evidence.power) else NO_ROWS


def splits_needed(evidence: Evidence, options: Options) -> str:
    """For every undecided planned verdict: the splits that would decide it, checked by simulation."""
    plan = contrasts.with_rows(evidence.study, evidence.plan)
    table = power.needed(evidence.study, plan)
    undecided = evidence.planned[evidence.planned["verdict"] == "undecided"]
    hopeless = int((undecided["splits_needed"].isna() & (undecided["splits"] > 1)).sum())
    said = f"{len(undecided)} planned verdicts on single datasets are undecided."
    if hopeless:
        said += f" For {hopeless} of them more than 1,000 splits would be needed."
    return f"{said}\n\n{markdown(table)}" if len(table) else said


def folder_of(study: Study) -> Path:
    """The folder of the document, which holds those of the studies."""
    return study.folder.parent


TABLES: dict[str, Callable[[Study, Options], str]] = {
    "counts": counts,
    "contrasts": planned,
    "revisions": revisions,
    "arms": setting_arms,
    "verdicts": verdicts,
    "activity": activity,
    "thresholds": best_thresholds,
    "threshold-sentences": threshold_sentences,
    "knob": knob_means,
    "shapes": shapes,
    "correlations": correlations,
    "combinations": combinations,
    "methods": compared_methods,
}
# Of everything that is judged, whatever the rows of a block.
JUDGED: dict[str, Callable[[Evidence, Options], str]] = {
    "judged": judged,
    "power": power_rates,
    "needed": splits_needed,
}
