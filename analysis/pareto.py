"""The Pareto front of two metrics, mean over seeds, beside baselines and references.

python -m analysis.pareto runs/NAME
python -m analysis.pareto runs/NAME --x davies_bouldin --y knn_balanced_accuracy
"""

import argparse
from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType
from scipy import stats

from analysis import charts, fronts
from analysis.errors import UserError, exit_on_user_error
from analysis.sections import Figure, Section, parser, run
from analysis.tables import Metric, Study, command, per_trial, settings_text

GOALS = ("silhouette", "probe_balanced_accuracy")
WORLD = ["dataset", "snr_db", "noise_kind"]  # trials are comparable within one of these
MAX_PANELS = 6


def goals(study: Study, x: str | None = None, y: str | None = None) -> tuple[Metric, Metric]:
    """The two metrics to trade off: as given, else the study's own goals, else Silhouette and accuracy."""
    own = [name for name in study.settings.get("goals", []) if name in study.metrics]
    own = [*own, *(name for name in GOALS if name not in own)]
    chosen = study.metric(x or own[0]), study.metric(y or own[1])
    for metric in chosen:
        if metric.best is None:
            raise UserError(
                f"'{metric.name}' has no better end, so it cannot be a goal: "
                "choose one that has, such as silhouette or davies_bouldin"
            )
    return chosen


def trade_off(study: Study, x: Metric, y: Metric) -> pd.DataFrame:
    """One row per trial with results in both metrics, as `tables.per_trial`, and

    world: the condition it was measured under, in words
    on_front: non-dominated among the complete trials of its objective and world
    on_joint_front: likewise among all trained trials of its world
    front_probability: of being on its objective's front, seed noise considered; null where unknown
    """
    table = per_trial(study, [x.name, y.name]).dropna(subset=[x.name, y.name]).reset_index(drop=True)
    table["world"] = worlds(table)
    table["on_front"] = table["on_joint_front"] = False
    table["front_probability"] = np.nan
    trained = table["complete"] & (table["kind"] != "reference")
    best = (x.best or "", y.best or "")
    rng = np.random.default_rng(0)
    for _, part in table[trained].groupby("world"):
        points = part[[x.name, y.name]].to_numpy()
        table.loc[part.index, "on_joint_front"] = fronts.non_dominated(points, best)
        for _, arm in part.groupby("objective"):
            points = arm[[x.name, y.name]].to_numpy()
            table.loc[arm.index, "on_front"] = fronts.non_dominated(points, best)
            table.loc[arm.index, "front_probability"] = fronts.front_probability(
                points, _standard_errors(arm, x, y), arm["ok"].to_numpy() - 1, best, rng=rng
            )
    return table


def worlds(table: pd.DataFrame) -> pd.Series:
    """The condition of each row in words: dataset, and noise where it differs within the table."""
    named = table["dataset"].astype(str)
    if table["snr_db"].nunique(dropna=False) > 1:
        snr = table["snr_db"].map(lambda v: "no added noise" if pd.isna(v) else f"{float(v):g} dB")
        named = named + ", " + snr
        if table["noise_kind"].nunique() > 1:
            named = named + " " + table["noise_kind"].fillna("").astype(str)
    return named


def _standard_errors(table: pd.DataFrame, x: Metric, y: Metric) -> np.ndarray:
    """(n, 2): the half width of a t interval over its quantile."""
    quantile = stats.t.ppf(0.975, np.where(table["ok"] > 1, table["ok"] - 1, np.nan))
    halves = [(table[f"{m.name}_high"] - table[f"{m.name}_low"]) / 2 / quantile for m in (x, y)]
    return np.column_stack(halves)


def reference_point(table: pd.DataFrame, x: Metric, y: Metric) -> tuple[float, float]:
    """Where hypervolume is measured from: the worst end of each metric's range, or the worst mean seen."""
    return tuple(  # type: ignore[return-value]
        end if np.isfinite(end := m.low if m.best == "max" else m.high) else float(_worst(table[m.name], m))
        for m in (x, y)
    )


def _worst(values: pd.Series, metric: Metric) -> float:
    return values.min() if metric.best == "max" else values.max()


def volumes(table: pd.DataFrame, x: Metric, y: Metric) -> pd.DataFrame:
    """Hypervolume of each objective in each world.

    hypervolume: of all its trials
    at_equal_budget: expected for as many trials as the world's smallest arm has (`budget`)
    """
    best, reference = (x.best or "", y.best or ""), reference_point(table, x, y)
    rng = np.random.default_rng(0)
    found = []
    trained = table[table["complete"] & (table["kind"] != "reference")]
    for world, part in trained.groupby("world", sort=False):
        smallest = part.groupby("objective").size().min()
        for objective, arm in part.groupby("objective", sort=False):
            points = arm[[x.name, y.name]].to_numpy()
            equal = fronts.expected_hypervolume(points, reference, best, size=smallest, rng=rng)
            found.append(
                {
                    "world": world,
                    "objective": objective,
                    "trials": len(arm),
                    "hypervolume": fronts.hypervolume(points, reference, best),
                    "at_equal_budget": equal,
                    "budget": smallest,
                    "reference_x": reference[0],
                    "reference_y": reference[1],
                }
            )
    return pd.DataFrame(found)


