"""Can labels on a few sequences buy accuracy without losing Silhouette? Label share x supervised weight.

python -m analysis.semi runs/NAME [runs/OTHER ...]
"""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from analysis import charts
from analysis.errors import UserError, exit_on_user_error
from analysis.pareto import goals, worlds
from analysis.sections import Figure, Section, parser, run
from analysis.statistics import holm, mean_p, paired_difference
from analysis.tables import Metric, Study, per_trial
from analysis.words import plural

SEMI, PLAIN = "emargin-semi", "emargin"
ENDS = (PLAIN, "infonce", "supervised")  # what they are compared with
SHARED = ("dataset", "snr_db", "split_seed")  # what a pair of trials must have in common
KNOBS = ("threshold", "margin", "temperature", "gate")  # and is matched where it can be
COLUMNS = (
    "trial",
    "against",
    "world",
    "dataset",
    "label_share",
    "supervised_weight",
    "metric",
    "difference",
    "low",
    "high",
    "p_holm",
    "seeds",
)


def differences(study: Study, metrics: Sequence[Metric]) -> pd.DataFrame:
    """Each semi-supervised trial minus each end, paired by seed: mean with t interval, p by Holm over trials.

    The unsupervised end is the eMargin trial nearest in its other settings, equal where the study has one.
    """
    rows = []
    trials = study.rows.drop_duplicates("trial").set_index("trial")
    trials["world"] = worlds(trials)
    values = {m.name: study.ok.pivot_table(index="trial", columns="seed", values=m.name) for m in metrics}
    for trial, semi in trials[trials["objective"] == SEMI].iterrows():
        for objective in ENDS:
            end = _nearest(trials[trials["objective"] == objective], semi)
            if end is None:
                continue
            for metric in metrics:
                a, b = _paired(values[metric.name], str(trial), end)
                found = paired_difference(a, b)
                rows.append(
                    {
                        "trial": trial,
                        "against": end,
                        "world": semi["world"],
                        "dataset": semi["dataset"],
                        "label_share": semi["label_share"],
                        "supervised_weight": semi["supervised_weight"],
                        "metric": metric.name,
                        "difference": found.estimate,
                        "low": found.low,
                        "high": found.high,
                        "p_holm": mean_p(a - b),
                        "seeds": found.n,
                        "end": objective,
                    }
                )
    table = pd.DataFrame(rows, columns=[*COLUMNS, "end"])
    for _, family in table.groupby(["end", "metric"], sort=False):
        table.loc[family.index, "p_holm"] = holm(family["p_holm"].to_numpy())
    return table


def _nearest(candidates: pd.DataFrame, semi: "pd.Series[object]") -> str | None:
    """The trial in the same world whose knobs agree in most places, then the closest in their numbers."""
    same = candidates
    for name in SHARED:
        value = semi[name]
        same = same[same[name].isna() if pd.isna(value) else same[name] == value]
    if same.empty:
        return None
    distance = pd.Series(0.0, index=same.index)
    for name in KNOBS:
        equal = same[name].eq(semi[name]) | (same[name].isna() & pd.isna(semi[name]))
        distance += 10.0 * ~equal
        numbers = pd.to_numeric(same[name], errors="coerce")
        own = pd.to_numeric(pd.Series([semi[name]]), errors="coerce").iloc[0]
        if pd.notna(own):
            distance += (numbers - own).abs().fillna(0).clip(upper=9)
    return str(distance.idxmin())


def _paired(values: pd.DataFrame, a: str, b: str) -> tuple[np.ndarray, np.ndarray]:
    """Two rows of a table (trials, seeds); nan where a trial has no result at a seed."""
    found = values.reindex([a, b]).to_numpy(dtype=float)
    return found[0], found[1]


def section(study: Study) -> Section | None:
    """Semi-supervised trials between their unsupervised and supervised ends; None where there are none."""
    if not (study.ok["objective"] == SEMI).any():
        return None
    x, y = goals(study)
    table = differences(study, (x, y))
    means = per_trial(study, [x.name, y.name])
    means["world"] = worlds(means)
    means = means[means["world"].isin(means.loc[means["objective"] == SEMI, "world"])]
    columns = ["trial", "world", "objective", "label_share", "supervised_weight", x.name, y.name]
    return Section(
        name="semi",
        title="A few labels",
        intro=f"Can a semi-supervised eMargin keep its {x.title} and gain {y.title}?",
        verdicts=tuple(sentences(table, x, y)),
        headlines=2,
        figures=(
            Figure(
                name="semi",
                title="Gain from labels",
                reading="Each dot is one label share and weight, minus eMargin without labels at the same "
                "seeds, with 95 % t intervals. Right of zero is a gain in the metric. The table also holds "
                "the differences to InfoNCE and to the supervised encoder.",
                charts=_gain_panels(table, x, y),
                table=table.drop(columns="end"),
            ),
            Figure(
                name="semi-ends",
                title="Between the two ends",
                reading="Label share and weight move a trial between the unsupervised ends and the encoder "
                "trained on all labels.",
                charts={
                    str(world): plane_chart(part, x, y) for world, part in means.groupby("world", sort=False)
                },
                table=means[columns],
            ),
        ),
        notes=()
        if (table["end"] == PLAIN).any()
        else ("No eMargin trial without labels is beside these, so no gain from labels can be given.",),
    )


