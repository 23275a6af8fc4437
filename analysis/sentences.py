"""The numbers inside the sentences of a findings document.

A sentence holds them as `<!-- = WHAT -->...<!-- / -->`; `analysis.findings` writes what stands between, so
that each sentence always agrees with the rows. WHAT is

    CONTRAST METRIC            the difference over all datasets, with its interval
    CONTRAST METRIC says       the same as the end of a sentence: "raises Silhouette (+0.31 [+0.21, +0.40])"
    CONTRAST METRIC counts     how many datasets show what
    CONTRAST METRIC DATASET    the difference on one dataset
    answer QUESTION            the answer in a word or two, by the rules of `analysis.answers`

or another of VALUES. METRIC may be short (`evidence.SHORT`).
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import contrasts
from analysis.answers import ANSWERS, ONE
from analysis.contrasts import POOLED, REAL
from analysis.errors import UserError, nearest
from analysis.evidence import Evidence, only
from analysis.statistics import holm
from analysis.words import listed

WORDS = {
    "test_silhouette": "Silhouette",
    "silhouette": "Silhouette",
    "test_probe_balanced_accuracy": "linear-probe accuracy",
    "test_knn_balanced_accuracy": "kNN accuracy",
    "test_nmi": "the mutual information of clusters and classes",
}
VERDICTS = ("higher", "lower", "equivalent", "undecided")
Value = Callable[[Evidence, Sequence[str]], str]


def value(evidence: Evidence, what: str) -> str:
    """What belongs between the marks of WHAT. Raises UserError for an unknown WHAT."""
    first, *rest = what.split()
    if first in VALUES:
        return VALUES[first](evidence, rest)
    if not 1 <= len(rest) <= 2:
        raise UserError(f"the document asks for '{what}': give CONTRAST METRIC, and a form or dataset")
    if rest[1:] == ["says"]:
        single = list(evidence.single(first, rest[0])["verdict"])
        return says(evidence.row(first, rest[0]), single, evidence.row(first, rest[0], REAL))
    if rest[1:] == ["counts"]:
        return counts(evidence.single(first, rest[0]))
    return difference(evidence.row(first, *rest))


def difference(row: Any) -> str:
    """A difference with its interval; a dash without rows."""
    if row is None:
        return "–"
    interval = "" if pd.isna(row.low) else f" [{row.low:+.3f}, {row.high:+.3f}]"
    return f"{row.difference:+.3f}{interval}"


def says(row: Any, single: Collection[str] = (), real: Any = None) -> str:
    """The end of a sentence about the difference over all datasets, by its verdict.

    single: the verdicts on single datasets, which may all agree where there are too few for one about all
    real: the row over the real datasets alone; a verdict that does not hold there says so
    """
    if row is None:
        return "has not been measured yet"
    name, size = WORDS.get(row.metric, row.metric), difference(row)
    if pd.isna(row.low):
        where = "one dataset" if row.splits == 1 else "too few splits"
        return f"has been measured on {where} so far" + (
            "" if pd.isna(row.difference) else f" ({name} {size})"
        )
    if real is not None and real.verdict != row.verdict and not pd.isna(real.low):
        apart = f"on the real datasets alone, this is {real.verdict}: {difference(real)}"
        return f"{says(row, single)[:-1]}; {apart})"
    verbs = {"higher": "raises", "lower": "lowers"}
    if row.verdict == "undecided" and len(set(single)) == 1:
        (common,) = set(single)
        if common in verbs:
            return f"{verbs[common]} {name} on every dataset, by amounts that differ much ({size})"
    return {
        **{verdict: f"{verb} {name} ({size})" for verdict, verb in verbs.items()},
        "equivalent": f"leaves {name} within the margin of {row.margin:g} ({size})",
        "undecided": f"shows no clear change of {name} ({size})",
    }[row.verdict]


def counts(rows: pd.DataFrame) -> str:
    """How many datasets show what: "higher on 4 and undecided on 2 of 6 datasets"."""
    if rows.empty:
        return "on no dataset yet"
    if len(rows) == 1:
        return f"{rows['verdict'].item()} on {ONE}"
    found = rows["verdict"].value_counts()
    words = [f"{word} on {found[word]}" for word in VERDICTS if word in found]
    return f"{listed(words)} of {len(rows)} datasets"


def decided(evidence: Evidence, rest: Sequence[str]) -> str:
    """How many planned verdicts on single datasets are decided; of one question, if it is named."""
    rows = evidence.planned
    done, n = contrasts.decided(rows[rows["question"].isin(rest)] if rest else rows)
    return f"{done} of {n} ({done / n:.0%})" if n else "none"


def pooled(evidence: Evidence, rest: Sequence[str]) -> str:
    """How many planned verdicts over all datasets are decided; of one question, if it is named."""
    rows = _means(evidence, rest)
    done = int((rows["verdict"] != "undecided").sum())
    return f"{done} of {len(rows)} ({done / len(rows):.0%})" if len(rows) else "none"


def corrected(evidence: Evidence, rest: Sequence[str]) -> str:
    """How many planned differences over all datasets stay after Holm over all tests of their question."""
    rows = _means(evidence, rest)
    shown, stay = rows["verdict"].isin(contrasts.SHOWN), 0
    for question, family in rows.groupby("question"):
        p = holm(family["p"].to_numpy(dtype=float))
        stay += int(((p < evidence.plan.level_of(str(question))) & shown[family.index]).sum())
    return f"{stay} of {int(shown.sum())}"


def real(evidence: Evidence, rest: Sequence[str]) -> str:
    """How many planned verdicts over all datasets are the same over the real ones alone."""
    rows = _means(evidence, rest)
    keys = ["contrast", "metric"]
    both = rows.merge(evidence.rows[evidence.rows["dataset"] == REAL], on=keys, suffixes=("", "_real"))
    return f"{int((both['verdict'] == both['verdict_real']).sum())} of {len(both)}"


def _means(evidence: Evidence, questions: Sequence[str]) -> pd.DataFrame:
    """The planned rows over all datasets; of some questions, if they are named."""
    rows = evidence.rows[evidence.rows["planned"].astype(bool) & (evidence.rows["dataset"] == POOLED)]
    return rows[rows["question"].isin(questions)] if questions else rows


def overlap(evidence: Evidence, rest: Sequence[str]) -> str:
    """How many planned verdicts stay if one allows for splits that share subjects (Holm over datasets).

    `overlap difference` counts those that show a difference, `overlap equivalent` the equivalences.
    """
    words, column = {
        "difference": (contrasts.SHOWN, "p_overlap"),
        "equivalent": (("equivalent",), "p_equivalent_overlap"),
    }[rest[0]]
    stay, shown = 0, evidence.planned["verdict"].isin(words)
    for (question, *_), family in evidence.planned.groupby(["question", "contrast", "metric"]):
        p = holm(family[column].to_numpy(dtype=float))
        stay += int(((p < evidence.plan.level_of(str(question))) & shown[family.index]).sum())
    return f"{stay} of {int(shown.sum())}"


def started(evidence: Evidence, rest: Sequence[str]) -> str:
    """When the first row of the studies was started."""
    first = pd.to_datetime(evidence.study.rows["started_at"], utc=True).min()
    return f"{first:%Y-%m-%d %H:%M} UTC"


def noise(evidence: Evidence, rest: Sequence[str]) -> str:
    """`noise CONTRAST`: the noise levels that all datasets of a planned contrast have: "30 and 0 dB"."""
    (contrast,) = only(evidence.plan, *rest).contrasts
    if not contrasts.with_rows(evidence.study, only(evidence.plan, *rest)).contrasts:
        return "–"
    found = {level for level, *_ in contrasts.levels(contrasts.sides(evidence.study, contrast), contrast)}
    words = [f"{level:g}" for level in sorted(found - {contrasts.NO_VALUE}, reverse=True)]
    return f"{listed(words)} dB" if words else "–"


def idle(evidence: Evidence, rest: Sequence[str]) -> str:
    """`idle THRESHOLD`: the largest share of steps, by dataset and noise level, that it calls dissimilar."""
    rows = evidence.study.ok
    rows = rows[
        (rows["gate_given_as"] == "threshold") & np.isclose(rows["threshold"].astype(float), float(*rest))
    ]
    shares = rows["dissimilar_share"].astype(float).groupby([rows["dataset"], rows["snr_db"].fillna(np.inf)])
    return f"{shares.mean().max():.1%}" if len(rows) else "–"


def sets(evidence: Evidence, rest: Sequence[str]) -> str:
    """`sets QUESTION`: the datasets on which planned contrasts of a question have rows."""
    rows = evidence.planned
    return listed(sorted(set(rows[rows["question"].isin(rest)]["dataset"]))) or "none yet"


def extreme(evidence: Evidence, rest: Sequence[str]) -> str:
    """`power COLUMN most|median|least`: of a column of `analysis.power` over the planned contrasts."""
    column, which = rest
    if evidence.power.empty:
        return "–"
    return f"{getattr(evidence.power[column], {'most': 'max', 'least': 'min'}.get(which, which))():.1%}"


def reached(evidence: Evidence, rest: Sequence[str]) -> str:
    """`reached COLUMN SHARE`: in how many planned contrasts and metrics a column reaches a share."""
    column, share = rest
    return f"{int((evidence.power[column] >= float(share)).sum())} of {len(evidence.power)}"


def answer(evidence: Evidence, rest: Sequence[str]) -> str:
    """The answer to one question."""
    if rest[0] not in ANSWERS:
        raise UserError(f"the document asks for the answer to '{rest[0]}': {nearest(rest[0], ANSWERS)}")
    return ANSWERS[rest[0]](evidence)


VALUES: dict[str, Value] = {
    "answer": answer,
    "decided": decided,
    "pooled": pooled,
    "corrected": corrected,
    "real": real,
    "overlap": overlap,
    "started": started,
    "noise": noise,
    "idle": idle,
    "sets": sets,
    "power": extreme,
    "reached": reached,
    "rows": lambda evidence, rest: f"{len(evidence.study.rows):,}",
    "ok": lambda evidence, rest: f"{len(evidence.study.ok):,}",
}
