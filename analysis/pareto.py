"""Draw the Pareto front of two metrics (means over replicates) beside baselines and references.

python -m analysis.pareto runs/NAME [runs/OTHER ...]
python -m analysis.pareto runs/NAME --x davies_bouldin --y knn_balanced_accuracy
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import charts, fronts, hypervolumes
from analysis.errors import UserError, exit_on_user_error
from analysis.pareto_charts import MAX_PANELS, front_figure
from analysis.replicates import unit_word
from analysis.sections import Section, parser, run
from analysis.statistics import FEWEST
from analysis.tables import Metric, Study, command, per_trial, settings_text
from analysis.words import begin, estimate, inline, listed, plural
from analysis.worlds import main_worlds, worlds

GOALS = ("silhouette", "probe_balanced_accuracy")


def goals(study: Study, x: str | None = None, y: str | None = None) -> tuple[Metric, Metric]:
    """The two goals: the given metrics, or the study's goals, or Silhouette and accuracy.

    Raises UserError for a metric without a better end.
    """
    own = list(dict.fromkeys([*(study.schema.goals or study.settings.get("goals", ())), *GOALS]))
    chosen = study.metric(x or own[0]), study.metric(y or own[1])
    for metric in chosen:
        if metric.best is None:
            raise UserError(
                f"'{metric.name}' has no better end, so it cannot be a goal: "
                "choose one that has, such as silhouette or davies_bouldin"
            )
    return chosen


def trade_off(study: Study, x: Metric, y: Metric) -> pd.DataFrame:
    """One row per trial with results in both metrics, without controls: as `tables.per_trial`, and

    world: the condition it was measured under, in words
    on_front: non-dominated among the complete trials of its method and world
    on_joint_front: non-dominated among all trained trials of its world
    front_probability: probability of being on the front of its method, given the spread of replicates; null
        where unknown
    """
    table = per_trial(study, [x.name, y.name]).dropna(subset=[x.name, y.name])
    table = table[~controls(study, table)].reset_index(drop=True)
    table["world"] = worlds(table)
    table["on_front"] = table["on_joint_front"] = False
    table["front_probability"] = np.nan
    trained = table["complete"] & (table["role"] != "reference")
    best = (x.best or "", y.best or "")
    rng = np.random.default_rng(0)
    for _, part in table[trained].groupby("world"):
        points = part[[x.name, y.name]].to_numpy()
        table.loc[part.index, "on_joint_front"] = fronts.non_dominated(points, best)
        for _, arm in part.groupby("method"):
            points = arm[[x.name, y.name]].to_numpy()
            table.loc[arm.index, "on_front"] = fronts.non_dominated(points, best)
            table.loc[arm.index, "front_probability"] = fronts.front_probability(
                points,
                arm[[f"{m.name}_error" for m in (x, y)]].to_numpy(dtype=float),
                arm["units"].to_numpy() - 1,
                best,
                rng=rng,
            )
    return table


def best_of(arm: pd.DataFrame, metric: Metric, other: Metric) -> Any:
    """Index of the best trial in a metric; among equal ones, the best in the other metric."""
    order = arm.sort_values(
        [metric.name, other.name], ascending=[m.best == "min" for m in (metric, other)], kind="stable"
    )
    return order.index[0]


def controls(study: Study, table: pd.DataFrame) -> pd.Series:
    """Whether each trial is a control: the file says that it is only for comparison (as a random gate is)."""
    found = pd.Series(False, index=table.index)
    for name, about in study.hyperparameters.items():
        if about.controls and name in table:
            found |= table[name].isin(about.controls)
    return found


def recommended(table: pd.DataFrame, x: Metric, y: Metric) -> pd.DataFrame:
    """The knee of each searched method's front, one row per world and method that has one."""
    rows = []
    searched = table[table["complete"] & (table["role"] == "searched")]
    for _, arm in searched.groupby(["world", "method"], sort=False):
        at = fronts.knee(arm[[x.name, y.name]].to_numpy(), (x.best or "", y.best or ""))
        if at is not None:
            rows.append(arm.iloc[at])
    return pd.DataFrame(rows, columns=table.columns)


