"""How far a study can be trusted: how its trainings ended, and what to be careful about."""

import numpy as np

from analysis.endings import by_method, unfinished
from analysis.pareto import goals
from analysis.replicates import SEED, SPLIT, unit_word
from analysis.sections import Figure, Section
from analysis.statistics import FEWEST, variance_components
from analysis.tables import Study, per_trial, settings_text
from analysis.verdicts import IDLE
from analysis.words import listed, plural

ENOUGH = 200  # trials that are used for a median
FEW = 5  # t intervals from fewer values are wide: from 3 values, 2.5 standard deviations each way


def section(study: Study) -> Section:
    """How the trainings of each method ended, then every reason for caution."""
    fates = by_method(study)
    return Section(
        name="health",
        title="Health",
        intro="This section says which trainings ended well, which did not, and what to be careful about.",
        notes=tuple(cautions(study)),
        figures=(
            Figure(
                name="health",
                title="How trainings ended",
                reading="This table counts rows (one for each replicate of a trial) by method and ending.",
                charts={},
                table=fates,
            ),
            trials_figure(study),
        ),
    )


def cautions(study: Study) -> list[str]:
    """Reasons not to read too much into the study, each a sentence."""
    found = unfinished(study)
    found += idle_gates(study)
    found += few_units(study)
    found += spreads(study)
    found += dirty_revisions(study)
    if study.schema.unknown:
        found.append(
            f"results.parquet does not say what these columns are, so no analysis uses them: "
            f"{', '.join(study.schema.unknown)}."
        )
    if study.absent:
        found.append(f"results.parquet lacks {', '.join(study.absent)}: these values count as unknown.")
    empty = [m for m in study.metrics if study.rows[m].isna().all()]
    if empty:
        found.append(f"These metrics were never measured: {', '.join(empty)}.")
    return found


def few_units(study: Study) -> list[str]:
    """A caution if intervals are wide because there are too few independent repetitions."""
    searched = study.rows[study.rows["role"] == "searched"]
    if searched.empty:
        return []
    unit = unit_word(searched)
    column = SPLIT if unit == "split" else SEED
    n = int(searched.groupby("trial")[column].nunique().max())
    if n >= FEW:
        return []
    how = "no interval can be given" if n < FEWEST else "intervals are wide"
    return [f"At most {n} {plural(n, unit)} per trial: {how}; {FEW} or more can distinguish settings."]


def spreads(study: Study) -> list[str]:
    """How much each goal varies with subjects and with training seeds; empty with one split or one seed."""
    trained = study.ok[study.ok["role"] != "reference"]
    if trained[SPLIT].nunique() < 2:
        return []
    some = trained["trial"].drop_duplicates().head(ENOUGH)
    trained = trained[trained["trial"].isin(some)]
    found = []
    for metric in goals(study):
        parts = [
            variance_components(own[metric.name], own[SPLIT].to_numpy())
            for _, own in trained.groupby("trial")
        ]
        known = np.array([part for part in parts if np.isfinite(part).all()])
        if len(known):
            between, within = np.median(known, axis=0)
            found.append(
                f"{metric.title} varies by {between:.3f} between splits of the subjects and by {within:.3f} "
                "between training seeds of one split (standard deviations, medians over trials)."
            )
    return found


def dirty_revisions(study: Study) -> list[str]:
    """How many rows come from code with uncommitted changes; a plus sign after the revision marks them."""
    if "git_revision" not in study.rows:
        return []
    revisions = study.rows["git_revision"].dropna().astype(str)
    dirty = revisions[revisions.str.endswith("+")]
    if dirty.empty:
        return []
    named = listed([f"{revision[:7]}+" for revision in dirty.unique()])
    return [
        f"{len(dirty)} of {len(study.rows)} rows come from code with uncommitted changes ({named}). This "
        "code cannot be restored, so replace these rows before you cite them."
    ]


def idle_gates(study: Study) -> list[str]:
    """How many trials have a threshold without effect: hardly any or nearly all steps are dissimilar."""
    found = []
    trials = study.rows.drop_duplicates("trial")
    trials = trials[trials["gate"].eq("intended") & trials["dissimilar_share"].notna()]
    for method, arm in trials.groupby("method", sort=False):
        share = arm["dissimilar_share"].astype(float)
        never, always = int((share <= IDLE).sum()), int((share >= 1 - IDLE).sum())
        title = study.method_title(str(method))
        if never:
            found.append(
                f"{never} of {len(arm)} trials of {title} call under {IDLE:.0%} of steps dissimilar, so that "
                "threshold and margin hardly act there."
            )
        if always:
            found.append(
                f"{always} of {len(arm)} trials of {title} call over {1 - IDLE:.0%} of steps dissimilar, so "
                "that the margin acts everywhere, and the gate does not choose between steps."
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
        reading="Each row is a trial: its setting, the number of its replicates and of those with results, "
        "and the means over these with 95 % t intervals.",
        charts={},
        table=table[list(dict.fromkeys(columns))],
    )
