"""Whether a study can be trusted: what ended, what is missing, what sits at an edge."""

import pandas as pd

from analysis.pareto import goals
from analysis.sections import Figure, Section
from analysis.tables import Study, per_trial, settings_text
from analysis.verdicts import IDLE
from analysis.words import plural

FEW_SEEDS = 5  # t intervals of fewer are wide: at 3 seeds 2.5 standard deviations each way


def section(study: Study) -> Section:
    """Fates by method, then every reason for caution."""
    fates = by_method(study)
    return Section(
        name="health",
        title="Health",
        intro="What ended, what did not, and what to be careful about.",
        notes=tuple(cautions(study)),
        figures=(
            Figure(
                name="health",
                title="How trainings ended",
                reading="Rows (trial × seed) by method; what diverged or failed is counted.",
                charts={},
                table=fates,
            ),
            trials_figure(study),
        ),
    )


def by_method(study: Study) -> pd.DataFrame:
    """Rows of each method by status, and its trials."""
    rows = study.rows
    table = pd.crosstab(rows["method"], rows["status"])
    table = table.reindex(columns=["ok", "diverged", "failed"], fill_value=0)
    table.insert(0, "trials", rows.groupby("method")["trial"].nunique())
    return table.reset_index()


def cautions(study: Study) -> list[str]:
    """Reasons not to over-read the study, each a sentence."""
    rows, found = study.rows, []
    for _, row in by_method(study).iterrows():
        n = row["ok"] + row["diverged"] + row["failed"]
        name = study.method_title(row["method"])
        if row["diverged"] == n:
            found.append(f"All {n} trainings of {name} diverged: nothing can be said of what it learns.")
        elif row["diverged"]:
            found.append(
                f"{row['diverged']} of {n} trainings of {name} diverged: its means are of the survivors."
            )
        if row["failed"]:
            reasons = rows[(rows["method"] == row["method"]) & (rows["status"] == "failed")]
            why = (
                reasons["error"].dropna().astype(str).value_counts()
                if "error" in rows
                else pd.Series(dtype=int)
            )
            most = f", most often with “{why.index[0][:120]}”" if len(why) else ""
            found.append(f"{row['failed']} of {n} trainings of {name} failed{most}.")
    found += idle_gates(study)
    seeds = rows[rows["role"] == "searched"].groupby("trial").size()
    if len(seeds) and seeds.max() < FEW_SEEDS:
        n = int(seeds.max())
        how = "no interval can be given" if n == 1 else "intervals are wide"
        found.append(
            f"At most {n} {plural(n, 'seed')} a trial: {how}; {FEW_SEEDS} or more tell settings apart."
        )
    if study.schema.unknown:
        found.append(
            f"results.parquet does not say what its columns {', '.join(study.schema.unknown)} are: no analysis "
            "uses them."
        )
    if study.absent:
        found.append(f"results.parquet lacks {', '.join(study.absent)}: these are treated as unknown.")
    empty = [m for m in study.metrics if study.rows[m].isna().all()]
    if empty:
        found.append(f"Never measured: {', '.join(empty)}.")
    return found


def idle_gates(study: Study) -> list[str]:
    """How many trials have a gate that hardly ever, or always, fires: their threshold did nothing."""
    found = []
    trials = study.rows.drop_duplicates("trial")
    trials = trials[trials["gate"].eq("intended") & trials["dissimilar_share"].notna()]
    for method, arm in trials.groupby("method", sort=False):
        share = arm["dissimilar_share"].astype(float)
        never, always = int((share <= IDLE).sum()), int((share >= 1 - IDLE).sum())
        if never or always:
            found.append(
                f"{never + always} of {len(arm)} trials of {study.method_title(str(method))} have a "
                f"vacuous gate: it fires at under {IDLE:.0%} of steps in {never}, "
                f"at over {1 - IDLE:.0%} in {always}."
            )
    return found


def trials_figure(study: Study) -> Figure:
    """Every trial with its settings, counts and the means of both goals."""
    x, y = goals(study)
    extra: list[str] = [name for name in ("effective_rank", "nmi") if name in study.metrics]
    table = per_trial(study, list(dict.fromkeys([x.name, y.name, *extra])))
    table["setting"] = settings_text(study, table)
    columns = ["trial", "dataset", "method", "setting", "replicates", "ok"]
    columns += [f"{m.name}{end}" for m in (x, y) for end in ("", "_low", "_high")] + extra
    return Figure(
        name="trials",
        title="All trials",
        reading="One row per trial: settings, replicates with results, means over those with 95 % t intervals.",
        charts={},
        table=table[list(dict.fromkeys(columns))],
    )
