"""Two studies, or two arms of one, setting by setting and seed by seed.

python -m analysis.compare runs/A runs/B                        # the same settings in two studies
python -m analysis.compare runs/A --arms emargin,infonce        # best settings of two objectives
python -m analysis.compare runs/A runs/B --arms emargin,infonce # of two that were run apart
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from analysis import charts
from analysis.errors import UserError, exit_on_user_error, nearest
from analysis.joined import join
from analysis.pareto import goals, worlds
from analysis.sections import Figure, Section, parser, show
from analysis.statistics import Interval, holm, improvement, mean_p, paired_difference
from analysis.tables import SETTINGS, Metric, Study, load, settings_text
from analysis.words import plural

METRICS = ("davies_bouldin", "nmi", "knn_balanced_accuracy", "mlp_balanced_accuracy", "effective_rank")
FIXED = ("raw", "log-raw", "pca")  # encoders without a seed
Pairs = list[tuple[str, pd.Series, pd.Series]]  # what is compared, and both sides' values by seed


def shared_settings(a: Study, b: Study, metric: str) -> Pairs:
    """Values of each trained setting that both studies hold, by seed.

    Fixed encoders, such as PCA, are the same in both by construction and would only dilute the mean.
    Raises UserError where they share none.
    """
    of = [_by_setting(study, metric) for study in (a, b)]
    both = [key for key in of[0] if key in of[1]]
    if not both:
        raise UserError(
            f"{a.folder} and {b.folder} share no trained setting, so nothing can be paired: compare two "
            "objectives with --arms, or run the same settings in both"
        )
    return [(key, of[0][key], of[1][key]) for key in both]


def _by_setting(study: Study, metric: str) -> dict[str, pd.Series]:
    rows = study.ok[~study.ok["objective"].isin(FIXED)]
    keys = settings_text(rows, ["dataset", "objective", *SETTINGS])
    return {str(key): part.groupby("seed")[metric].mean() for key, part in rows.groupby(keys)}


def best_settings(study: Study, arms: tuple[str, str], metric: Metric) -> Pairs:
    """Each arm's best complete setting in `metric` in each data set and noise level, by seed."""
    pairs = []
    for world, rows in study.rows.groupby(worlds(study.rows), sort=False):
        sides = []
        for arm in arms:
            own = rows[rows["objective"] == arm]
            complete = own.groupby("trial")["status"].transform(lambda s: (s == "ok").all())
            means = own[complete].groupby("trial")[metric.name].mean().dropna()
            if len(means):
                at = means.idxmin() if metric.best == "min" else means.idxmax()
                sides.append(own[own["trial"] == at].set_index("seed")[metric.name])
        if len(sides) == 2:
            pairs.append((str(world), sides[0], sides[1]))
    return pairs


def differences(pairs: Pairs, metric: Metric) -> pd.DataFrame:
    """For each pair: mean of a - b over common seeds, t interval, p (Holm over pairs), share of seeds won."""
    rows = []
    for key, a, b in pairs:
        seeds = a.index.intersection(b.index)
        x, y = a.loc[seeds].to_numpy(dtype=float), b.loc[seeds].to_numpy(dtype=float)
        found = paired_difference(x, y)
        won = _won(x, y, metric)
        row = {"compared": key, "metric": metric.name, "a": np.mean(x) if len(x) else np.nan}
        row |= {"b": np.mean(y) if len(y) else np.nan, "difference": found.estimate}
        row |= {"low": found.low, "high": found.high, "p_holm": float(mean_p(x - y)), "seeds": found.n}
        row |= {"won": won.estimate, "won_low": won.low, "won_high": won.high}
        rows.append(row)
    table = pd.DataFrame(rows)
    if len(table):
        table["p_holm"] = holm(table["p_holm"].to_numpy())
    return table


def overall(pairs: Pairs, metric: Metric) -> tuple[Interval, Interval]:
    """(difference, share won) over seeds: a seed's value is its mean over the settings of both sides.

    Seeds repeat independently, settings do not, so the interval is over seeds.
    """
    gaps = pd.DataFrame({key: a - b for key, a, b in pairs}).mean(axis=1).dropna()
    zero = np.zeros(len(gaps))
    return paired_difference(gaps.to_numpy(), zero), _won(gaps.to_numpy(), zero, metric)


def _won(a: np.ndarray, b: np.ndarray, metric: Metric) -> Interval:
    return improvement(a, b, higher_is_better=metric.best != "min")


