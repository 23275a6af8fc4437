"""Rebuild the numbers and figures of a findings document from the studies that lie beside it.

python -m analysis.findings docs/findings            # writes the blocks of docs/findings.md, and the figures
python -m analysis.findings docs/findings --check    # changes nothing; exit code 1 if a block would change

The folder holds one folder a study (results.parquet, study.toml, manifest.json). The document beside it has
the folder's name and marks blocks by `<!-- begin NAME -->` and `<!-- end -->`; words between blocks are kept.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from analysis import charts, geometry, geometry_charts, robustness, robustness_charts, semi
from analysis.arms import arms
from analysis.arms import markdown as arms_markdown
from analysis.errors import UserError, exit_on_user_error, nearest
from analysis.grids import Grid, grids
from analysis.joined import join
from analysis.statistics import holm, mean_p, paired_difference
from analysis.tables import Study, load

BLOCK = re.compile(r"(<!-- begin ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
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
    rows = rows.assign(family=rows["kind"].map({"searched": "eMargin", "reference": "reference"}))
    rows.loc[rows["objective"].str.startswith("infonce"), "family"] = "InfoNCE"
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
    beside = study.rows["trial"].str.contains("-threshold/") & (study.rows["objective"] != "emargin")
    part = _with(study, study.rows[quiet & (own | beside)])
    table = arms([part], SHOWN)
    table["arm"] = table["objective"].where(table["gate"].isna(), "emargin, " + table["gate"].fillna(""))
    return "\n\n".join(
        f"**{dataset}**\n\n{arms_markdown(rows, SHOWN)}"
        for dataset, rows in table.groupby("dataset", sort=False)
    )


def threshold_verdicts(study: Study) -> str:
    """Verdict on each goal by set, for thresholds given as cosine and as share."""
    found = _grids(study)
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
    table = pd.concat([robustness.rank_correlations(_grids(study), study.metric(m)) for m in GOALS])
    table["rho"] = _bounds(table, "estimate", "low", "high")
    keys = ["dataset", "given", "metric"]
    wide = table.pivot(index=keys, columns="relation", values="rho").reset_index()
    return markdown(wide.sort_values(["metric", "given", "dataset"]))


def gate_activity(study: Study) -> str:
    """Share of steps called dissimilar by each cosine and noise level, and the labels' AUROC."""
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


def one_curve(study: Study) -> str:
    """R2 of one curve for all noise levels, over the cosine and over the share."""
    table = pd.concat([robustness.common_curve(_grids(study), study.metric(m)) for m in GOALS])
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
    table = table[table["objective"] == geometry.ALL].assign(rho=_bounds(table, "spearman", "low", "high"))
    wide = table.pivot(index=["world", "clustering", "trials"], columns="probe", values="rho").reset_index()
    return markdown(wide.rename(columns={"world": "dataset"}))


def probe_gaps(study: Study) -> str:
    """What other probes read beyond the linear one, and what is left of Silhouette after calibration."""
    table = geometry.gaps(geometry.measured(study))
    table = table[table["objective"].isin(["emargin", "infonce", "random", "raw"])]
    table["mean"] = _bounds(table, "mean", "low", "high")
    wide = table.pivot(index=["world", "objective"], columns="quantity", values="mean").reset_index()
    return markdown(wide.rename(columns={"world": "dataset"}))


def labels_gain(study: Study) -> str:
    """Each label share and weight minus eMargin without labels, paired by seed."""
    x, y = (study.metric(name) for name in reversed(GOALS))
    table = semi.differences(study, (x, y))
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
    for dataset, rows in study.rows.groupby("dataset", sort=False):
        part = _with(study, rows)
        found = semi.sentences(semi.differences(part, (x, y)), x, y)
        lines += [f"- {dataset}: {sentence}" for sentence in found]
    return "\n".join(lines)


def equal_budgets(study: Study) -> str:
    """Best of eight thresholds against best of eight temperatures at 30 dB; chosen on validation.

    The sets with a test side are compared there: choosing the best of eight flatters both on validation.
    """
    rows = []
    quiet = study.rows[study.rows["snr_db"] == study.rows["snr_db"].max()]
    for dataset, part in quiet.groupby("dataset", sort=False):
        sides = {
            "emargin": part[part["trial"].str.contains("-threshold/emargin-")],
            "infonce": part[part["trial"].str.contains("-infonce/infonce-")],
        }
        for metric in ("probe_balanced_accuracy", "silhouette"):
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


def _grids(study: Study) -> list[Grid]:
    """The threshold and share grids with the intended gate."""
    return [grid for grid in grids(study) if grid.gate == "intended" and grid.objective == "emargin"]


def figures(study: Study, folder: Path) -> None:
    """The charts that the document shows, as PNG and SVG."""
    found = _grids(study)
    judged = pd.concat(
        [robustness.verdicts(found, study.metric(m), robustness.margin_of(study.metric(m))) for m in GOALS]
    )
    for metric in GOALS:
        own = judged[judged["metric"] == metric]
        charts.save(robustness_charts.range_chart(own), folder / f"threshold-{metric}", ("png", "svg"))
    table = geometry.measured(study)
    rank, silhouette = study.metric("effective_rank"), study.metric("silhouette")
    for dataset, part in table.groupby("world", sort=False):
        chart = geometry_charts.rank_chart(part, rank, silhouette)
        charts.save(chart, folder / f"rank-{dataset}", ("png", "svg"))


def studies(folder: Path) -> Study:
    """All studies of a folder as one. Raises UserError where it holds none."""
    found = sorted(path.parent for path in folder.glob("*/results.parquet"))
    if not found:
        raise UserError(f"{folder} holds no study (no */results.parquet): give the folder of the findings")
    return join([load(path) for path in found])


def rebuilt(text: str, study: Study) -> str:
    """The document with every block written anew. Raises UserError for a block of unknown name."""

    def block(match: re.Match[str]) -> str:
        name = match.group(2)
        if name not in BLOCKS:
            raise UserError(f"the document has a block '{name}': {nearest(name, BLOCKS)}")
        return f"{match.group(1)}\n{BLOCKS[name](study)}\n\n{match.group(3)}"

    return BLOCK.sub(block, text)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "python -m analysis.findings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="folder of the studies; its document is FOLDER.md")
    parser.add_argument("--check", action="store_true", help="only say whether the document is up to date")
    arguments = parser.parse_args(argv)
    document = arguments.folder.with_suffix(".md")
    if not document.is_file():
        raise UserError(f"{document} does not exist: write the document with its blocks first")
    study = studies(arguments.folder)
    text = document.read_text(encoding="utf-8")
    made = rebuilt(text, study)
    if arguments.check:
        print(f"{document} is {'up to date' if made == text else 'not what the studies say'}")
        sys.exit(made != text)
    whole = document.with_suffix(".part")
    whole.write_text(made, encoding="utf-8")
    os.replace(whole, document)
    figures(study, arguments.folder / "figures")
    print(f"written: {document} from {len(study.rows)} rows, and {arguments.folder / 'figures'}")


if __name__ == "__main__":
    exit_on_user_error(main)
