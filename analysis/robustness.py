"""Compare thresholds at each noise level, and judge whether the threshold matters and noise changes that.

python -m analysis.robustness runs/NAME [runs/OTHER ...]
python -m analysis.robustness runs/NAME --metric silhouette --margin 0.1
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis import replicates, robustness_charts
from analysis.errors import UserError, exit_on_user_error
from analysis.grids import Grid, grids
from analysis.pareto import goals
from analysis.sections import Section, parser, run
from analysis.statistics import Interval, mean_interval
from analysis.tables import GIVEN, Metric, Study
from analysis.verdicts import LIMIT, Judged, corrected, judge
from analysis.words import inline, listed, plural

MARGIN = 0.05  # share of the metric's range: five points of accuracy, 0.1 of Silhouette


def margin_of(metric: Metric, given: float | None = None) -> float:
    """The smallest difference that matters: the given one, or a twentieth of the metric's range."""
    if given is not None:
        if not given > 0:
            raise UserError(
                f"--margin is {given}, but it is a difference that matters: give a number above 0"
            )
        return given
    width = metric.high - metric.low
    if not np.isfinite(width):
        raise UserError(f"{metric.name} has no finite range, so there is no default margin: give --margin")
    return MARGIN * width


def verdicts(found: Sequence[Grid], metric: Metric, margin: float) -> pd.DataFrame:
    """One row per grid: verdict, range of the metric over thresholds with bounds, p of both claims (Holm).

    The correction is over datasets, within method, gate and kind of threshold.
    """
    judged = [judge(grid.curves(metric.name), grid.activity(), margin) for grid in found]
    table = pd.DataFrame([_row(grid, j, metric, margin) for grid, j in zip(found, judged, strict=True)])
    for _, family in table.groupby(["method", "gate", "given"], sort=False):
        for i, result in zip(family.index, corrected([judged[i] for i in family.index]), strict=True):
            names = ["verdict", "p_robust", "p_sensitive", "units_needed"]
            table.loc[i, names] = [result.word, result.p_robust, result.p_sensitive, result.needed]
    return table


def _row(grid: Grid, j: Judged, metric: Metric, margin: float) -> dict[str, object]:
    slope = _slope(grid, metric.name)
    return {
        "dataset": grid.dataset,
        "method": grid.method,
        "gate": grid.gate,
        "given": grid.given,
        "rest": grid.rest,
        "metric": metric.name,
        "verdict": "",
        "range": j.spread,
        "range_low": j.low,
        "range_high": j.high,
        "margin": margin,
        "p_robust": np.nan,
        "p_sensitive": np.nan,
        "thresholds": len(grid.at),
        "noise_levels": len(grid.snrs),
        "unit": replicates.unit_word(grid.rows),
        "units": j.units,
        "units_needed": np.nan,
        "slope": slope.estimate,
        "slope_low": slope.low,
        "slope_high": slope.high,
    }


def _slope(grid: Grid, metric: str) -> Interval:
    """Least-squares slope of the metric over the threshold, mean of the noise levels, over replicates."""
    centred = grid.at - grid.at.mean()
    per_unit = [centred @ (curve - curve.mean(axis=0)) / (centred @ centred) for curve in grid.curves(metric)]
    return mean_interval(np.mean(per_unit, axis=0))


def rank_correlations(found: Sequence[Grid], metric: Metric) -> pd.DataFrame:
    """Spearman's rho of the metric with the threshold and with SNR, and their interaction.

    Rho with the threshold is computed within each noise level, and rho with SNR within each threshold; then
    they are averaged. If all rows were pooled, the larger effect would hide or reverse the smaller one. The
    interaction is rho with the threshold at the highest SNR minus that at the lowest. Settings that train
    identically count once. Each replicate gives one value of each; intervals are Student's over replicates.
    """
    rows = []
    for grid in found:
        cells = np.stack(grid.curves(metric.name))  # (noise levels, thresholds, units)
        for name, values in _by_unit(cells).items():
            top = 2 if name == "interaction" else 1
            rho = mean_interval(values, within=(-top, top))
            numbers = {"estimate": rho.estimate, "low": rho.low, "high": rho.high, "units": rho.n}
            rows.append(_named(grid, metric) | {"relation": name} | numbers)
    return pd.DataFrame(rows)