def section(study: Study, x: str | None = None, y: str | None = None) -> Section:
    """Fronts, how searched methods compare with baselines, and a recommended setting."""
    a, b = goals(study, x, y)
    table = trade_off(study, a, b)
    table["setting"] = settings_text(study, table)
    name, title = "pareto", "The trade-off"
    intro = f"How well can {inline(a.title)} and {inline(b.title)} be reached together?"
    if table.empty:
        return Section(name, title, intro, notes=("No trial has both metrics: there is no front to draw.",))
    knees = recommended(table, a, b)
    knees = knees[knees["world"].isin(main_worlds(table))]
    said = findings(study, table, a, b)
    course = hypervolumes.figure(study, table, a, b)
    return Section(
        name,
        title,
        intro,
        verdicts=tuple(said),
        figures=(front_figure(study, table, a, b), *([course] if course else [])),
        notes=(*notes(study, table), *charts.thinned(len(table))),
        commands=tuple(command(study, row) for _, row in knees.iterrows()),
    )


def notes(study: Study, table: pd.DataFrame) -> list[str]:
    """What the front leaves out or cannot say."""
    found = []
    trials = study.rows.drop_duplicates("trial")
    aside = int(controls(study, trials).sum())
    if aside:
        found.append(
            f"{aside} {plural(aside, 'control')} (such as trials with a random gate) "
            f"{'is' if aside == 1 else 'are'} left out here: see the section on the threshold."
        )
    worlds_drawn = table["world"].nunique()
    if worlds_drawn > len(main_worlds(table)):
        found.append(
            "Sentences are about the least noisy condition of each dataset. The table has all "
            f"{worlds_drawn} conditions; the charts show {min(MAX_PANELS, worlds_drawn)}."
        )
    partial = int((~table["complete"]).sum())
    if partial:
        found.append(
            f"{partial} {plural(partial, 'trial')} lost replicates to divergence or failure: charts show the "
            "mean of the other replicates, and fronts leave these trials out."
        )
    most = int(table["units"].max())
    if most < FEWEST:
        unit = unit_word(study.rows)
        found.append(
            f"Every trial has at most {most} {plural(most, unit)}: no interval can be given, and the front "
            "may be luck."
        )
    return found


def findings(study: Study, table: pd.DataFrame, x: Metric, y: Metric) -> list[str]:
    """Sentences on the best value of each metric by method, the areas under the fronts, and the knee."""
    found = []
    main = main_worlds(table)
    several = table["world"].nunique() > 1
    sizes = hypervolumes.volumes(table, x, y)
    trained = table[table["complete"] & (table["role"] != "reference") & table["world"].isin(main)]
    for world, part in trained.groupby("world", sort=False):
        where = str(world) if several else ""
        for metric, other in ((x, y), (y, x)):
            rows = [arm.loc[best_of(arm, metric, other)] for _, arm in part.groupby("method", sort=False)]
            rows.sort(key=lambda row: row[metric.name], reverse=metric.best == "max")
            bests = [f"{estimate(row, metric.name)} ({study.method_title(row['method'])})" for row in rows]
            found.append(begin(where, f"the best {inline(metric.title)} is {listed(bests)}."))
        area = sizes[(sizes["world"] == world) & (sizes["budget"] >= hypervolumes.MINIMUM)]
        if len(area) > 1:
            each = [
                f"{study.method_title(row.method)} {row.at_equal_budget:.3f}" for row in area.itertuples()
            ]
            budget = area["budget"].iloc[0]
            found.append(
                begin(where, f"with {budget} trials each, the areas under the fronts are {listed(each)}.")
            )
    for _, row in recommended(table, x, y).iterrows():
        if row["world"] in main:
            found.append(
                begin(
                    row["world"] if several else "",
                    f"a compromise is {study.method_title(row['method'])} with {row['setting']}: "
                    f"{inline(x.title)} {row[x.name]:.3f}, {inline(y.title)} {row[y.name]:.3f}.",
                )
            )
    return found


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__, "python -m analysis.pareto")
    made.add_argument("--x", help="Show this metric on the x axis (default: the study's first goal).")
    made.add_argument("--y", help="Show this metric on the y axis (default: the study's second goal).")
    arguments: argparse.Namespace = made.parse_args(argv)
    run(arguments, lambda study: section(study, arguments.x, arguments.y))


if __name__ == "__main__":
    exit_on_user_error(main)
