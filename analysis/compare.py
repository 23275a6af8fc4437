"""Compare two studies, or two methods, setting by setting; differences are paired by replicate.

python -m analysis.compare runs/A runs/B                        # the settings that are in both studies
python -m analysis.compare runs/A --arms emargin,infonce        # the best settings of two methods
python -m analysis.compare runs/A runs/B --arms emargin,infonce # the same for methods from two studies
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from analysis import charts, replicates
from analysis.errors import UserError, exit_on_user_error, nearest
from analysis.joined import join
from analysis.pareto import best_of, goals
from analysis.sections import Figure, Section, parser, show
from analysis.statistics import Interval, holm, improvement, mean_interval, mean_p
from analysis.tables import Metric, Study, load, settings_text
from analysis.words import inline, plural
from analysis.worlds import worlds

METRICS = ("davies_bouldin", "nmi", "knn_balanced_accuracy", "mlp_balanced_accuracy", "effective_rank")
Pairs = list[tuple[str, pd.Series, pd.Series]]  # what is compared, and the two values by split seed and seed


def shared_settings(a: Study, b: Study, metric: str) -> Pairs:
    """Values of each trained setting that is in both studies, by split seed and seed.

    References such as PCA are left out: they are always the same in both and would only dilute the mean.
    Raises UserError where the studies share no setting.
    """
    of = [_by_setting(study, metric) for study in (a, b)]
    both = [key for key in of[0] if key in of[1]]
    if not both:
        raise UserError(
            f"{a.folder} and {b.folder} share no trained setting that could be paired: compare two "
            "methods with --arms, or run the same settings in both"
        )
    return [(key, of[0][key], of[1][key]) for key in both]


def _by_setting(study: Study, metric: str) -> dict[str, pd.Series]:
    references = [name for name, method in study.methods.items() if method.role == "reference"]
    rows = study.ok[~study.ok["method"].isin(references)]
    keys = settings_text(study, rows, ["dataset", "method", *study.setting_columns])
    return {str(key): replicates.values(part, metric) for key, part in rows.groupby(keys)}


def best_settings(study: Study, arms: tuple[str, str], metric: Metric) -> Pairs:
    """Each method's best complete setting in `metric` in each dataset and noise level, by replicate.

    Of equal settings, the one that is better in the other goal counts.
    """
    other = next((goal for goal in goals(study) if goal != metric), metric)
    pairs = []
    for world, rows in study.rows.groupby(worlds(study.rows), sort=False):
        sides = []
        for arm in arms:
            own = rows[rows["method"] == arm]
            complete = own.groupby("trial")["status"].transform(lambda s: (s == "ok").all())
            means = own[complete].groupby("trial")[list(dict.fromkeys([metric.name, other.name]))].mean()
            if means[metric.name].notna().any():
                at = best_of(means.dropna(subset=[metric.name]), metric, other)
                sides.append(replicates.values(own[own["trial"] == at], metric.name))
        if len(sides) == 2:
            pairs.append((str(world), sides[0], sides[1]))
    return pairs


def differences(pairs: Pairs, metric: Metric) -> pd.DataFrame:
    """For each pair: mean of a - b over replicates, t interval, p (Holm over pairs), share of units won."""
    rows = []
    for key, a, b in pairs:
        gap = replicates.differences(a, b).to_numpy(dtype=float)
        found, won = mean_interval(gap, within=metric.differences), _won(gap, metric)
        both = (a + b).dropna().index
        row = {"compared": key, "metric": metric.name, "a": replicates.units(a[both]).mean()}
        row |= {"b": replicates.units(b[both]).mean(), "difference": found.estimate}
        row |= {"low": found.low, "high": found.high, "p_holm": float(mean_p(gap)), "units": found.n}
        row |= {"won": won.estimate, "won_low": won.low, "won_high": won.high}
        rows.append(row)
    table = pd.DataFrame(rows)
    if len(table):
        table["p_holm"] = holm(table["p_holm"].to_numpy())
    return table


def overall(pairs: Pairs, metric: Metric) -> tuple[Interval, Interval]:
    """(difference, share won) over independent units; the value of a unit is its mean over the settings.

    Splits or seeds are independent repetitions, settings are not. So the interval is over splits or seeds.
    """
    gaps = replicates.units(pd.DataFrame({key: a - b for key, a, b in pairs}).mean(axis=1)).to_numpy()
    return mean_interval(gaps, within=metric.differences), _won(gaps, metric)


def _won(gaps: np.ndarray, metric: Metric) -> Interval:
    return improvement(gaps, np.zeros(len(gaps)), higher_is_better=metric.best != "min")


def section(
    pairs_of: dict[str, Pairs],
    metrics: dict[str, Metric],
    names: tuple[str, str],
    *,
    pair: str = "setting",
    unit: str = "seed",
) -> Section:
    """Sentences and a chart of differences for each metric.

    pair, unit: a word for what a pair is, and a word for what repeats independently
    """
    tables, said = [], []
    for name, pairs in pairs_of.items():
        metric = metrics[name]
        tables.append(differences(pairs, metric))
        gap, won = overall(pairs, metric)
        n = len(pairs)
        said.append(
            f"{metric.title}: {names[0]} minus {names[1]} is {gap.estimate:+.3f} {_bounds(gap)} over {gap.n} "
            f"{plural(gap.n, unit)} of {n} {plural(n, pair)}; {names[0]} is better in "
            f"{won.estimate:.0%} of {unit}s (95 % interval: {won.low:.0%} to {won.high:.0%})."
        )
    table = pd.concat(tables, ignore_index=True)
    drawn = [m for name, m in metrics.items() if (table["metric"] == name).any()]
    return Section(
        name="compare",
        title=f"{names[0]} against {names[1]}",
        intro=f"Differences are paired by {unit}.",
        verdicts=tuple(said),
        figures=(
            Figure(
                name="compare",
                title=f"{names[0]} minus {names[1]}",
                reading=f"Each dot is the mean difference of one {pair} over common {unit}s, with its 95 % "
                "t interval.",
                charts={m.title: difference_chart(table[table["metric"] == m.name], m) for m in drawn},
                table=table,
            ),
        ),
    )


def difference_chart(table: pd.DataFrame, metric: Metric) -> ChartType:
    """Differences of one metric, the largest first."""
    data = table.dropna(subset=["difference"]).sort_values("difference", ascending=False).head(40)
    columns = ["compared", "a", "b", "difference", "low", "high", "p_holm", "units"]
    base = alt.Chart(charts.compact(data, columns))
    y = alt.Y("compared:N", sort=None, title=None, axis=alt.Axis(labelLimit=180))
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q", y=y)
    x = alt.X("difference:Q", title=f"difference in {inline(metric.title)}")
    dots = base.mark_point(size=60).encode(x=x, y=y, tooltip=columns)
    zero = base.mark_rule(strokeDash=[3, 3]).encode(x=alt.datum(0))
    return charts.layered([(zero, True), (bars, bool(data["low"].notna().any())), (dots, True)]).properties(
        width=charts.WIDTH, height=charts.rows_height(data["compared"], 22)
    )


def _bounds(found: Interval) -> str:
    return "(too few for an interval)" if np.isnan(found.low) else f"[{found.low:+.3f}, {found.high:+.3f}]"


def compared(
    a: Study, b: Study | None = None, *, arms: tuple[str, str] | None = None, metric: str | None = None
) -> Section:
    """Compare two studies on their common settings, or two methods at their best settings."""
    if arms is not None and b is not None:
        a, b = join([a, b]), None
    x, y = goals(a)
    unit = replicates.unit_word(a.rows)
    names = [metric] if metric else list(dict.fromkeys([x.name, y.name, *METRICS]))
    metrics = {n: a.metric(n) for n in names if metric or n in a.metrics}
    if b is not None:
        metrics = {n: m for n, m in metrics.items() if n in b.metrics}
        return section(
            {n: shared_settings(a, b, n) for n in metrics},
            metrics,
            (a.folder.name, b.folder.name),
            unit=unit,
        )
    if arms is None:
        raise UserError(
            "a single study needs two methods to compare: give a second study, or two methods with --arms"
        )
    methods = set(a.rows["method"])
    for arm in arms:
        if arm not in methods:
            raise UserError(f"--arms has '{arm}', which {a.folder} does not have: {nearest(arm, methods)}")
    found = {n: best_settings(a, arms, m) for n, m in metrics.items() if m.best}
    found = {n: pairs for n, pairs in found.items() if pairs}
    if not found:
        raise UserError(
            f"{' and '.join(arms)} have no dataset in which both have a complete trial: resume the study"
        )
    return section(found, {n: metrics[n] for n in found}, (arms[0], arms[1]), pair="condition", unit=unit)


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__, "python -m analysis.compare", several=False)
    made.add_argument("other", nargs="?", type=Path, help="The folder of a second study.")
    made.add_argument("--arms", help="Compare the best settings of two methods, such as emargin,infonce.")
    made.add_argument("--metric", help="Compare only this metric.")
    arguments: argparse.Namespace = made.parse_args(argv)
    arms = tuple(arguments.arms.split(",")) if arguments.arms else None
    if arms is not None and len(arms) != 2:
        raise UserError(f"--arms is '{arguments.arms}': give two methods, such as emargin,infonce")
    study = load(arguments.study)
    other = load(arguments.other) if arguments.other else None
    found = compared(study, other, arms=arms, metric=arguments.metric)
    show(found, study.folder / "report", arguments.formats.split(","))


if __name__ == "__main__":
    exit_on_user_error(main)
