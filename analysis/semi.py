"""Show whether labels on a few sequences raise accuracy and keep Silhouette, by label share and weight.

python -m analysis.semi runs/NAME [runs/OTHER ...]
"""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from analysis import charts, replicates
from analysis.errors import UserError, exit_on_user_error
from analysis.pareto import controls, goals
from analysis.sections import Figure, Section, parser, run
from analysis.statistics import holm, mean_interval, mean_p
from analysis.tables import Metric, Study, per_trial
from analysis.words import plural
from analysis.worlds import worlds

SHARE, WEIGHT = "label_share", "supervised_weight"
COLUMNS = (
    "trial",
    "method",
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
    "units",
    "end",
    "plain",
)


def labelled(study: Study) -> list[str]:
    """The methods that see some labels: those whose rows have a label share."""
    rows = study.rows[~study.rows["role"].isin(("reference", "upper bound")) & study.rows[SHARE].notna()]
    return [str(name) for name in rows["method"].unique()]


def label_settings(study: Study) -> set[str]:
    """The hyper-parameters that only methods with labels read, including the label share."""
    readers = {name for name, method in study.methods.items() if SHARE in method.hyperparameters}
    return {name for name, about in study.hyperparameters.items() if set(about.methods) <= readers}


def plain(study: Study, method: str) -> str | None:
    """The same method without labels: the one that reads all its other hyper-parameters and no more."""
    own = set(study.methods[method].hyperparameters) - label_settings(study)
    for name, about in study.methods.items():
        if about.role == "method" and set(about.hyperparameters) == own and name in set(study.rows["method"]):
            return name
    return None


def ends(study: Study, method: str) -> list[str]:
    """What a semi-supervised method is compared with: itself without labels, baselines, upper bounds."""
    rows = study.rows[~study.rows["method"].isin(labelled(study))]
    upper = [name for name, about in study.methods.items() if about.role == "upper bound"]
    named = [plain(study, method), *rows[rows["role"] == "baseline"]["method"].unique(), *upper]
    return [name for name in dict.fromkeys(named) if name is not None and (rows["method"] == name).any()]


def differences(study: Study, metrics: Sequence[Metric]) -> pd.DataFrame:
    """Each semi-supervised trial minus each end, paired by replicate: mean with t interval, Holm over trials.

    Of an end, the trial is taken whose setting is equal, or else nearest, in the hyper-parameters of both
    methods.
    """
    rows = []
    trials = study.rows.drop_duplicates("trial").set_index("trial")
    trials = trials[~controls(study, trials)]
    trials["world"] = worlds(trials)
    of = dict(iter(study.ok.groupby("trial")))
    for method in labelled(study):
        without = plain(study, method)
        for end in ends(study, method):
            shared = _shared(study, method, end)
            for trial, semi in trials[trials["method"] == method].iterrows():
                against = _nearest(trials[trials["method"] == end], semi, shared)
                if against is None or trial not in of or against not in of:
                    continue
                for metric in metrics:
                    gap = differences_of(of[trial], of[against], metric.name)
                    found = mean_interval(gap, within=metric.differences)
                    rows.append(
                        {name: semi.get(name) for name in ("world", "dataset", "method", SHARE, WEIGHT)}
                        | {"trial": trial, "against": against, "metric": metric.name}
                        | {"difference": found.estimate, "low": found.low, "high": found.high}
                        | {"p_holm": mean_p(gap), "units": found.n, "end": end, "plain": end == without}
                    )
    table = pd.DataFrame(rows, columns=COLUMNS)
    for _, family in table.groupby(["end", "metric"], sort=False):
        table.loc[family.index, "p_holm"] = holm(family["p_holm"].to_numpy())
    return table


def differences_of(a: pd.DataFrame, b: pd.DataFrame, metric: str) -> np.ndarray:
    """Independent differences of two trials' rows."""
    gap = replicates.differences(replicates.values(a, metric), replicates.values(b, metric))
    return gap.to_numpy(dtype=float)


def _shared(study: Study, method: str, end: str) -> list[str]:
    read = set(study.methods[end].hyperparameters) & set(study.methods[method].hyperparameters)
    return [name for name in study.setting_columns if name in read]


def _nearest(candidates: pd.DataFrame, semi: "pd.Series[Any]", shared: Sequence[str]) -> str | None:
    """The trial in the same world that agrees in most hyper-parameters; of these, the closest in numbers."""
    same = candidates[candidates["world"] == semi["world"]]
    if same.empty:
        return None
    distance = pd.Series(0.0, index=same.index)
    for name in shared:
        equal = same[name].eq(semi[name]) | (same[name].isna() & pd.isna(semi[name]))
        distance += 10.0 * ~equal
        numbers = pd.to_numeric(same[name], errors="coerce")
        own = pd.to_numeric(pd.Series([semi[name]]), errors="coerce").iloc[0]
        if pd.notna(own):
            distance += (numbers - own).abs().fillna(0).clip(upper=9)
    return str(distance.idxmin())


