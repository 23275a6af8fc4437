"""Every judged difference that a findings document can state.

They are the contrasts of plan.toml and posthoc.toml, which lie beside the studies, the parts of exchanged
spectra (`analysis.transplant`), and the lead of non-linear probes (`analysis.probe_gaps`).
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from analysis import contrasts, power, probe_gaps, transplant
from analysis.contrasts import MEANS, POOLED, Plan
from analysis.errors import UserError, nearest
from analysis.tables import Study

# Short names of metrics, for the marks in the document.
SHORT = {
    "silhouette": "test_silhouette",
    "probe": "test_probe_balanced_accuracy",
    "knn": "test_knn_balanced_accuracy",
}
PLANNED, POST_HOC = "plan.toml", "posthoc.toml"
SIDES = "headline"  # the contrast whose sides are looked at more closely
NAMES = {"a": "emargin", "b": "infonce"}  # what its sides are called


@dataclass(frozen=True)
class Evidence:
    """What the rows judge so far.

    plan: plan.toml
    rows: `contrasts.COLUMNS`, and `planned`: whether plan.toml has the contrast
    named: all contrasts that there are, with rows or without
    """

    study: Study
    plan: Plan
    rows: pd.DataFrame
    named: frozenset[str]

    def of(self, contrast: str, metric: str) -> pd.DataFrame:
        """The rows of a contrast and metric; none before it was measured. UserError for an unknown name."""
        if contrast not in self.named:
            raise UserError(f"the document names '{contrast}': {nearest(contrast, self.named)}")
        own = self.rows[self.rows["contrast"] == contrast]
        there = set(own["metric"])
        metric = SHORT[metric] if SHORT.get(metric) in there else metric
        if there and metric not in there:
            raise UserError(f"{contrast} has no metric '{metric}': {nearest(metric, there)}")
        return own[own["metric"] == metric]

    def row(self, contrast: str, metric: str, dataset: str = POOLED) -> Any:
        """One judged difference, by default that over all datasets; None where there is none yet."""
        own = self.of(contrast, metric)
        return next(own[own["dataset"] == dataset].itertuples(), None)

    def single(self, contrast: str, metric: str) -> pd.DataFrame:
        """The rows of single datasets."""
        own = self.of(contrast, metric)
        return own[~own["dataset"].isin(MEANS)]

    @property
    def planned(self) -> pd.DataFrame:
        """The planned rows of single datasets."""
        return self.rows[self.rows["planned"].astype(bool) & ~self.rows["dataset"].isin(MEANS)]

    @cached_property
    def power(self) -> pd.DataFrame:
        """`analysis.power.table` of the planned contrasts, at the numbers of splits that they have."""
        if self.planned.empty:
            return pd.DataFrame(columns=list(power.COLUMNS))
        return power.table(self.study, contrasts.with_rows(self.study, self.plan))


def gather(study: Study) -> Evidence:
    """Judge everything; contrasts without rows are left out, as while studies still run."""
    folder = study.folder.parent
    plan = contrasts.read(folder / PLANNED)
    later = contrasts.read(folder / POST_HOC)
    parts = [
        contrasts.table(study, contrasts.with_rows(study, one)).assign(planned=one is plan)
        for one in (plan, later)
    ]
    for contrast in contrasts.with_rows(study, only(plan, SIDES)).contrasts:
        margin, level = plan.margins[SHORT["probe"]], plan.level_of(contrast.question)
        parts.append(probe_gaps.judged(study, contrast, NAMES, margin, level).assign(planned=False))
    made = transplant.kept(folder)
    if len(made):
        margin = plan.margins[SHORT["silhouette"]]
        parts.append(transplant.judged(made, margin, plan.level_of("Q2")).assign(planned=False))
    named = {contrast.name for one in (plan, later) for contrast in one.contrasts}
    named |= {f"transplant-{part}" for part in transplant.PARTS}
    named |= {f"{probe}-over-linear" for probe in probe_gaps.OTHERS}
    columns = [*contrasts.COLUMNS, "planned"]
    there = [part.dropna(axis=1, how="all") for part in parts if len(part)]
    rows = pd.concat(there, ignore_index=True) if there else pd.DataFrame()
    rows = rows.reindex(columns=columns)
    return Evidence(study, plan, rows, frozenset(named))


def only(plan: Plan, *names: str) -> Plan:
    """The plan with the contrasts of these names alone."""
    return dataclasses.replace(plan, contrasts=tuple(c for c in plan.contrasts if c.name in names))
