"""Compare methods: metrics by dataset with intervals over splits, average ranks and costs.

python -m analysis.methods runs/sleep runs/ecg runs/hapt
python -m analysis.methods runs/* --metrics silhouette,knn_balanced_accuracy --rank-references

Each method is shown at its best setting on validation, metric by metric, and measured on test subjects where
there are some. Published figures are listed beside ours, with their protocol, and never enter a rank.
"""

import argparse
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from analysis import methods_charts, ranks, terms
from analysis.errors import exit_on_user_error
from analysis.headlines import UPPER_BOUND
from analysis.markdown import bounds
from analysis.pareto import best_of, controls, goals
from analysis.published import beside
from analysis.replicates import unit_word
from analysis.sections import Figure, Section, parser, run
from analysis.statistics import FEWEST
from analysis.tables import Metric, Study, per_trial, settings_text
from analysis.words import inline, listed, plural
from analysis.worlds import main_worlds, worlds

MORE = ("davies_bouldin", "nmi", "probe_accuracy", "knn_balanced_accuracy", "mlp_balanced_accuracy")
SHARED = "shared"  # variant of a method on the encoder that all share; of older rows, which do not say
FEWEST_METHODS = 3  # trained, for a section of the report


def chosen_metrics(study: Study, names: Sequence[str] | None = None) -> list[Metric]:
    """The metrics as named, else the goals and the usual others that were measured; each has a better end.

    Raises UserError for one that does not exist, or that has no better end.
    """
    if names:
        return [goals(study, name, name)[0] for name in names]
    pair = goals(study)
    usual = [study.metrics[name] for name in MORE if name in study.metrics and study.metrics[name].best]
    found = {metric.name: metric for metric in (*pair, *usual)}
    return [metric for metric in found.values() if study.ok[metric.name].notna().any()]


def table(study: Study, metrics: Sequence[Metric]) -> pd.DataFrame:
    """One row for each dataset, method (in each variant) and metric, at the dataset's least noise.

    title: the method with its variant, where that is not the shared encoder
    side: "test" or "validation", the same for all methods of a dataset and metric
    value, low, high: of the method's best setting on validation; null without a complete trial that has it
    setting, settings: which one, and how many complete ones there were to choose from
    units, replicates: independent splits (else seeds) and trainings behind the value
    asked, ok: trainings of the method on the dataset, and those with results; seconds: mean of one training
    """
    terms.check_same_data(study)
    needed = [*metrics, *goals(study)]
    names = [name for m in needed for name in (m.name, f"test_{m.name}") if name in study.metrics]
    trials = per_trial(study, list(dict.fromkeys(names)))
    trials["world"] = worlds(trials)
    trials = trials[trials["world"].isin(main_worlds(trials)) & ~controls(study, trials)]
    trials["setting"] = settings_text(study, trials)
    trials["variant"] = variants(study, trials)
    costs = seconds(study)
    rows = []
    for (dataset, method, variant), own in trials.groupby(["dataset", "method", "variant"], sort=False):
        bound = study.methods[str(method)].role == UPPER_BOUND
        about = {"dataset": dataset, "method": method, "variant": variant}
        about |= {"role": UPPER_BOUND if bound else own["role"].iloc[0]}
        about |= {"title": titled(study, str(method), str(variant))}
        about |= {"asked": int(own["replicates"].sum()), "ok": int(own["ok"].sum())}
        about |= {"seconds": float(costs[costs.index.isin(own["trial"])].mean())}
        for metric in metrics:
            other = next((m for m in goals(study) if m.name != metric.name), metric)
            rows.append(about | _best(own[own["complete"]], metric, other))
    made = pd.DataFrame(rows)
    for _, cell in made.groupby(["dataset", "metric"]):
        _take_side(made, cell)
    order = {name: i for i, name in enumerate(study.methods)}
    made["order"] = made["method"].map(order)
    made = made.sort_values(["dataset", "order", "variant"], kind="stable", ignore_index=True)
    return made.drop(columns=["order", "on_test", "on_validation"])


def _best(complete: pd.DataFrame, metric: Metric, other: Metric) -> dict[str, object]:
    """The best setting in a metric, with its value on both sides; nulls where there is none."""
    measured = complete.dropna(subset=[metric.name])
    none: dict[str, object] = {"metric": metric.name, "settings": len(measured), "setting": None, "units": 0}
    none |= {"replicates": 0, "on_test": (np.nan,) * 3, "on_validation": (np.nan,) * 3}
    if measured.empty:
        return none
    row = measured.loc[best_of(measured, metric, other)]
    sides = {"on_test": f"test_{metric.name}", "on_validation": metric.name}
    values = {
        side: tuple(float(row[c]) if c in row else np.nan for c in (name, f"{name}_low", f"{name}_high"))
        for side, name in sides.items()
    }
    return none | values | {name: row[name] for name in ("setting", "units", "replicates")}