def section(study: Study) -> Section | None:
    """Semi-supervised trials between their ends, without labels and with all; None without such trials."""
    semi = labelled(study)
    if not study.ok["method"].isin(semi).any():
        return None
    x, y = goals(study)
    table = differences(study, (x, y))
    means = per_trial(study, [x.name, y.name])
    means = means[~controls(study, means)]
    means["world"] = worlds(means)
    means = means[means["world"].isin(means.loc[means["method"].isin(semi), "world"])]
    columns = ["trial", "world", "method", "label_share", "supervised_weight", x.name, y.name]
    return Section(
        name="semi",
        title="A few labels",
        intro=f"Can labels improve {y.title} while {x.title} is kept?",
        verdicts=tuple(sentences(study, table, x, y)),
        headlines=2,
        figures=(
            Figure(
                name="semi",
                title="Gain from labels",
                reading="Each dot is one label share and weight, minus the same method without labels, "
                "paired by replicate, with its 95 % t interval. Dots right of zero are gains in the metric. "
                "The table also has the differences to baselines and upper bounds.",
                charts=_gain_panels(table, x, y),
                table=table.drop(columns=["end", "plain"]),
            ),
            Figure(
                name="semi-ends",
                title="Between the two ends",
                reading="With label share and weight, a trial moves between the methods without labels and "
                "the encoder that is trained on all labels.",
                charts={
                    str(world): plane_chart(study, part, x, y)
                    for world, part in means.groupby("world", sort=False)
                },
                table=means[columns],
            ),
        ),
        notes=()
        if table["plain"].any()
        else (
            "The study has no trial of the same method without labels, so no gain from labels can be given.",
        ),
    )


def _gain_panels(table: pd.DataFrame, x: Metric, y: Metric) -> dict[str, ChartType]:
    panels: dict[str, ChartType] = {}
    for world, part in table.groupby("world", sort=False):
        for metric in (x, y):
            own = part[part["plain"] & (part["metric"] == metric.name)].dropna(subset=["difference"])
            if len(own):
                panels[f"{metric.title}, {world}"] = gain_chart(own, metric)
    return panels


def gain_chart(own: pd.DataFrame, metric: Metric) -> ChartType:
    """Differences to the method without labels by label share, a colour for each weight."""
    columns = ["label_share", "supervised_weight", "difference", "low", "high", "p_holm", "units", "trial"]
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


def plane_chart(study: Study, means: pd.DataFrame, x: Metric, y: Metric) -> ChartType:
    """Both goals: semi-supervised trials sized by label share, with the ends named."""
    named = means.dropna(subset=[x.name, y.name])
    named = named.assign(
        method=named["method"].map(study.method_title),
        share=named["label_share"].fillna(0).astype(float),
    )
    columns = ["trial", "method", "role", "share", "supervised_weight", x.name, y.name]
    base = alt.Chart(charts.compact(named, columns))
    at_x, at_y = charts.axis(alt.X, x.name, x), charts.axis(alt.Y, y.name, y)
    points = base.mark_point(opacity=0.75).encode(
        x=at_x,
        y=at_y,
        color=charts.method_colour(study, means["method"].unique()),
        shape=charts.method_shape(study, means["method"].unique()),
        size=alt.Size("share:Q", title="labelled share", scale=alt.Scale(range=[40, 260]), legend=None),
        tooltip=columns,
    )
    names = (
        base.transform_filter("datum.role == 'reference'")
        .mark_text(align="left", dx=9)
        .encode(x=at_x, y=at_y, text="method:N")
    )
    ends = bool((named["role"] == "reference").any())
    return charts.layered([(points, True), (names, ends)]).properties(
        width=charts.WIDTH + 120, height=charts.HEIGHT
    )


def sentences(study: Study, table: pd.DataFrame, x: Metric, y: Metric) -> list[str]:
    """For each world, method and end: the largest gain in y, and how x changed."""
    found = []
    worlds_there, methods = table["world"].nunique() > 1, table["method"].nunique() > 1
    for (world, method, end), part in table.groupby(["world", "method", "end"], sort=False):
        own = part.dropna(subset=["difference"])
        gains, kept = (own[own["metric"] == m.name].set_index("trial") for m in (y, x))
        if gains.empty:
            continue
        where = f" on {world}" if worlds_there else ""
        of = f" of {study.method_title(method)}" if methods else ""
        best = gains.loc[(gains["difference"] * (1 if y.best == "max" else -1)).idxmax()]
        change = kept.loc[best.name] if best.name in kept.index else None
        also = "" if change is None else f"; {x.title} changes by {_signed(change)}"
        shown = "a difference" if best["p_holm"] < 0.05 else "no difference"
        unit = replicates.unit_word(study.rows[study.rows["dataset"] == best["dataset"]])
        units = f"{best['units']} {plural(int(best['units']), unit)}"
        weight = best["supervised_weight"]
        with_weight = "" if pd.isna(weight) else f" with weight {weight:g}"
        found.append(
            f"Against {study.method_title(end)}{where}, the best {y.title}{of} comes from "
            f"{best['label_share']:.0%} labels{with_weight}: {_signed(best)} "
            f"over {units}; {shown} is shown beyond the spread of replicates{also}."
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
                "`python -m study.run --method emargin,emargin-semi --label-share 0.01,0.05,0.1`"
            )
        return found

    run(parser(__doc__, "python -m analysis.semi").parse_args(argv), needed)


if __name__ == "__main__":
    exit_on_user_error(main)
