"""Measure which hyper-parameters matter for which metric, by Optuna's PED-ANOVA over the trials of a method.

    python -m analysis.importance runs/NAME [runs/OTHER ...]
    python -m analysis.importance runs/NAME --evaluator fanova

This needs Optuna: pip install 'emargin-study[study]'.
"""

import argparse
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import importance_charts
from analysis.errors import UserError, exit_on_user_error
from analysis.health import idle_gates
from analysis.pareto import best_of, goals
from analysis.sections import Figure, Section, parser, run
from analysis.tables import Metric, Study, as_given, per_trial, settings_text, varying
from analysis.worlds import worlds

MINIMUM = 10  # with fewer trials of a method, an importance would be noise
DRAWS = 15
PER_DRAW = 200  # trials in one draw: more change little and take long
EDGE = 0.05  # share of a range; if the best value is closer to an end, a wider range may be better
EVALUATORS = ("ped-anova", "fanova")
READINGS = {
    "shares": "A bar shows how much a hyper-parameter contributes to the difference between good and other "
    "trials. Whiskers contain 90 % of the values over resampled trials. Where whiskers overlap, the order is "
    "not clear.",
    "parallel": "Each line is a trial, coloured by its outcome. Where lines of one colour come together, "
    "that hyper-parameter matters. Axes are ranks, so that each is evenly filled.",
}


