"""Does the threshold matter, and does noise change that? Threshold x SNR, with a verdict.

python -m analysis.robustness runs/NAME [runs/OTHER ...]
python -m analysis.robustness runs/NAME --metric silhouette --margin 0.1
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis import robustness_charts
from analysis.errors import UserError, exit_on_user_error
from analysis.grids import Grid, grids
from analysis.pareto import goals
from analysis.sections import Section, parser, run
from analysis.statistics import Interval, mean_interval
from analysis.tables import Metric, Study
from analysis.verdicts import Judged, corrected, judge
from analysis.words import listed, plural

MARGIN = 0.05  # of the metric's range: five points of accuracy, 0.1 of Silhouette


def margin_of(metric: Metric, given: float | None = None) -> float:
    """The difference that matters: as given, else a twentieth of the metric's range."""
    if given is not None:
        if not given > 0:
            raise UserError(
                f"--margin is {given}, but it is a difference that matters: give a number above 0"
            )
        return given
    width = metric.high - metric.low
    if not np.isfinite(width):
        raise UserError(f"{metric.name} has no finite range to take a margin from: give --margin")
    return MARGIN * width


def verdicts(found: Sequence[Grid], metric: Metric, margin: float) -> pd.DataFrame:
    """One row per grid: verdict, range of the metric over thresholds with bounds, p of both claims (Holm).

    The correction is over data sets, within method, gate and kind of threshold.
    """
    judged = [judge(grid.curves(metric.name), grid.activity(), margin) for grid in found]
    table = pd.DataFrame([_row(grid, j, metric, margin) for grid, j in zip(found, judged, strict=True)])
    for _, family in table.groupby(["method", "gate", "given"], sort=False):
        for i, (word, robust, sensitive) in zip(
            family.index, corrected([judged[i] for i in family.index]), strict=True
        ):
            table.loc[i, ["verdict", "p_robust", "p_sensitive"]] = [word, robust, sensitive]
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
        "seeds": j.seeds,
        "seeds_needed": j.seeds_needed,
        "slope": slope.estimate,
        "slope_low": slope.low,
        "slope_high": slope.high,
    }


def _slope(grid: Grid, metric: str) -> Interval:
    """Least-squares change of the metric per unit of threshold, mean of the noise levels; t over seeds."""
    centred = grid.at - grid.at.mean()
    per_seed = [centred @ (curve - curve.mean(axis=0)) / (centred @ centred) for curve in grid.curves(metric)]
    return mean_interval(np.mean(per_seed, axis=0))


def rank_correlations(found: Sequence[Grid], metric: Metric) -> pd.DataFrame:
    """Spearman's rho of the metric with SNR and with the threshold, and their interaction, within each seed.

    Seeds are what repeats, so each seed gives one value of each and the interval is Student's over seeds.
    The interaction is the product term of a regression on standardised ranks: above 0, more signal makes the
    metric rise more with the threshold.
    """
    rows = []
    for grid in found:
        cells = np.stack(grid.curves(metric.name))  # (noise levels, thresholds, units)
        for name, values in _by_seed(cells).items():
            rho = mean_interval(values)
            rows.append(
                {
                    "dataset": grid.dataset,
                    "method": grid.method,
                    "gate": grid.gate,
                    "given": grid.given,
                    "metric": metric.name,
                    "relation": name,
                    "estimate": rho.estimate,
                    "low": rho.low,
                    "high": rho.high,
                    "units": rho.n,
                }
            )
    return pd.DataFrame(rows)


def _by_seed(cells: np.ndarray) -> dict[str, list[float]]:
    n_snr, n_at, _ = cells.shape
    snr, at = (i.ravel().astype(float) for i in np.meshgrid(np.arange(n_snr), np.arange(n_at), indexing="ij"))
    found: dict[str, list[float]] = {"threshold": []}
    if n_snr > 1:
        found |= {"SNR": [], "interaction": []}
    for unit in np.moveaxis(cells, 2, 0):
        y = unit.ravel()
        if np.isnan(y).any() or np.ptp(y) == 0:
            continue
        found["threshold"].append(float(stats.spearmanr(at, y).statistic))
        if n_snr > 1:
            found["SNR"].append(float(stats.spearmanr(snr, y).statistic))
            ranks = [stats.zscore(stats.rankdata(v)) for v in (y, snr, at)]
            terms = np.column_stack([ranks[1], ranks[2], ranks[1] * ranks[2]])
            found["interaction"].append(float(np.linalg.lstsq(terms, ranks[0], rcond=None)[0][2]))
    return found