def recommended(table: pd.DataFrame, x: Metric, y: Metric) -> pd.DataFrame:
    """The knee of each searched objective's front, one row per world and objective that has one."""
    rows = []
    searched = table[table["complete"] & (table["kind"] == "searched")]
    for _, arm in searched.groupby(["world", "objective"], sort=False):
        at = fronts.knee(arm[[x.name, y.name]].to_numpy(), (x.best or "", y.best or ""))
        if at is not None:
            rows.append(arm.iloc[at])
    return pd.DataFrame(rows, columns=table.columns)


def section(study: Study, x: str | None = None, y: str | None = None) -> Section:
    """Fronts, what they say about the searched objectives beside the baselines, and a recommended setting."""
    a, b = goals(study, x, y)
    table = trade_off(study, a, b)
    table["setting"] = settings_text(table)
    notes = []
    if table["world"].nunique() > MAX_PANELS:
        notes.append(
            f"Of {table['world'].nunique()} conditions, {MAX_PANELS} are drawn; the tables hold all."
        )
    partial = int((~table["complete"]).sum())
    if partial:
        notes.append(
            f"{partial} {plural(partial, 'trial')} lost seeds to divergence or failure: they are drawn, "
            "with the mean of the seeds that are left, but kept out of fronts."
        )
    if not table.empty and table["ok"].max() < 2:
        notes.append("Every trial has a single seed, so no interval can be given and the front may be luck.")
    knees = recommended(table, a, b)
    return Section(
        name="pareto",
        title="The trade-off",
        intro=f"How much {a.title} and how much {b.title} can be had together?",
        verdicts=tuple(findings(table, a, b)),
        figures=(front_figure(table, a, b),) if len(table) else (),
        notes=tuple(notes) if len(table) else ("No trial has both metrics, so there is no front to draw.",),
        commands=tuple(command(row, study.settings.get("data_dir")) for _, row in knees.iterrows()),
    )


def findings(table: pd.DataFrame, x: Metric, y: Metric) -> list[str]:
    """Sentences: best of each metric by objective, area under the fronts at equal budgets, the knee."""
    found = []
    several = table["world"].nunique() > 1
    sizes = volumes(table, x, y) if len(table) else pd.DataFrame()
    for world, part in table[table["complete"] & (table["kind"] != "reference")].groupby("world", sort=False):
        where = str(world) if several else ""
        for metric in (x, y):
            bests = [_best(arm, metric) for _, arm in part.groupby("objective", sort=False)]
            found.append(_begin(where, f"best {metric.title}: {'; '.join(bests)}."))
        area = sizes[sizes["world"] == world]
        if len(area) > 1:
            each = ", ".join(
                f"{charts.objective_title(o)} {v:.3f}"
                for o, v in zip(area["objective"], area["at_equal_budget"], strict=True)
            )
            origin = f"({area['reference_x'].iloc[0]:.3g}, {area['reference_y'].iloc[0]:.3g})"
            found.append(
                _begin(
                    where,
                    f"area under the front for {area['budget'].iloc[0]} trials each, from {origin}: {each}.",
                )
            )
    for _, row in recommended(table, x, y).iterrows():
        where = f" on {row['world']}" if several else ""
        found.append(
            f"A compromise{where}: {charts.objective_title(row['objective'])} with {row['setting']} "
            f"({x.title} {row[x.name]:.3f}, {y.title} {row[y.name]:.3f})."
        )
    return found


def _begin(where: str, sentence: str) -> str:
    return f"On {where}: {sentence}" if where else sentence[0].upper() + sentence[1:]


def plural(n: int, word: str) -> str:
    """The word for so many things."""
    return word if n == 1 else f"{word}s"


def _best(arm: pd.DataFrame, metric: Metric) -> str:
    at = arm[metric.name].idxmax() if metric.best == "max" else arm[metric.name].idxmin()
    row = arm.loc[at]
    low, high = row[f"{metric.name}_low"], row[f"{metric.name}_high"]
    interval = f" [{low:.3f}, {high:.3f}]" if pd.notna(low) else ""
    return f"{charts.objective_title(row['objective'])} {row[metric.name]:.3f}{interval}"