def _named(grid: Grid, metric: Metric) -> dict[str, object]:
    """The columns that say which grid and metric a row is about."""
    of = {name: getattr(grid, name) for name in ("dataset", "method", "gate", "given")}
    return of | {"metric": metric.name}


def _by_unit(cells: np.ndarray) -> dict[str, list[float]]:
    """The correlations of each replicate; nan where a replicate lacks a cell or nothing varies."""
    levels = [_distinct(level) for level in cells]
    at = np.arange(cells.shape[1], dtype=float)
    thresholds = _distinct(cells.transpose(1, 0, 2).reshape(cells.shape[1], -1))
    found: dict[str, list[float]] = {"threshold": []}
    if len(cells) > 1:
        found |= {"SNR": [], "interaction": []}
    for unit in np.moveaxis(cells, 2, 0):
        within = np.array([_rho(at[keep], level[keep]) for keep, level in zip(levels, unit, strict=True)])
        found["threshold"].append(float(np.nanmean(within)) if (~np.isnan(within)).any() else np.nan)
        if len(cells) > 1:
            across = [_rho(np.arange(len(unit)), column) for column in unit.T[thresholds]]
            found["SNR"].append(float(np.mean(across)))
            found["interaction"].append(float(within[-1] - within[0]))
    return found


def _distinct(values: np.ndarray) -> np.ndarray:
    """(n, ...) -> the indices of rows that equal no earlier row."""
    _, first = np.unique(values.reshape(len(values), -1), axis=0, return_index=True)
    return np.sort(first)


def _rho(x: np.ndarray, y: np.ndarray) -> float:
    if len(y) < 2 or np.isnan(y).any() or np.ptp(y) == 0:
        return np.nan
    return float(stats.spearmanr(x, y).statistic)


def common_curve(found: Sequence[Grid], metric: Metric) -> pd.DataFrame:
    """How well one curve fits all noise levels, over the cosine or over the share of dissimilar steps.

    Grids of thresholds and of shares at otherwise equal settings are read as one. For each replicate, R2 is
    that of one cubic for the variation within the noise levels; t intervals are over replicates. The row with
    `over` = "share minus cosine" is their difference, paired by replicate. Equal trainings with different
    thresholds are all kept, since the question is whether the cosine or the share distinguishes them.
    """
    rows = []
    alike: dict[tuple[str, ...], list[Grid]] = {}
    for grid in found:
        alike.setdefault((grid.dataset, grid.method, grid.gate, grid.rest), []).append(grid)
    for together in alike.values():
        grid = together[0]
        joined = pd.concat([each.rows for each in together])
        if joined["snr"].nunique() < 2 or sum(len(each.at) for each in together) < 5:
            continue
        given = " and ".join(each.given for each in together)
        units = [unit for _, unit in joined.groupby("unit")]
        r2 = {name: np.array([_shared_r2(unit, name, metric.name) for unit in units]) for name in GIVEN}
        fits = {name: mean_interval(values, within=(0, 1)) for name, values in r2.items()}
        fits["share minus cosine"] = mean_interval(r2["dissimilar_share"] - r2["threshold"], within=(-1, 1))
        for name, fit in fits.items():
            numbers = {"r2": fit.estimate, "low": fit.low, "high": fit.high, "units": fit.n}
            rows.append(_named(grid, metric) | {"given": given, "over": name} | numbers)
    return pd.DataFrame(rows)


def _shared_r2(rows: pd.DataFrame, over: str, metric: str) -> float:
    rows = rows.dropna(subset=[over, metric])
    if len(rows) < 8:
        return np.nan
    centre = rows.groupby("snr")[metric].transform("mean")
    y = (rows[metric] - centre).to_numpy(dtype=float)
    u = rows[over].to_numpy(dtype=float)
    u = (u - u.mean()) / (u.std() or 1.0)
    powers = pd.DataFrame({k: u**k for k in (1, 2, 3)}, index=rows.index)
    x = (powers - powers.groupby(rows["snr"]).transform("mean")).to_numpy()
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return float(1 - residual @ residual / (y @ y)) if y @ y > 0 else np.nan