def importances(
    study: Study,
    table: pd.DataFrame,
    metrics: Sequence[Metric],
    *,
    evaluator: str = "ped-anova",
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Importance of each searched hyper-parameter for each metric, by world and method.

    The importances for one metric sum to 1. PED-ANOVA (Watanabe et al. 2023) measures what distinguishes the
    best tenth of trials; fANOVA (Hutter et al. 2014) measures what explains the variance of the metric.

    table: from `tables.per_trial`, with a column `world`

    Columns: `importance`, the mean over draws of the trials with replacement; `low` and `high`, the middle 90
    % of these draws; `on_all`, the value without resampling, which a few good trials can decide alone.
    """
    if evaluator not in EVALUATORS:
        raise UserError(f"--evaluator is '{evaluator}': choose one of {', '.join(EVALUATORS)}")
    rows = []
    trained = table[table["role"] != "reference"]
    for (world, method), arm in trained.groupby(["world", "method"], sort=False):
        names = searched_settings(study, arm)
        for metric in metrics:
            own = arm.dropna(subset=[metric.name])
            if len(own) < MINIMUM or len(names) < 2 or own[metric.name].nunique() < 2:
                continue
            trials = _as_trials(study, own, names, metric)
            rng = np.random.default_rng(0)
            size = min(len(trials), PER_DRAW)
            drawn = pd.DataFrame(
                _evaluate([trials[i] for i in rng.integers(0, len(trials), size)], metric, evaluator)
                for _ in range(draws)
            )
            whole = _evaluate(trials[:PER_DRAW], metric, evaluator)
            for name in names:
                low, high = drawn[name].quantile([0.05, 0.95])
                rows.append(
                    (
                        world,
                        method,
                        metric.name,
                        name,
                        drawn[name].mean(),
                        low,
                        high,
                        whole[name],
                        len(own),
                    )
                )
    columns = ["world", "method", "metric", "setting", "importance", "low", "high", "on_all", "trials"]
    return pd.DataFrame(rows, columns=columns)


def searched_settings(study: Study, arm: pd.DataFrame) -> list[str]:
    """Hyper-parameters that vary and that all trials of the arm have; of threshold and share, one."""
    given = as_given(arm)
    return [name for name in varying(study, arm) if given[name].notna().all()]


def _as_trials(study: Study, arm: pd.DataFrame, names: Sequence[str], metric: Metric) -> list[Any]:
    """The rows as finished Optuna trials. The range of a hyper-parameter is that of the values tried."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution
    from optuna.trial import create_trial

    distributions: dict[str, Any] = {}
    columns: dict[str, list[Any]] = {}
    for name in names:
        if pd.api.types.is_numeric_dtype(arm[name]):
            columns[name] = arm[name].astype(float).tolist()
            low, high = min(columns[name]), max(columns[name])
            distributions[name] = FloatDistribution(low, high, log=study.logarithmic(name) and low > 0)
        else:
            columns[name] = arm[name].astype(str).tolist()
            distributions[name] = CategoricalDistribution(sorted(set(columns[name])))
    return [
        create_trial(
            params=dict(zip(names, values, strict=True)), distributions=distributions, value=float(value)
        )
        for *values, value in zip(*(columns[name] for name in names), arm[metric.name], strict=True)
    ]


def _evaluate(trials: list[Any], metric: Metric, evaluator: str) -> dict[str, float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="minimize" if metric.best == "min" else "maximize")
    study.add_trials(trials)
    names = list(trials[0].params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental evaluators; draws whose best tenth is everything
        made: Any = (
            optuna.importance.PedAnovaImportanceEvaluator()
            if evaluator == "ped-anova"
            else optuna.importance.FanovaImportanceEvaluator(seed=0)
        )
        found = optuna.importance.get_param_importances(study, evaluator=made, params=names)
    return {name: float(found.get(name, 0.0)) for name in names}


def edges(study: Study, table: pd.DataFrame, metrics: Sequence[Metric]) -> pd.DataFrame:
    """Best complete trials with a value within a twentieth of the end of the range tried.

    Logarithmic hyper-parameters are measured on their scale. If the best trial is at the edge of a range, a
    wider range may contain a better one.
    """
    rows = []
    searched = table[(table["role"] != "reference") & table["complete"]]
    for (world, method), arm in searched.groupby(["world", "method"], sort=False):
        names = [
            n
            for n in searched_settings(study, arm)
            if pd.api.types.is_numeric_dtype(arm[n]) and arm[n].nunique() > 4
        ]
        for metric, other in zip(metrics, reversed(metrics), strict=True):
            own = arm.dropna(subset=[metric.name])
            if own.empty or metric.best is None:
                continue
            best = own.loc[best_of(own, metric, other)]
            for name in names:
                scale = np.log if study.logarithmic(name) and (arm[name] > 0).all() else np.asarray
                values = scale(arm[name].to_numpy(dtype=float))
                at = (float(scale(float(best[name]))) - values.min()) / np.ptp(values)
                if at < EDGE or at > 1 - EDGE:
                    end = "low" if at < EDGE else "high"
                    last = float(arm[name].min() if end == "low" else arm[name].max())
                    found = world, method, metric.name, name, float(best[name]), end, last, best["trial"]
                    rows.append(found)
    columns = ["world", "method", "metric", "setting", "value", "end", "last", "trial"]
    return pd.DataFrame(rows, columns=columns)


def section(study: Study, evaluator: str = "ped-anova") -> Section | None:
    """Importances and parallel coordinates; None with fewer than ten trials of any method."""
    x, y = goals(study)
    table = per_trial(study, [x.name, y.name])
    table["world"], table["setting"] = worlds(table), settings_text(study, table)
    try:
        found = importances(study, table, (x, y), evaluator=evaluator)
    except ModuleNotFoundError:
        reason = "Importances need Optuna, which is not installed: pip install 'emargin-study[study]'."
        return Section(name="importance", title="What matters", intro="", notes=(reason,))
    if found.empty:
        return None
    largest = found.groupby("method")["trials"].max().idxmax()
    return Section(
        name="importance",
        title="What matters",
        intro="Which hyper-parameters decide between good and bad trials?",
        verdicts=tuple(sentences(study, found, (x, y))),
        figures=(
            Figure(
                name="importance",
                title=f"Importance of each hyper-parameter ({evaluator})",
                reading=READINGS["shares"],
                charts={
                    m.title: importance_charts.shares(study, found[found["metric"] == m.name]) for m in (x, y)
                },
                table=found,
            ),
            Figure(
                name="importance-parallel",
                title="Hyper-parameters and outcomes side by side",
                reading=READINGS["parallel"],
                charts={
                    m.title: importance_charts.parallel(study, table, str(largest), m, y if m is x else x)
                    for m in (x, y)
                },
                table=edges(study, table, (x, y)),
            ),
        ),
        notes=(*idle_gates(study), *edge_notes(edges(study, table, (x, y)), study)),
    )


def sentences(study: Study, found: pd.DataFrame, metrics: Sequence[Metric]) -> list[str]:
    """The most important hyper-parameter of each method for each metric, and whether it is clearly first."""
    said = []
    titles = {m.name: m.title for m in metrics}
    several = found["world"].nunique() > 1
    for (world, method, metric), part in found.groupby(["world", "method", "metric"], sort=False):
        if len(part) < 2:
            continue
        first, second = part.sort_values("importance", ascending=False).iloc[[0, 1]].itertuples()
        where = f" on {world}" if several else ""
        clear = "clearly" if first.low > second.high else "not clearly"
        said.append(
            f"For {titles[metric]} of {study.method_title(method)}{where}, "
            f"{study.title(first.setting)} matters most ({first.importance:.0%}), and {clear} more than "
            f"{study.title(second.setting)} "
            f"({second.importance:.0%}), over {first.trials} trials."
        )
    return said


def edge_notes(found: pd.DataFrame, study: Study) -> list[str]:
    """One sentence for each hyper-parameter whose best value is at the end of its range, or close to it."""
    said = []
    for row in found.itertuples():
        if row.value == row.last:
            where = f"the {row.end} end of what was tried: values beyond it may be better"
        else:
            where = (
                f"close to the {row.end} end of what was tried ({row.last:.3g}): a wider range may hold a "
            )
            where += "better value"
        said.append(
            f"{study.method_title(row.method)} on {row.world} has its best {study.metrics[row.metric].title} "
            f"at {study.title(row.setting)} {row.value:.3g}, {where}."
        )
    return said


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__, "python -m analysis.importance")
    made.add_argument(
        "--evaluator", default="ped-anova", help="Measure importance by ped-anova (default) or fanova."
    )
    arguments: argparse.Namespace = made.parse_args(argv)

    def needed(study: Study) -> Section:
        found = section(study, arguments.evaluator)
        if found is None:
            raise UserError(
                f"{study.folder} has no method with {MINIMUM} trials and two varying hyper-parameters: "
                "run more trials"
            )
        return found

    run(arguments, needed)


if __name__ == "__main__":
    exit_on_user_error(main)