def _gain_panels(table: pd.DataFrame, x: Metric, y: Metric) -> dict[str, ChartType]:
    panels: dict[str, ChartType] = {}
    for world, part in table.groupby("world", sort=False):
        for metric in (x, y):
            if len(_against(part, PLAIN, metric)):
                panels[f"{metric.title}, {world}"] = gain_chart(part, metric)
    return panels


def _against(table: pd.DataFrame, end: str, metric: Metric) -> pd.DataFrame:
    own = table[(table["end"] == end) & (table["metric"] == metric.name)]
    return own.dropna(subset=["difference"])


def gain_chart(table: pd.DataFrame, metric: Metric) -> ChartType:
    """Differences to unsupervised eMargin by label share, a colour for each weight."""
    own = _against(table, PLAIN, metric)
    columns = ["label_share", "supervised_weight", "difference", "low", "high", "p_holm", "seeds", "trial"]
    base = alt.Chart(charts.compact(own, columns))
    y = alt.Y("label_share:O", title="labelled share", axis=alt.Axis(format="~%"))
    few = own["supervised_weight"].nunique() <= 8
    shift = alt.YOffset("supervised_weight:O" if few else "trial:N")
    colour = alt.Color(f"supervised_weight:{'O' if few else 'Q'}", title="weight")
    x = alt.X("difference:Q", title=f"gain in {metric.title}")
    bars = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q"), x2="high:Q", y=y, yOffset=shift, color=colour
    )
    dots = base.mark_point(size=60, opacity=1).encode(x=x, y=y, yOffset=shift, color=colour, tooltip=columns)
    zero = base.mark_rule(strokeDash=[3, 3]).encode(x=alt.datum(0))
    return charts.layered([(zero, True), (bars, bool(own["low"].notna().any())), (dots, True)]).properties(
        width=charts.WIDTH,
        height=charts.rows_height(own["label_share"], 20, own["supervised_weight"].nunique() if few else 4),
    )


def plane_chart(means: pd.DataFrame, x: Metric, y: Metric) -> ChartType:
    """Both goals: semi-supervised trials sized by label share, with the ends named."""
    named = means.dropna(subset=[x.name, y.name])
    named = named.assign(
        method=named["objective"].map(charts.objective_title),
        share=named["label_share"].fillna(0).astype(float),
    )
    columns = ["trial", "method", "kind", "objective", "share", "supervised_weight", x.name, y.name]
    base = alt.Chart(charts.compact(named, columns))
    at_x, at_y = charts.axis(alt.X, x.name, x), charts.axis(alt.Y, y.name, y)
    points = base.mark_point(opacity=0.75).encode(
        x=at_x,
        y=at_y,
        color=charts.objective_colour(named["objective"].unique()),
        shape=charts.kind_shape(),
        size=alt.Size("share:Q", title="labelled share", scale=alt.Scale(range=[40, 260]), legend=None),
        tooltip=columns,
    )
    names = (
        base.transform_filter("datum.kind == 'reference'")
        .mark_text(align="left", dx=9)
        .encode(x=at_x, y=at_y, text="method:N")
    )
    ends = bool((named["kind"] == "reference").any())
    return charts.layered([(points, True), (names, ends)]).properties(
        width=charts.WIDTH + 120, height=charts.HEIGHT
    )


def sentences(table: pd.DataFrame, x: Metric, y: Metric) -> list[str]:
    """For each world and end: the best gain in y, and whether x was kept."""
    found = []
    several = table["world"].nunique() > 1
    for (world, end), part in table.groupby(["world", "end"], sort=False):
        gains, kept = (_against(part, str(end), m).set_index("trial") for m in (y, x))
        if gains.empty:
            continue
        where = f" on {world}" if several else ""
        sign = 1 if y.best == "max" else -1
        best = gains.loc[(gains["difference"] * sign).idxmax()]
        change = kept.loc[best.name] if best.name in kept.index else None
        also = "" if change is None else f"; {x.title} changes by {_signed(change)}"
        shown = "shown" if best["p_holm"] < 0.05 else "not shown beyond seed noise"
        seeds = f"{best['seeds']} {plural(int(best['seeds']), 'seed')}"
        found.append(
            f"Against {charts.objective_title(end)}{where}, the most {y.title} comes from "
            f"{best['label_share']:.0%} labels with weight {best['supervised_weight']:g}: {_signed(best)} "
            f"over {seeds}, {shown}{also}."
        )
    return found


def _signed(row: "pd.Series[float]") -> str:
    if pd.isna(row["low"]):
        return f"{row['difference']:+.3f}"
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def main(argv: Sequence[str] | None = None) -> None:
    def needed(study: Study) -> Section:
        found = section(study)
        if found is None:
            raise UserError(
                f"{study.folder} has no semi-supervised trial with results: run one with "
                "`python -m study.run --objective emargin,emargin-semi --label-share 0.01,0.05,0.1`"
            )
        return found

    run(parser(__doc__, "python -m analysis.semi").parse_args(argv), needed)


if __name__ == "__main__":
    exit_on_user_error(main)