def section(study: Study, metric: str | None = None, margin: float | None = None) -> Section | None:
    """Verdicts, heat maps and curves; None where the study has no grid of thresholds."""
    found = sorted(grids(study), key=lambda grid: grid.gate != "intended")  # controls last
    if not found:
        return None
    x, y = goals(study)
    chosen = [study.metric(metric)] if metric else [y, x]
    judged = pd.concat([verdicts(found, m, margin_of(m, margin)) for m in chosen], ignore_index=True)
    judged = judged.sort_values("gate", key=lambda gate: gate != "intended", kind="stable", ignore_index=True)
    ranks = pd.concat([rank_correlations(found, m) for m in chosen], ignore_index=True)
    shared = pd.concat([common_curve(found, m) for m in chosen], ignore_index=True)
    return Section(
        name="robustness",
        title="Is the threshold robust?",
        intro="Does it matter which threshold is used, and does noise change the answer?",
        verdicts=(
            *(sentence(row, study) for _, row in judged[judged["gate"] == "intended"].iterrows()),
            *control_sentences(judged[judged["gate"] != "intended"], study),
        ),
        headlines=min(4, int((judged["gate"] == "intended").sum())),
        figures=robustness_charts.figures(study, found, chosen, judged, ranks, shared),
        notes=notes(found),
    )


def sentence(row: Any, study: Study) -> str:
    """A verdict in words, with the numbers behind it."""
    title = study.metrics[row["metric"]].title
    setting = study.title(row["given"])
    gate = "" if row["gate"] == "intended" else f", gate {row['gate']}"
    start = f"{row['dataset']}, {study.method_title(row['method'])}{gate}: {title} is"
    bounds = f"[{row['range_low']:.3f}, {row['range_high']:.3f}]"
    numbers = f"range {row['range']:.3f} {bounds}, margin {row['margin']:.3g}"
    match row["verdict"]:
        case "robust":
            return f"{start} robust to the {setting} ({numbers})."
        case "sensitive":
            return f"{start} sensitive to the {setting} ({numbers})."
        case "vacuous":
            return (
                f"{start} not tested: the gate calls hardly any, or nearly all, steps dissimilar (vacuous)."
            )
    need, now, unit = row["units_needed"], int(row["units"]), row["unit"]
    many = f"more than {LIMIT:,}" if pd.isna(need) else f"about {int(need)}"
    return f"{start} undecided with {now} {plural(now, unit)} ({numbers}); {many} {unit}s would decide."


def control_sentences(judged: pd.DataFrame, study: Study) -> list[str]:
    """One sentence for each control gate, metric and verdict, with the names of the datasets."""
    return [
        f"Control: with the gate {gate}, {inline(study.metrics[str(metric)].title)} is {verdict} on "
        f"{listed(list(part['dataset'].unique()))}."
        for (gate, metric, verdict), part in judged.groupby(["gate", "metric", "verdict"], sort=False)
    ]


def notes(found: Sequence[Grid]) -> tuple[str, ...]:
    """Notes on what the grids cannot show."""
    said = []
    if all(len(grid.snrs) < 2 for grid in found):
        said.append("Only one noise level was studied, so nothing can be said about noise.")
    if all(grid.rows["split_seed"].nunique() < 2 for grid in found):
        said.append("There is only one split of the subjects: seeds vary the training, not the people.")
    lost = sum(int((grid.rows["status"] != "ok").sum()) for grid in found)
    if lost:
        said.append(
            f"{lost} {plural(lost, 'training')} of the grid ended without a result; "
            "nothing is called robust where a cell has fewer than two replicates left."
        )
    return tuple(said)


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__, "python -m analysis.robustness")
    made.add_argument("--metric", help="Judge this metric (default: both goals of the study).")
    made.add_argument(
        "--margin",
        type=float,
        help="Use this as the smallest difference that matters (default: a twentieth of the metric's range).",
    )
    arguments: argparse.Namespace = made.parse_args(argv)

    def needed(study: Study) -> Section:
        found = section(study, arguments.metric, arguments.margin)
        if found is None:
            raise UserError(
                f"{study.folder} has no grid of three thresholds at otherwise equal settings: "
                "run one with `python -m study.run --threshold 0,0.2,0.4,0.6,0.8,0.9 --snr-db 0,10,20`"
            )
        return found

    run(arguments, needed)


if __name__ == "__main__":
    exit_on_user_error(main)