def front_figure(table: pd.DataFrame, x: Metric, y: Metric) -> Figure:
    """Every trial with its intervals, each objective's front joined; a panel for each world."""
    panels: dict[str, ChartType] = {}
    for world, part in list(table.groupby("world", sort=False))[:MAX_PANELS]:
        panels[str(world)] = front_chart(part, x, y)
    columns = ["trial", "world", "objective", "kind", "setting", "seeds", "ok", "on_front", "on_joint_front"]
    columns += ["front_probability"]
    columns += [f"{m.name}{end}" for m in (x, y) for end in ("", "_low", "_high")]
    shown = table.sort_values(["on_front", x.name], ascending=[False, x.best == "min"])
    return Figure(
        name="pareto",
        title=f"{x.title} against {y.title}",
        reading="Each point is a trial, the mean of its seeds; whiskers are 95 % t intervals. Steps join an "
        f"objective's trials that none of its others beats in both metrics. Best is {_corner(x, y)}; "
        "diamonds are references that were not searched.",
        charts=panels,
        table=shown[columns],
    )


def _corner(x: Metric, y: Metric) -> str:
    up = "top" if y.best == "max" else "bottom"
    return f"{up} {'right' if x.best == 'max' else 'left'}"


def front_chart(trials: pd.DataFrame, x: Metric, y: Metric) -> ChartType:
    """One world: points with t intervals, fronts as steps, references named; hover shows the settings."""
    columns = ["trial", "kind", "setting", "on_front", "ok", "seeds", "complete", "front_probability"]
    columns += [f"{m.name}{end}" for m in (x, y) for end in ("", "_low", "_high")]
    data = charts.compact(
        trials.assign(method=trials["objective"].map(charts.objective_title)), [*columns, "method"]
    )
    keep = data["on_front"] | (data["kind"] != "searched")
    base = alt.Chart(charts.thin(data, keep))
    colour = charts.objective_colour(trials["objective"].unique())
    at_x, at_y = charts.axis(alt.X, x.name, x), charts.axis(alt.Y, y.name, y)
    faded = alt.condition("datum.on_front || datum.kind == 'reference'", alt.value(0.95), alt.value(0.35))
    whisker = base.transform_filter("datum.on_front || datum.kind != 'searched'").mark_rule(opacity=0.45)
    points = base.mark_point(size=64).encode(
        x=at_x,
        y=at_y,
        color=colour,
        shape=charts.kind_shape(),
        opacity=faded,
        tooltip=[
            alt.Tooltip("method:N", title="method"),
            alt.Tooltip("trial:N", title="trial"),
            alt.Tooltip("setting:N", title="setting"),
            alt.Tooltip(f"{x.name}:Q", title=x.title, format=".3f"),
            alt.Tooltip(f"{y.name}:Q", title=y.title, format=".3f"),
            alt.Tooltip("ok:Q", title="seeds with results"),
            alt.Tooltip("front_probability:Q", title="probability of being on the front", format=".2f"),
        ],
    )
    steps = (
        base.transform_filter("datum.on_front")
        .mark_line(
            interpolate="step-before" if x.best == "max" else "step-after", opacity=0.8, strokeWidth=1.5
        )
        .encode(x=at_x, y=at_y, color=colour, order=alt.Order(f"{x.name}:Q"))
    )
    left = _crowded(data[data["kind"] == "reference"], x.name, y.name)
    named = base.transform_filter("datum.kind == 'reference'").encode(x=at_x, y=at_y, text="method:N")
    beside = alt.FieldOneOfPredicate(field="trial", oneOf=left)
    layers = [
        whisker.encode(x=alt.X(f"{x.name}_low:Q"), x2=f"{x.name}_high:Q", y=at_y, color=colour),
        whisker.encode(y=alt.Y(f"{y.name}_low:Q"), y2=f"{y.name}_high:Q", x=at_x, color=colour),
    ]
    if not data[f"{x.name}_low"].notna().any():
        layers = []  # an empty layer would have no extent to scale to
    if data["on_front"].any():
        layers.append(steps)
    layers.append(points)
    if (data["kind"] == "reference").sum() > len(left):
        layers.append(named.transform_filter(~beside).mark_text(align="left", dx=9))
    if left:
        layers.append(named.transform_filter(beside).mark_text(align="right", dx=-9))
    return alt.layer(*layers).properties(width=charts.WIDTH + 120, height=charts.HEIGHT + 40)


def _crowded(references: pd.DataFrame, x: str, y: str) -> list[str]:
    """Trials whose name would run into the next reference's on its right: they are named on their left."""
    spread = references[[x, y]].max() - references[[x, y]].min()
    found = []
    for _, row in references.iterrows():
        right = references[(references[x] > row[x]) & (references[x] - row[x] < 0.5 * spread[x])]
        if ((right[y] - row[y]).abs() < 0.06 * spread[y]).any():
            found.append(row["trial"])
    return found


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__, "python -m analysis.pareto")
    made.add_argument("--x", help="metric on the x axis (default: the study's first goal)")
    made.add_argument("--y", help="metric on the y axis (default: the study's second goal)")
    arguments: argparse.Namespace = made.parse_args(argv)
    run(arguments, lambda study: section(study, arguments.x, arguments.y))


if __name__ == "__main__":
    exit_on_user_error(main)