def _take_side(made: pd.DataFrame, cell: pd.DataFrame) -> None:
    """Test subjects where every method that has a value has it there, so that no column mixes both."""
    known = [
        pair for pair in zip(cell["on_test"], cell["on_validation"], strict=True) if pd.notna(pair[1][0])
    ]
    tested = bool(known) and all(pd.notna(test[0]) for test, _ in known)
    made.loc[cell.index, "side"] = "test" if tested else "validation"
    values = np.array(list(cell["on_test" if tested else "on_validation"]), dtype=float)
    made.loc[cell.index, ["value", "low", "high"]] = values


def variants(study: Study, trials: pd.DataFrame) -> pd.Series:
    """The encoder variant of each trial: `shared` where the study does not say, `none` for references."""
    otherwise = trials["role"].map(lambda role: "none" if role == "reference" else SHARED)
    if "encoder_variant" not in study.rows:
        return otherwise
    known = study.rows.drop_duplicates("trial").set_index("trial")["encoder_variant"]
    return trials["trial"].map(known).fillna(otherwise)


def titled(study: Study, method: str, variant: str) -> str:
    """A method's title, with its variant where that is not `shared` and not in the title already."""
    title = study.method_title(method)
    return title if variant in (SHARED, "none") or variant in title else f"{title} ({variant})"


def seconds(study: Study) -> "pd.Series[float]":
    """Mean seconds of one training, by trial; trainings in one stack share their time."""
    if "train_seconds" not in study.rows:
        return pd.Series(dtype=float)
    ok = study.ok
    members = pd.to_numeric(ok["stack_members"]).fillna(1) if "stack_members" in ok else 1
    return (pd.to_numeric(ok["train_seconds"]) / members).groupby(ok["trial"]).mean()