def section(
    pairs_of: dict[str, Pairs], metrics: dict[str, Metric], names: tuple[str, str], unit: str = "setting"
) -> Section:
    """Sentences and a chart of differences for each metric; `unit` is what a pair is of, in a word."""
    tables, said = [], []
    for name, pairs in pairs_of.items():
        metric = metrics[name]
        tables.append(differences(pairs, metric))
        gap, won = overall(pairs, metric)
        n = len(pairs)
        said.append(
            f"{metric.title}: {names[0]} minus {names[1]} is {gap.estimate:+.3f} {_bounds(gap)} over {gap.n} "
            f"{plural(gap.n, 'seed')} of {n} {plural(n, unit)}; {names[0]} is better at "
            f"{won.estimate:.0%} of seeds, {won.low:.0%} to {won.high:.0%} being plausible."
        )
    table = pd.concat(tables, ignore_index=True)
    drawn = [m for name, m in metrics.items() if (table["metric"] == name).any()]
    return Section(
        name="compare",
        title=f"{names[0]} against {names[1]}",
        intro="Differences are paired by seed.",
        verdicts=tuple(said),
        figures=(
            Figure(
                name="compare",
                title=f"{names[0]} minus {names[1]}",
                reading=f"Each dot is one {unit}'s mean difference over common seeds, with 95 % t interval.",
                charts={m.title: difference_chart(table[table["metric"] == m.name], m) for m in drawn},
                table=table,
            ),
        ),
    )


def difference_chart(table: pd.DataFrame, metric: Metric) -> ChartType:
    """Differences of one metric, the largest first."""
    data = table.dropna(subset=["difference"]).sort_values("difference", ascending=False).head(40)
    columns = ["compared", "a", "b", "difference", "low", "high", "p_holm", "seeds"]
    base = alt.Chart(charts.compact(data, columns))
    y = alt.Y("compared:N", sort=None, title=None, axis=alt.Axis(labelLimit=180))
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q", y=y)
    x = alt.X("difference:Q", title=f"difference in {metric.title}")
    dots = base.mark_point(size=60).encode(x=x, y=y, tooltip=columns)
    zero = base.mark_rule(strokeDash=[3, 3]).encode(x=alt.datum(0))
    return charts.layered([(zero, True), (bars, bool(data["low"].notna().any())), (dots, True)]).properties(
        width=charts.WIDTH, height=charts.rows_height(data["compared"], 22)
    )


def _bounds(found: Interval) -> str:
    return "(one seed: no interval)" if np.isnan(found.low) else f"[{found.low:+.3f}, {found.high:+.3f}]"


def compared(
    a: Study, b: Study | None = None, *, arms: tuple[str, str] | None = None, metric: str | None = None
) -> Section:
    """Two studies on their common settings, or two arms, of one study or of two, at their best settings."""
    if arms is not None and b is not None:
        a, b = join([a, b]), None
    x, y = goals(a)
    names = [metric] if metric else list(dict.fromkeys([x.name, y.name, *METRICS]))
    metrics = {n: a.metric(n) for n in names if metric or n in a.metrics}
    if b is not None:
        metrics = {n: m for n, m in metrics.items() if n in b.metrics}
        return section(
            {n: shared_settings(a, b, n) for n in metrics}, metrics, (a.folder.name, b.folder.name)
        )
    if arms is None:
        raise UserError(
            "one study alone has nothing to be compared with: name a second, or two of its --arms"
        )
    objectives = set(a.rows["objective"])
    for arm in arms:
        if arm not in objectives:
            raise UserError(f"--arms has '{arm}', which {a.folder} does not hold: {nearest(arm, objectives)}")
    found = {n: best_settings(a, arms, m) for n, m in metrics.items() if m.best}
    found = {n: pairs for n, pairs in found.items() if pairs}
    if not found:
        raise UserError(
            f"{' and '.join(arms)} have no data set in which both have a complete trial: resume the study"
        )
    return section(found, {n: metrics[n] for n in found}, (arms[0], arms[1]), "condition")


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__, "python -m analysis.compare", several=False)
    made.add_argument("other", nargs="?", type=Path, help="a second study")
    made.add_argument("--arms", help="two objectives, as emargin,infonce")
    made.add_argument("--metric", help="compare this metric alone")
    arguments: argparse.Namespace = made.parse_args(argv)
    arms = tuple(arguments.arms.split(",")) if arguments.arms else None
    if arms is not None and len(arms) != 2:
        raise UserError(f"--arms is '{arguments.arms}': give two objectives, as emargin,infonce")
    study = load(arguments.study)
    other = load(arguments.other) if arguments.other else None
    found = compared(study, other, arms=arms, metric=arguments.metric)
    show(found, study.folder / "report", arguments.formats.split(","))


if __name__ == "__main__":
    exit_on_user_error(main)