def common_curve(found: Sequence[Grid], metric: Metric) -> pd.DataFrame:
    """How well one curve serves all noise levels, drawn over the cosine or over the share it resolves to.

    For each seed: R2 of one cubic, of what varies within the SNRs; t interval over seeds.
    """
    rows = []
    for grid in found:
        if len(grid.snrs) < 2 or len(grid.at) < 5:
            continue
        for name in ("threshold", "dissimilar_share"):
            r2 = [_shared_r2(seed, name, metric.name) for _, seed in grid.rows.groupby("unit")]
            fit = mean_interval([value for value in r2 if value is not None])
            rows.append(
                {
                    "dataset": grid.dataset,
                    "method": grid.method,
                    "gate": grid.gate,
                    "given": grid.given,
                    "metric": metric.name,
                    "over": name,
                    "r2": fit.estimate,
                    "low": fit.low,
                    "high": fit.high,
                    "units": fit.n,
                }
            )
    return pd.DataFrame(rows)


def _shared_r2(rows: pd.DataFrame, over: str, metric: str) -> float | None:
    rows = rows.dropna(subset=[over, metric])
    if len(rows) < 8:
        return None
    centre = rows.groupby("snr")[metric].transform("mean")
    y = (rows[metric] - centre).to_numpy(dtype=float)
    u = rows[over].to_numpy(dtype=float)
    u = (u - u.mean()) / (u.std() or 1.0)
    powers = pd.DataFrame({k: u**k for k in (1, 2, 3)}, index=rows.index)
    x = (powers - powers.groupby(rows["snr"]).transform("mean")).to_numpy()
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return float(1 - residual @ residual / (y @ y)) if y @ y > 0 else None


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
        intro="Does it matter where the threshold stands, and does noise change the answer?",
        verdicts=(
            *(sentence(row, study) for _, row in judged[judged["gate"] == "intended"].iterrows()),
            *control_sentences(judged[judged["gate"] != "intended"], study),
        ),
        headlines=min(4, int((judged["gate"] == "intended").sum())),
        figures=robustness_charts.figures(study, found, chosen, judged, ranks, shared),
        notes=notes(found),
    )


def sentence(row: Any, study: Study) -> str:
    """A verdict in words, with the numbers it rests on."""
    title = study.metrics[row["metric"]].title
    knob = "share of dissimilar steps" if row["given"] == "dissimilar_share" else "threshold"
    gate = "" if row["gate"] == "intended" else f", gate {row['gate']}"
    start = f"{row['dataset']}, {study.method_title(row['method'])}{gate}: {title} is"
    bounds = f"[{row['range_low']:.3f}, {row['range_high']:.3f}]"
    numbers = f"range {row['range']:.3f} {bounds}, margin {row['margin']:.3g}"
    match row["verdict"]:
        case "robust":
            return f"{start} robust to the {knob} ({numbers})."
        case "sensitive":
            return f"{start} sensitive to the {knob} ({numbers})."
        case "vacuous":
            return f"{start} not put to the test: the gate is vacuous, firing hardly ever or always."
    need, now = row["seeds_needed"], int(row["seeds"])
    many = "more seeds than are feasible" if pd.isna(need) else f"about {int(need)} seeds"
    return f"{start} undecided with {now} {plural(now, 'seed')} ({numbers}); {many} would decide."


def control_sentences(judged: pd.DataFrame, study: Study) -> list[str]:
    """One sentence for each control gate, metric and verdict, naming the data sets."""
    return [
        f"Control: with the gate {gate}, {study.metrics[str(metric)].title} is {verdict} on "
        f"{listed(list(part['dataset'].unique()))}."
        for (gate, metric, verdict), part in judged.groupby(["gate", "metric", "verdict"], sort=False)
    ]


def notes(found: Sequence[Grid]) -> tuple[str, ...]:
    """What the grids cannot say."""
    said = []
    if all(len(grid.snrs) < 2 for grid in found):
        said.append("Only one noise level was studied, so nothing can be said about noise.")
    if all(grid.rows["split_seed"].nunique() < 3 for grid in found):
        said.append(
            "Seeds vary the training, not the people: there are fewer than three splits of the subjects."
        )
    lost = sum(int((grid.rows["status"] != "ok").sum()) for grid in found)
    if lost:
        said.append(
            f"{lost} {plural(lost, 'training')} of the grid ended without result; "
            "nothing is called robust where a cell keeps fewer than two seeds."
        )
    return tuple(said)


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__, "python -m analysis.robustness")
    made.add_argument("--metric", help="the metric to judge (default: both goals of the study)")
    made.add_argument(
        "--margin", type=float, help="difference that matters (default: a twentieth of its range)"
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