def wide(made: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """A metric by method (rows) and dataset (columns) as text, and the mean seconds of a training."""
    own = made[made["metric"] == metric.name]
    cells = own.assign(text=bounds(own, "value", "low", "high"))
    found = cells.pivot_table(index="title", columns="dataset", values="text", aggfunc="first", sort=False)
    cost = own.groupby("title", sort=False)["seconds"].mean()
    found["seconds"] = cost.map(lambda s: "–" if pd.isna(s) else f"{s:.2g}")
    return found.fillna("–").reset_index().rename(columns={"title": "method"})


def scores(made: pd.DataFrame, metric: Metric, *, references: bool = False) -> tuple[pd.DataFrame, list[str]]:
    """Values by dataset (rows) and method (columns), and the titles of methods that lack a dataset.

    references: whether encoders that are not trained take part
    """
    own = made[made["metric"] == metric.name]
    own = own[~own["role"].isin([UPPER_BOUND] if references else methods_charts.UNTRAINED)]
    wide = own.pivot_table(index="dataset", columns="title", values="value", sort=False, dropna=False)
    lacking = wide.columns[wide.isna().any()]
    return wide.drop(columns=lacking), list(map(str, lacking))


def ranked(
    made: pd.DataFrame, metric: Metric, *, references: bool = False
) -> tuple[pd.DataFrame, ranks.Ranks | None, str]:
    """(average rank by method, best first, the test, a sentence); no ranks where they mean nothing."""
    wide, lacking = scores(made, metric, references=references)
    n, k = wide.shape
    name = inline(metric.title)
    left_out = ""
    if lacking:
        one = len(lacking) == 1
        left_out = f" {listed(lacking)} {'is' if one else 'are'} left out, without a value on every dataset."
    if n < ranks.FEWEST_SETS:
        why = "there is one dataset" if n == 1 else "there is no dataset"
        return pd.DataFrame(), None, f"No ranks: {why}, and ranks are averages over datasets."
    if k < ranks.FEWEST_METHODS:
        why = f"{k} {plural(k, 'method')} with a value on every dataset, where three are needed"
        return pd.DataFrame(), None, f"No ranks by {name}: {why}.{left_out}"
    found = ranks.average_ranks(wide.to_numpy(), higher_is_better=metric.best == "max")
    order = np.argsort(found.average, kind="stable")
    listing = pd.DataFrame(
        {"metric": metric.name, "method": wide.columns[order], "rank": found.average[order]}
    )
    return listing, found, _rank_sentence(name, listing, found) + left_out


def _rank_sentence(name: str, listing: pd.DataFrame, found: ranks.Ranks) -> str:
    n, k = found.ranks.shape
    first, last = listing.iloc[0], listing.iloc[-1]
    test = f"Friedman's test, p = {found.friedman_p:.2g}"
    span = f"average ranks run from {first['rank']:.2f} ({first['method']}) to "
    span += f"{last['rank']:.2f} ({last['method']})"
    if not found.can_differ:
        return (
            f"By {name}, no two of {k} methods can be told apart over {n} datasets: ranks would have to "
            f"differ by {found.critical_difference:.1f}, and they end at {k}; {span} ({test})."
        )
    if found.friedman_p >= ranks.LEVEL:
        return f"By {name}, no method is shown to differ over {n} datasets ({test}); {span}."
    tied = listing[listing["rank"] - first["rank"] < found.critical_difference]["method"].iloc[1:]
    apart = f"not told apart from {listed(list(tied))}" if len(tied) else "told apart from all others"
    return (
        f"By {name}, {first['method']} ranks first of {k} methods over {n} datasets (average rank "
        f"{first['rank']:.2f}; {test}) and is {apart} (critical difference {found.critical_difference:.2f})."
    )


def section(study: Study, names: Sequence[str] | None = None, *, references: bool = False) -> Section:
    """Table and charts of methods by metric and dataset, ranks, costs, and published figures."""
    metrics = chosen_metrics(study, names)
    made = table(study, metrics)
    listings, sentences, diagrams = [], [], {}
    for metric in metrics:
        listing, test, said = ranked(made, metric, references=references)
        sentences.append(said)
        if test is not None:
            listings.append(listing)
            diagrams[metric.title] = methods_charts.rank_chart(listing, test)
    figures = [
        Figure(
            name=f"methods-{metric.name.replace('_', '-')}",
            title=f"{metric.title} of each method",
            reading=_reading(made, metric, unit_word(study.rows)),
            charts=methods_charts.panels(study, made[made["metric"] == metric.name], metric),
            table=made[made["metric"] == metric.name].drop(columns="metric"),
            printed=wide(made, metric),
        )
        for metric in metrics
        if made.loc[made["metric"] == metric.name, "value"].notna().any()
    ]
    if diagrams:
        figures.append(
            Figure(
                name="methods-ranks",
                title="Average ranks",
                reading="Rank 1 is best. Bars join methods whose average ranks are not told apart (Nemenyi, "
                "5 %); the line CD is as long as the critical difference.",
                charts=diagrams,
                table=pd.concat(listings, ignore_index=True),
            )
        )
    theirs = beside(made.rename(columns={"method": "name", "title": "method"}))
    if len(theirs):
        figures.append(
            Figure(
                name="methods-published",
                title="Published figures",
                reading="These figures come from other recordings, splits, encoders and probes; each row "
                "names its protocol. Our values are beside them for orientation only; nothing in this table "
                "enters a chart, a mean or a rank.",
                charts={},
                table=theirs,
            )
        )
    return Section(
        name="methods",
        title="The methods",
        intro="Each method is shown at its best setting on validation, metric by metric.",
        verdicts=tuple(dict.fromkeys(sentences)),
        figures=tuple(figures),
        notes=(*terms.notes(made), *terms.unequal(study)),
    )


def report_section(study: Study) -> Section | None:
    """The section of the report, on the study's goals; None with fewer than three trained methods."""
    trained = study.rows[study.rows["role"] != "reference"]
    names = list(dict.fromkeys(goal.name for goal in goals(study)))
    return section(study, names) if trained["method"].nunique() >= FEWEST_METHODS else None


def _reading(made: pd.DataFrame, metric: Metric, unit: str) -> str:
    sides = made.loc[made["metric"] == metric.name].groupby("dataset", sort=False)["side"].first()
    where = "; ".join(f"{dataset}: {side} subjects" for dataset, side in sides.items())
    return (
        f"A point is a mean with its 95 % t interval over {unit}s ({where}); with fewer than {FEWEST} "
        f"{unit}s there is no interval. Hollow shapes are references and the encoder trained with all "
        "labels. A method without a value has no complete trial."
    )


def main(argv: Iterable[str] | None = None) -> None:
    made = parser(__doc__, "python -m analysis.methods")
    made.add_argument(
        "--metrics",
        metavar="NAMES",
        help="Compare by these metrics, a list a,b,c (default: the goals and others).",
    )
    made.add_argument(
        "--rank-references",
        action="store_true",
        help="Also rank the references (raw spectra, PCA and the like).",
    )
    arguments: argparse.Namespace = made.parse_args(argv)
    names = [name.strip() for name in (arguments.metrics or "").split(",") if name.strip()]
    run(arguments, lambda study: section(study, names, references=arguments.rank_references))


if __name__ == "__main__":
    exit_on_user_error(main)
